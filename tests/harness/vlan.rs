//! VLAN tags on the cable of a machine: what it sends has them, and what it gets must have them.
//!
//! In a data centre a VLAN device of the machine's kernel does that. Here XDP programs at both ends of the cable do,
//! `lb-ebpf/tools/src/vlan.rs`, so that a lab stands on every kernel.

use crate::{
    lab::{Lab, SERVER_GATEWAY, SERVER_GATEWAY6},
    netns::Namespace,
    tools::{Loaded, Program},
};
use anyhow::Result;

/// A cable with tags on it.
#[derive(Debug)]
pub struct Vlan {
    push: Loaded,
    pop: Loaded,
}

impl Vlan {
    /// Puts tags on the cable between a machine's `eth0` and its port of the switch: VLANs, the outer one first; one or
    /// two. They stay as long as the lab.
    ///
    /// ARP, neighbour discovery, what the machine sends to many, and what it sends to the balancer's address on the servers'
    /// link stay without, for the balancer's stack to understand them.
    pub fn lay(lab: &Lab, machine: &Namespace, port: &str, tags: &[u16]) -> Result<Self> {
        let mut vlan = Self::load(tags)?;
        vlan.push.attach(&lab.switch, port, lab.name())?;
        vlan.pop.attach(machine, "eth0", lab.name())?;
        Ok(vlan)
    }

    /// Loads the programs for such tags.
    pub fn load(tags: &[u16]) -> Result<Self> {
        let tag = |place: usize| tags.get(place).copied().unwrap_or(0).to_be_bytes();
        let (tags, stack, stack6) = ([tag(0), tag(1)].concat(), SERVER_GATEWAY.octets(), SERVER_GATEWAY6.octets());
        let load = |program| {
            Loaded::with(program, |loader| {
                loader.override_global("TAGS", tags.as_slice(), true);
                loader.override_global("UNTAGGED4", stack.as_slice(), true);
                loader.override_global("UNTAGGED6", stack6.as_slice(), true);
            })
        };
        Ok(Self { push: load(Program::VlanPush)?, pop: load(Program::VlanPop)? })
    }

    /// What happens to a frame that the machine sends. See [`Loaded::run`].
    pub fn run_push(&self, frame: &[u8]) -> Result<(u32, Vec<u8>)> {
        self.push.run(frame)
    }

    /// What happens to a frame that it gets.
    pub fn run_pop(&self, frame: &[u8]) -> Result<(u32, Vec<u8>)> {
        self.pop.run(frame)
    }

    /// Frames that the machine sent and that got tags.
    pub fn pushed(&self) -> Result<u64> {
        self.push.counted(TAGGED, 0)
    }

    /// Frames that the machine got with the right tags.
    pub fn popped(&self) -> Result<u64> {
        self.pop.counted(TAGGED, 0)
    }

    /// Frames that the machine got without tags.
    pub fn plain(&self) -> Result<u64> {
        self.pop.counted(TAGGED, 1)
    }

    /// Frames to the machine with wrong tags, which were dropped.
    pub fn wrong(&self) -> Result<u64> {
        self.pop.counted(TAGGED, 2)
    }
}

const TAGGED: &str = "TAGGED";
