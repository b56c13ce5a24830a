//! `sluice`: one binary, daemon and command line.
//!
//! Exit codes: 0 done; 1 failed, and standard error says why; 2 the command line was wrong.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Requests allocate and free on the thread that serves them, which it is made for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    lb_userspace::cli::main()
}
