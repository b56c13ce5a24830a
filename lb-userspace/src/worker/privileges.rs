//! Gives up every right for good. The first thing a worker does, before it reads a single byte from anyone.

use rustix::{
    process::{Gid, Uid},
    thread::{CapabilitySet, CapabilitySets},
};
use std::io;

/// Who a process becomes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// User, not 0.
    pub uid: u32,
    /// Group, and the only one.
    pub gid: u32,
}

/// Becomes `identity`, without any capability and without a way to get one back: the bounding set is empty and
/// `no_new_privs` is set.
///
/// Must be called while the process has a single thread: rights belong to threads, and later threads inherit these.
pub fn drop_all(identity: Identity) -> io::Result<()> {
    for capability in 0..u64::BITS {
        // The kernel answers EINVAL behind the last capability that it knows.
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability)) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_groups(&[gid])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    give_up_capabilities()
}

/// Keeps the user, for a daemon that was not started by root, and gives up what else there may be.
pub fn give_up_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    rustix::thread::clear_ambient_capability_set()?;
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}
