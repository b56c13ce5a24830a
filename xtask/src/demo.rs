//! `demo`: the daemon as it ships, at work in network namespaces.

use anyhow::Result;

use crate::run::{cargo, run};

/// Builds the daemon as it ships and hands over to the demo, which the test package has.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    run(cargo().args([
        "build",
        "--locked",
        "--release",
        "--package=lb-userspace",
        "--bin=sluice",
    ]))?;
    run(cargo().args(["run", "--locked", "--package=lb-tests", "--bin=demo", "--"]).args(arguments))
}
