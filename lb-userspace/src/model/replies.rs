//! Replies of `nat` servers: the source of each must tell which VIP the client talks to, because no flow is remembered.

use super::Ports;
use std::net::IpAddr;

/// What a server answers from for a VIP of `nat`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Replies {
    /// The server's ports.
    pub ports: Ports,
    /// The VIP.
    pub vip: IpAddr,
    /// Its ports.
    pub vip_ports: Ports,
    /// Whether every flow is remembered, so that nothing depends on the source.
    pub tracked: bool,
}

impl Replies {
    /// Of a server with that port to that VIP; without one it has those of the VIP. Ranges keep theirs, too.
    pub fn new(port: Option<u16>, (vip, vip_ports): (IpAddr, Ports), tracked: bool) -> Self {
        let port = port.filter(|_| matches!(vip_ports, Ports::One(_)));
        Self { ports: port.map_or(vip_ports, Ports::One), vip, vip_ports, tracked }
    }

    /// Whether a reply may belong to either, and nothing tells to which.
    ///
    /// A server has one entry for each single port, and one for all the ranges it serves.
    pub fn are_mixed_up_with(&self, other: &Self) -> bool {
        let single = |ports| matches!(ports, Ports::One(_));
        let meet = if single(self.ports) || single(other.ports) { self.ports.overlap(other.ports) } else { true };
        let keeps = |replies: &Self| replies.ports == replies.vip_ports;
        let mean_the_same = self.vip == other.vip
            && (keeps(self) && keeps(other) || (keeps(self) == keeps(other) && self.vip_ports == other.vip_ports));
        meet && !mean_the_same && !(self.tracked && other.tracked)
    }
}
