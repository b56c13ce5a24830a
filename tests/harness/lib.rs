//! What the tests share: networks, processes, packets.
//!
//! Start reading at [`lab`]: it lays the network out. [`origin`] puts servers on it, [`sluice`] the balancer,
//! [`client`] the traffic, and [`watch`] looks whether the balancer's own stack saw any of it. [`tunnel`] and [`vlan`] stand in
//! for devices that a kernel may not have.

pub mod dns;
pub mod lab;
pub mod netns;
pub mod reaper;
pub mod turn;
pub mod tools;

pub mod process;
pub mod secret;
pub mod wait;

pub mod mutate;
pub mod origin;
pub mod sluice;
pub mod keepalived;
pub mod machine;
pub mod client;
pub mod watch;
pub mod tunnel;
pub mod vlan;

pub use lb_tests_traffic::{oracle, packet};
pub mod object;
pub mod raw;

use anyhow::{Context, Result};
use std::path::PathBuf;

/// The daemon under test: `SLUICE_BIN`, or `sluice` where cargo put the running program.
pub fn binary() -> Result<PathBuf> {
    std::env::var_os("SLUICE_BIN").map_or_else(|| built("sluice"), |path| Ok(path.into()))
}

/// A program of this workspace in the target directory of the running one.
///
/// Tests run from `target/<profile>/deps`, programs from `target/<profile>`.
pub fn built(program: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("`{program}` is not built: run `cargo build --workspace --bins` first"))
}
