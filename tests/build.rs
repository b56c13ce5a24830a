//! Puts the object of `lb-ebpf/tools` into the test package.
//!
//! It lands in `OUT_DIR/lb-ebpf-tools`; it is empty with `SLUICE_EBPF_SKIP=1`, which `tools::object` refuses.
#![expect(clippy::print_stderr, reason = "cargo shows it when the build fails")]

use std::process::ExitCode;

use lb_ebpf_build::Package;

fn main() -> ExitCode {
    match lb_ebpf_build::embed(Package::Tools) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
