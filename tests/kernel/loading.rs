//! Loading: what the verifier walks through, who may load, with what tools, and what it costs to run.

use crate::{cases::world::*, namespace};
use anyhow::{Context as _, Result, ensure};
use lb_tests::object::{Loaded, PROGRAM};
use rustix::thread::{CapabilitySet, capabilities};
use std::{
    env, fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
    process::Command,
};

/// Instructions that the verifier walked through when this was written, by series of the kernel. A jump is a warning:
/// each branch multiplies.
const VERIFIED: [(&str, u32); 3] = [("6.1", 520_168), ("6.12", 248_768), ("6.18", 286_334)];
/// What no kernel may need. It allows a million.
const MOST_VERIFIED: u32 = 600_000;

#[test]
fn verifier_walks_through_no_more_than_it_did() -> Result<()> {
    let verified = Loaded::with(&tables())?.verified_instructions()?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let series = release.split('.').take(2).collect::<Vec<_>>().join(".");
    println!("{verified} instructions verified by Linux {}", release.trim());
    ensure!(verified <= MOST_VERIFIED, "{verified} instructions verified, more than {MOST_VERIFIED}");
    let Some((_, before)) = VERIFIED.iter().find(|(recorded, _)| *recorded == series) else {
        return Ok(());
    };
    ensure!(verified <= before / 5 * 6, "{verified} instructions verified, more than {before} + 20 %");
    ensure!(verified >= before / 2, "{verified} instructions verified: record the better number");
    Ok(())
}

/// Katran's rings cost 8 bytes a slot, because the kernel rounds elements of an array up.
#[test]
fn katran_a_slot_costs_four_bytes() -> Result<()> {
    let ring = Loaded::with(&tables())?.ring(NET4.nat_ring())?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", ring.fd().as_fd().as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:")).context("no memlock")?;
    let bytes: usize = line.trim().parse()?;
    ensure!(bytes < 2 * 16_384 * 4 + 4_096, "{bytes} bytes for two halves");
    Ok(())
}

/// What the kernel made of the object, which bpftool has loaded: an entry point that calls the steps of the packet path,
/// without a `memcpy` loop for each packet, and headers that are read in words.
#[test]
fn bpftool_loads_the_object() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let object = directory.path().join("object");
    fs::write(&object, lb_userspace::dataplane::object::object()?)?;
    let pin = PathBuf::from(format!("/sys/fs/bpf/lb-tests-{}", std::process::id()));
    let (object, pinned) = (object.display().to_string(), pin.display().to_string());
    bpftool(&["prog", "load", &object, &pinned, "type", "xdp"])?;
    let shown = bpftool(&["prog", "show", "pinned", &pinned]);
    let code = bpftool(&["prog", "dump", "xlated", "pinned", &pinned]);
    fs::remove_file(&pin)?;

    let (shown, code) = (shown?, code?);
    ensure!(shown.contains(&format!("name {PROGRAM}")) && shown.contains("gpl"), "{shown}");
    ensure!(code.contains("call bpf_xdp_get_buff_len"), "{code}");
    let entry = function(&code, "sluice").context("no entry point")?;
    ensure!(entry.contains("call pc"), "the steps are no functions of their own:\n{entry}");
    for name in ["fast4", "fast6"] {
        let code = function(&code, name).context("no fast path")?;
        ensure!(!code.contains("memcpy"), "{name} copies bytes one by one:\n{code}");
        let bytes = code.matches("*(u8 *)").count();
        ensure!(bytes <= MOST_BYTES, "{bytes} accesses of single bytes in {name}:\n{code}");
    }
    Ok(())
}

/// Accesses of one byte on the fast path, with what it writes in each of its ways: time to live, protocol, TCP flags, the
/// state of a server.
const MOST_BYTES: usize = 32;

/// The code of a function: the lines after its head, all of which begin with blanks or a semicolon.
fn function<'a>(code: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = code.split_once(&format!(" {name}("))?;
    let (_, body) = rest.split_once('\n')?;
    let end =
        body.lines().take_while(|line| line.is_empty() || line.starts_with([' ', ';'])).map(|line| line.len() + 1);
    body.get(..end.sum::<usize>().min(body.len()))
}

fn bpftool(arguments: &[&str]) -> Result<String> {
    let output = Command::new("bpftool").args(arguments).output().context("bpftool is needed")?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

const CHILD: &str = "loading::child_that_loads";
/// Set for the child alone.
const IS_CHILD: &str = "LB_TESTS_LOADS";
/// What the child says before it tries.
const TRIES: &str = "tries to load with effective capabilities";

/// Loads in a child process with these capabilities and the user id of nobody; false if loading fails there.
#[expect(clippy::print_stdout, reason = "shown when the test fails")]
fn loads_with(capabilities: &[&str]) -> Result<bool> {
    let plus = |separator: &str| capabilities.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(separator);
    let set = format!("-all,{}", plus(","));
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(["--inh-caps", &set, "--ambient-caps", &set, "--bounding-set", &set])
        .arg(env::current_exe()?)
        .args(["--exact", CHILD, "--nocapture"])
        .env(IS_CHILD, "")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    // Without this a child that never came to loading would pass for one that could not.
    ensure!(said.contains(TRIES), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("with {capabilities:?}: {}\n{said}", output.status);
    Ok(output.status.success())
}

/// Only does something in the child process of `loads_with`.
#[test]
fn child_that_loads() -> Result<()> {
    if env::var_os(IS_CHILD).is_none() {
        return Ok(());
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).context("no CapEff")?;
    println!("{TRIES} {}", effective.trim());
    Loaded::with(&tables()).map(drop)
}

/// Where the capabilities are three already, there is nothing to take away: then loading is all.
#[test]
fn loads_with_three_capabilities() -> Result<()> {
    if namespace::is_prepared() {
        let three = CapabilitySet::BPF | CapabilitySet::NET_ADMIN | CapabilitySet::PERFMON;
        let held = capabilities(None)?;
        ensure!(held.effective == three && held.permitted == three, "{held:?}");
        return Loaded::with(&tables()).map(drop);
    }
    ensure!(loads_with(&["bpf", "net_admin", "perfmon"])?, "three capabilities do not suffice");
    // Headers behind IPv4 options lie at an offset that is not constant. Without CAP_PERFMON the verifier refuses that, and
    // would put speculation barriers everywhere else.
    ensure!(!loads_with(&["bpf", "net_admin"])?, "CAP_PERFMON is not needed any more: take it from the unit");
    ensure!(!loads_with(&["net_admin", "perfmon"])?, "loads without CAP_BPF: this test proves nothing");
    Ok(())
}
