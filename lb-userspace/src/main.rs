//! `sluice`: one binary, daemon and command line.
//!
//! Exit codes: 0 done; 1 failed, and standard error says why; 2 the command line was wrong.

use std::process::ExitCode;

fn main() -> ExitCode {
    lb_userspace::cli::main()
}
