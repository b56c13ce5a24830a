//! `bench`: what a packet and a request cost, beside what they cost elsewhere.

use anyhow::{Result, bail};
use lb_ebpf_build::Places;

use crate::run::{cargo, is_root, run};
use crate::setup;

/// Makes the machine ready, builds what is measured as it ships, and hands over to the bench, which the test package has.
/// All of it is built for release: what drives the traffic takes a share of the machine too.
pub(crate) fn bench(places: &Places, arguments: &[String]) -> Result<()> {
    setup::prepare(places)?;
    if !is_root() {
        bail!("programs in the kernel and network namespaces need root");
    }
    let package = "--package=lb-tests";
    run(cargo().args(["build", "--locked", "--release", "--package=lb-userspace", "--bin=sluice"]))?;
    run(cargo().args(["run", "--locked", "--release", "--quiet", package, "--bin=bench", "--"]).args(arguments))
}
