//! The servers' end of tunnels: what `forward = "ipip"` and `"gue"` send is opened there, and counted.
//!
//! In a data centre this is a tunnel device of the server's kernel. Here it is an XDP program before the server's stack,
//! `lb-ebpf/tools/src/decapsulate.rs`, so that a lab stands on every kernel.

use crate::{
    lab::{Family, Lab, Machine},
    tools::{Loaded, Program},
};
use anyhow::Result;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The port of generic UDP encapsulation, unless said otherwise.
pub const GUE_PORT: u16 = 6080;

/// What a packet is put into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// UDP in IP: generic UDP encapsulation, variant 1.
    Gue,
}

/// The end of all tunnels to one server.
#[derive(Debug)]
pub struct TunnelEnd(Loaded);

impl TunnelEnd {
    /// Opens it on a server of the lab. It stays as long as the lab.
    pub fn open(lab: &Lab, machine: &Machine, gue_port: u16) -> Result<Self> {
        let mut end = Self::load(machine.address, machine.address6, gue_port)?;
        end.0.attach(&machine.namespace, "eth0", lab.name())?;
        Ok(end)
    }

    /// Loads the program for a server that has these addresses.
    pub fn load(own: Ipv4Addr, own6: Ipv6Addr, gue_port: u16) -> Result<Self> {
        let (own, own6) = (own.octets(), own6.octets());
        let program = Loaded::with(Program::Decapsulate, |loader| {
            loader.override_global("OWN4", own.as_slice(), true);
            loader.override_global("OWN6", own6.as_slice(), true);
            loader.override_global("GUE_PORT", &gue_port, true);
        })?;
        Ok(Self(program))
    }

    /// What the program does to a frame. See [`Loaded::run`].
    pub fn run(&self, frame: &[u8]) -> Result<(u32, Vec<u8>)> {
        self.0.run(frame)
    }

    /// Packets that were taken out of such a tunnel.
    pub fn opened(&self, tunnel: Tunnel, outer: Family, inner: Family) -> Result<u64> {
        let second = |family| u32::from(family == Family::V6);
        self.counted(u32::from(tunnel == Tunnel::Gue) * 4 + second(outer) * 2 + second(inner))
    }

    /// Packets that were taken out of any tunnel.
    pub fn opened_all(&self) -> Result<u64> {
        (0..8).map(|row| self.counted(row)).sum()
    }

    /// Packets whose outer header was wrong in length or checksum, and that were dropped therefore.
    pub fn damaged(&self) -> Result<u64> {
        self.counted(8)
    }

    /// Packets in tunnels to other machines, dropped too. Some may come: a switch that does not know a machine yet sends
    /// to all.
    pub fn foreign(&self) -> Result<u64> {
        self.counted(9)
    }

    fn counted(&self, row: u32) -> Result<u64> {
        self.0.counted("DECAPSULATED", row)
    }
}
