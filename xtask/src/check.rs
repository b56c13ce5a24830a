//! `check`: everything that needs no privilege and runs no test. The CI runs the same.

use anyhow::{Result, ensure};
use lb_ebpf_build::{Diagnostics, Object, Overrides, Package, Places};

use crate::fuzz;
use crate::run::{cargo, run};
use crate::tidy;

/// Runs the checks, the quick ones first, and stops at the first that fails.
pub(crate) fn check(places: &Places) -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    for fuzzers in fuzz::CRATES {
        run(cargo().args(["fmt", &format!("--manifest-path={fuzzers}/Cargo.toml"), "--check"]))?;
    }
    tidy::tidy(places)?;
    kernel_without_warnings(places)?;
    run(cargo().args(["clippy", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-Dwarnings"]))?;
    run(cargo()
        .args(["doc", "--locked", "--quiet", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Clippy sees the packet path as the host compiles it; what only the kernel's build compiles is judged here.
fn kernel_without_warnings(places: &Places) -> Result<()> {
    eprintln!("$ cargo xtask build-ebpf");
    for package in [Package::Balancer, Package::Tools] {
        let object = lb_ebpf_build::build(package, places, &Overrides::from_environment(), Diagnostics::Kept)?;
        if let Object::Compiled { warnings, .. } = object {
            ensure!(warnings.is_empty(), "{} compiles with warnings\n{}", package.name(), warnings.join("\n"));
        }
    }
    Ok(())
}
