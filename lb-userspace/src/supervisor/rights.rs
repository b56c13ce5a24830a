//! The capabilities that the supervisor keeps: those that it uses, and no other, neither for itself nor for what it starts.

use super::Options;
use crate::worker::privileges;
use anyhow::Context as _;
use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities},
};
use std::io;

/// What they are for.
const NEEDED: CapabilitySet = CapabilitySet::BPF // load the kernel half, make maps and pin them
    .union(CapabilitySet::PERFMON) // its offsets into packets are variable, which the verifier allows to no other
    .union(CapabilitySet::NET_ADMIN) // attach it to interfaces; write neighbours
    .union(CapabilitySet::NET_BIND_SERVICE) // listen on ports below 1,024
    .union(CapabilitySet::SETUID) // worker and runner become their own users,
    .union(CapabilitySet::SETGID) // of their own groups,
    .union(CapabilitySet::SETPCAP) // and give up what they could get back;
    .union(CapabilitySet::KILL) // then they can still be killed
    .union(CapabilitySet::DAC_OVERRIDE); // append to logs that logrotate has made for somebody else

/// Gives up all others, for good, and keeps the memory private, but for development. Must be called while the process has a
/// single thread.
pub(super) fn confine(options: &Options) -> anyhow::Result<()> {
    keep_needed().context("cannot give up the capabilities that are not needed")?;
    if !options.single_process {
        privileges::keep_memory_private().context("cannot keep the memory private")?;
    }
    Ok(())
}

fn keep_needed() -> io::Result<()> {
    let CapabilitySets { effective, permitted, inheritable } = capabilities(None)?;
    // Who may not change the bounding set is not root, and gets nothing out of it.
    if effective.contains(CapabilitySet::SETPCAP) {
        for bit in 0..u64::BITS {
            let capability = CapabilitySet::from_bits_retain(1 << bit);
            if NEEDED.contains(capability) {
                continue;
            }
            match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                Err(Errno::INVAL) => break, // Behind the last one that the kernel knows.
                Err(error) => return Err(error.into()),
            }
        }
    }
    let kept = CapabilitySets {
        effective: effective & NEEDED,
        permitted: permitted & NEEDED,
        inheritable: inheritable & NEEDED,
    };
    Ok(set_capabilities(None, kept)?)
}
