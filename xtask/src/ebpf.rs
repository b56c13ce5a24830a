//! `build-ebpf`: the kernel object alone, with what built it.

use std::fs;

use anyhow::Result;
use lb_ebpf_build::{Diagnostics, Object, Overrides, Package, Places};

/// Builds the object and says with what, where it is and how large.
pub(crate) fn build(places: &Places) -> Result<()> {
    let path =
        match lb_ebpf_build::build(Package::Balancer, places, &Overrides::from_environment(), Diagnostics::Shown)? {
            Object::Skipped => {
                println!("skipped, as SLUICE_EBPF_SKIP says");
                return Ok(());
            }
            Object::Given(path) => {
                println!("compiler  none: SLUICE_EBPF_OBJECT names a finished object");
                path
            }
            Object::Compiled { path, compiler, linker, .. } => {
                println!("compiler  {compiler}");
                println!("linker    {linker}");
                path
            }
        };
    println!("object    {}, {} bytes", path.display(), fs::metadata(&path)?.len());
    Ok(())
}
