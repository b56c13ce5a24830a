//! `demo` and `soak`: the daemon as it ships, at work in network namespaces, for a minute or for hours.

use anyhow::Result;
use lb_ebpf_build::Places;

use crate::run::{cargo, run};
use crate::setup;

/// Makes the machine ready, builds the daemon as it ships and hands over to the program of the test package that drives it.
pub(crate) fn show(places: &Places, program: &str, arguments: &[String]) -> Result<()> {
    setup::prepare(places)?;
    let package = "--package=lb-tests";
    run(cargo().args(["build", "--locked", "--release", "--package=lb-userspace", "--bin=sluice"]))?;
    // It starts other programs of its package, so all of them are built.
    run(cargo().args(["build", "--locked", package, "--bins"]))?;
    run(cargo()
        .args(["run", "--locked", "--quiet", package, "--bin", program, "--"])
        .args(arguments)
        .env("SLUICE_BIN", places.target.join("release/sluice")))
}
