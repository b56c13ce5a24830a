//! Gives up every right for good. The first thing a worker does, before it reads a single byte from anyone; the runner of
//! checks does the same, as far as it can and still start programs.
//!
//! All of it must be done while the process has a single thread: rights belong to threads, and later threads inherit these.

mod calls;
mod files;

use crate::{dataplane::counters, l7};
use rustix::{
    process::{DumpableBehavior, Gid, Resource, Rlimit, Uid, set_dumpable_behavior, setrlimit},
    thread::{CapabilitySet, CapabilitySets},
};
use serde::{Deserialize, Serialize};
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

/// Nobody reads the memory of this process, where keys and passwords are: it leaves no core file, and nobody of the same user
/// can trace it. Starting a program ends the latter, and changing the user may.
pub fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// How far something holds a process that has no rights.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// Not at all: the kernel cannot, or it was not asked for.
    #[default]
    None = 0,
    /// As far as this kernel knows it.
    Part = 1,
    /// Wholly.
    Whole = 2,
}

/// How far the worker is held; the default is the worker that is a thread of its supervisor.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Sandbox {
    /// By its user and its lack of capabilities.
    pub rights: Hold,
    /// By Landlock.
    pub landlock: Hold,
    /// By the list of system calls that it may make.
    pub seccomp: Hold,
}

/// Leaves the worker what it needs: the descriptors that it has and is given, the network, and memory. What the kernel cannot
/// do of it is said in the log, which must be there. What is read once and then known is read before, for this thread.
pub fn confine_worker() -> Sandbox {
    l7::log::read_zone();
    counters::read_cpus();
    // Random numbers ask once how copies of this machine are told from it; where there is no answer they do without.
    aws_lc_rs::rand::fill(&mut [0]).unwrap_or_default();
    let landlock = files::close();
    let seccomp = calls::keep_to_those_of_the_worker(std::process::id());
    Sandbox { rights: Hold::Whole, landlock, seccomp }
}

/// Leaves the runner and the programs that it starts what checks may need.
pub fn confine_runner() {
    calls::refuse_those_of_no_check();
}
