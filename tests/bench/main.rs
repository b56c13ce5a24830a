//! `bench`: what a packet and a request cost, beside what they cost elsewhere in the same run.
//!
//! The machine is shared and noisy, so all contenders take turns within each round, and what counts is the median of the
//! ratios of all rounds. Exit code: 0 if the measurement worked, whatever it found; 1 if not; 2 for a wrong command line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a bench is for")]

mod bars;
mod cpu;
mod e2e;
mod kernel;
mod proxy;
mod statistics;
mod wrk;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, ExitCode},
};

#[derive(Parser)]
#[command(name = "bench", about = "What a packet and a request cost, beside what they cost elsewhere")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The cost of one packet in the kernel, beside that of a reference.
    Kernel(kernel::Options),
    /// The cost of one request through the balancer, beside nftables and HAProxy.
    E2e(e2e::Options),
    /// The CPU time of the proxy for one request, beside HAProxy and nginx.
    Proxy(proxy::Options),
}

fn main() -> ExitCode {
    let measured = match Arguments::parse().what {
        What::Kernel(options) => kernel::measure(&options),
        What::E2e(options) => e2e::measure(&options),
        What::Proxy(options) => proxy::measure(&options),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the figures depend on.
fn machine() -> Value {
    let system = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model));
    // With this one, every call that returns costs several nanoseconds: a look into a hash map three or four of them.
    let returns = fs::read_to_string("/sys/devices/system/cpu/vulnerabilities/spec_rstack_overflow");
    json!({
        "kernel": system.release().to_string_lossy(),
        "cpus": cpus,
        "cpu": model,
        "spec_rstack_overflow": returns.ok().map(|text| text.trim().to_owned()),
    })
}

/// What a program says that it is, in its first line.
fn version(program: impl AsRef<OsStr>) -> Option<String> {
    // nginx says it on standard error.
    let output = Command::new(program).arg("-v").output().ok()?;
    let printed = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&printed).lines().next().map(str::to_owned)
}

/// Prints the table, and the result for a machine into the file, or instead of the table with `-`.
fn publish(table: &str, result: &Value, json: Option<&Path>) -> Result<()> {
    match json {
        Some(path) if path == Path::new("-") => println!("{result:#}"),
        Some(path) => {
            fs::write(path, format!("{result:#}\n")).with_context(|| path.display().to_string())?;
            print!("{table}");
        }
        None => print!("{table}"),
    }
    Ok(())
}
