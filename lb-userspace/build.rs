//! Puts the kernel object into the daemon: an ordinary `cargo build` makes both.
//!
//! The object lands in `OUT_DIR/lb-ebpf`; it is empty with `SLUICE_EBPF_SKIP=1`, which `dataplane::object` refuses.
#![expect(clippy::print_stderr, reason = "cargo shows it when the build fails")]

use std::process::ExitCode;

use lb_ebpf_build::Package;

fn main() -> ExitCode {
    match lb_ebpf_build::embed(Package::Balancer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
