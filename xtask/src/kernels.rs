//! `boot`: a program in a kernel that is not this machine's, and `test --kernels`, which runs the kernel tests that way.
//!
//! The kernels are Debian's, as a user has them: the files of their packages, fetched once ([`fetch`]), and the program
//! with all that it needs as the first file system ([`initramfs`]). QEMU emulates the machine, so neither KVM nor root
//! is needed; it takes three minutes a kernel.

mod cpio;
mod fetch;
mod initramfs;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use lb_ebpf_build::Places;

use crate::run::show;

/// A kernel that Sluice promises to run on.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Kernel {
    /// The series, by which one asks for it.
    pub(crate) series: &'static str,
    /// The suite of Debian whose `linux-image-amd64` is of this series.
    suite: &'static str,
}

/// The oldest and the newest of those that Debian 12 offers.
pub(crate) static KERNELS: [Kernel; 2] =
    [Kernel { series: "6.1", suite: "bookworm" }, Kernel { series: "6.12", suite: "bookworm-backports" }];

/// Tests that make no sense there, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("loading::bpftool_loads_the_object", "about the object, not about the kernel"),
    ("loading::child_that_loads", "the child of a test that has no children there"),
    ("loading::katran_a_slot_costs_four_bytes", "opens a map by its id, for which one needs CAP_SYS_ADMIN"),
    ("tools::the_bench_", "about the bench, whose figures would be an emulator's"),
];

/// Seconds for boot and program together.
const LIMIT: &str = "600";

/// What stands before the program's exit code in the last line that the first process writes.
const ENDED: &str = "ended with exit code ";

/// The setting by which cargo starts test programs in this kernel.
pub(crate) fn runner(kernel: &Kernel) -> Result<String> {
    let itself = env::current_exe().context("cannot tell where this program lies")?;
    let itself = itself.to_str().context("this program's path is no text")?;
    Ok(format!("target.'cfg(all())'.runner = [{itself:?}, \"boot\", {:?}]", kernel.series))
}

/// Says what is left out, and returns the arguments for it; and for no colours, though the tests write to a terminal of
/// sorts.
pub(crate) fn arguments() -> impl Iterator<Item = &'static str> {
    for (test, why) in LEFT_OUT {
        eprintln!("left out: {test}: {why}");
    }
    ["--color=never"].into_iter().chain(LEFT_OUT.iter().flat_map(|(test, _)| ["--skip", test]))
}

/// Boots the kernel that the first argument names, runs there the program that the second names with the others, as
/// nobody with three capabilities, and ends as the program did.
pub(crate) fn boot(places: &Places, arguments: &[String]) -> Result<ExitCode> {
    let [series, program, rest @ ..] = arguments else {
        bail!("usage: cargo xtask boot KERNEL PROGRAM [ARGUMENT…]");
    };
    let known = KERNELS.iter().map(|kernel| kernel.series).collect::<Vec<_>>().join(", ");
    let kernel = KERNELS.iter().find(|kernel| kernel.series == series);
    let kernel = kernel.with_context(|| format!("no kernel {series}; there are {known}"))?;
    let directory = places.target.join("kernels").join(kernel.series);
    let files = fetch::fetch(kernel, &directory)?;
    let initramfs = directory.join("initramfs");
    fs::write(&initramfs, initramfs::of(&places.workspace, Path::new(program), &files.module)?)?;
    let console = directory.join("console.log");
    let mut emulator = emulator(&files.image, &initramfs, &console, rest);
    eprintln!("$ {}", show(&emulator));
    let code = run(&mut emulator)?;
    code.map(ExitCode::from).with_context(|| {
        let said = fs::read_to_string(&console).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n");
        format!("the program did not come to its end, for which it has {LIMIT} s; the kernel said last:\n{last}")
    })
}

/// QEMU without devices but two serial ports: the kernel's console goes to a file, and the program's output is its own.
/// The kernel's mitigations stay on: without them the verifier asks for less than it does of a user. The CPU is the
/// simplest: the C library copies with the widest words that it finds, and the emulator needs three times as long for them. There
/// is one: each run of an XDP program patches the kernel's `bpf_dispatcher_xdp_func`, and while the emulator ran that on one CPU
/// and patched it on the other, Linux 6.12 died of the breakpoint that stands there meanwhile (`Oops: int3`).
fn emulator(image: &Path, initramfs: &Path, console: &Path, arguments: &[String]) -> Command {
    let kernel_arguments = format!("console=ttyS0 panic=-1 -- {}", arguments.join(" "));
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--kill-after=5", LIMIT, "qemu-system-x86_64"]);
    command.args(["-accel", "tcg", "-cpu", "qemu64", "-smp", "1", "-m", "1G"]);
    command.args(["-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"]);
    command.arg("-kernel").arg(image).arg("-initrd").arg(initramfs).args(["-append", &kernel_arguments]);
    command.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
    command
}

/// Passes the program's output on, and returns its exit code; none if it was never told.
fn run(emulator: &mut Command) -> Result<Option<u8>> {
    let mut child = emulator.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("could not start QEMU")?;
    let output = child.stdout.take().context("QEMU has no output")?;
    let mut code = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("could not read QEMU's output")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        match line.strip_prefix(ENDED) {
            Some(ended) => code = Some(ended.parse().with_context(|| line.to_owned())?),
            None => println!("{line}"),
        }
    }
    let status = child.wait().context("could not wait for QEMU")?;
    ensure!(status.success() || code.is_none(), "QEMU failed: {status}");
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_there() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernel");
        for (name, _) in LEFT_OUT {
            let (module, test) = name.split_once("::").unwrap();
            let source = fs::read_to_string(tests.join(module).with_extension("rs")).unwrap();
            assert!(source.contains(&format!("fn {test}")), "{name}");
        }
    }
}
