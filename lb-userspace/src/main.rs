//! `sluice`: one binary, daemon and command line.
//!
//! How it ends, [`exit`](lb_userspace::exit) says.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Requests allocate and free on the thread that serves them, which it is made for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    lb_userspace::cli::main()
}
