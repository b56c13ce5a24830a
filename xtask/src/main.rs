//! `cargo xtask`: every developer command.
//!
//! It depends on nothing of the product but `lb-ebpf-build`, because it must run on a machine that cannot yet build
//! the product.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

mod run;
mod setup;
mod ebpf;
mod check;
mod tidy;
mod reference;
mod kernels;
mod test;
mod demo;
mod bench;
mod fuzz;
mod package;

use std::env;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use lb_ebpf_build::Places;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  setup        install what the build and the tests need; without root, say what is missing
  build-ebpf   build the kernel object and say with what
  check        formatting, lints, tidy, documentation; as the CI does
  tidy         the rules of this repository that no other tool knows
  reference    write the reference and the schema in lb-userspace/docs anew; a unit test says when that is due
  test         all tests; --host, --kernel, --network for some of them; the rest goes to the test programs;
               never unasked: --kernels: the kernel tests in Debian's 6.1 and 6.12, emulated;
               --differential: ten million generated packets through host and kernel
  boot         boot one of those kernels and run a program there with the supervisor's capabilities
  demo         build the daemon and show it at work in network namespaces; arguments go to the demo
  bench        measure the daemon and the kernel object as they ship: `bench kernel`, `bench e2e`,
               `bench proxy`; arguments go to the bench
  soak         mixed traffic, reloads and failures for a long time (--minutes N), and whether memory, descriptors, maps or
               pins grow meanwhile
  package      build the Debian package and print where it is; --debug: of a debug build, --binary FILE: of this one;
               --version V, --to DIRECTORY; SOURCE_DATE_EPOCH: its time, default: that of the last commit
  fuzz         fuzz the packet path on the host (packets) and the codec of HTTP/1 (http1): [TARGET] [--seconds N];
               --keep puts what was found into the corpus; needs a C++ compiler beside any Rust
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let mut arguments = env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let places = Places::of(&env::current_exe().context("cannot tell where this program lies")?);
    env::set_current_dir(&places.workspace).context("cannot enter the workspace")?;
    match command.as_str() {
        "setup" => setup::setup(&places)?,
        "build-ebpf" => ebpf::build(&places)?,
        "check" => check::check(&places)?,
        "tidy" => tidy::tidy(&places)?,
        "reference" => reference::write()?,
        "boot" => return kernels::boot(&places, &rest),
        "test" => return test::test(&places, &rest),
        "demo" | "soak" => demo::show(&places, &command, &rest)?,
        "bench" => bench::bench(&places, &rest)?,
        "package" => package::package(&places, &rest)?,
        "fuzz" => fuzz::fuzz(&places, &rest)?,
        "" | "help" | "--help" | "-h" => print!("{HELP}"),
        unknown => {
            eprint!("there is no command `{unknown}`\n\n{HELP}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
