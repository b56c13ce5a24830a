//! A network namespace of this thread's own, with the two interfaces of the golden rows: the kernel takes no frame from,
//! and no redirect to, an interface that does not exist.
#![expect(unsafe_code, reason = "unshare may be unsafe with other flags")]

use anyhow::{Result, ensure};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::{env, process::Command};

/// Set where `init.sh` has made the interfaces already, in the only namespace of a machine of its own.
const PREPARED: &str = "LB_TESTS_NAMESPACE";

/// Whether this process has no more than the supervisor's capabilities, and the interfaces without [`enter`].
pub(crate) fn is_prepared() -> bool {
    env::var_os(PREPARED).is_some()
}

/// Moves this thread into a new namespace. It vanishes with the thread.
pub(crate) fn enter() -> Result<()> {
    if is_prepared() {
        return Ok(());
    }
    // SAFETY: a network namespace concerns neither memory nor descriptors of other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    // The loopback device of a new namespace has index 1 (`OUTSIDE`); this one gets 2 (`INSIDE`).
    let arguments =
        ["link", "add", "name", "inside", "index", "2", "type", "veth", "peer", "name", "far", "index", "3"];
    ensure!(Command::new("ip").args(arguments).status()?.success(), "no second interface");
    Ok(())
}
