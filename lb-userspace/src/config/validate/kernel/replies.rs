//! Replies of `nat`: the source of each must tell which VIP the client talks to, because no flow is remembered.

use super::Vip;
use crate::{
    config::{address::BindAddress, error::Diagnostic, source::Span},
    model::{Ports, Track},
};
use lb_common::{Forward, Protocol};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// A server's ports as replies have them, and the VIP that they stand for.
struct Replies<'a> {
    /// The server's ports.
    ports: Ports,
    /// Whether the client sees the same ports.
    keeps: bool,
    vip: &'a Vip<'a>,
}

impl Replies<'_> {
    /// Whether a reply may belong to either.
    ///
    /// A server has one entry for each single port, and one for all the ranges it serves.
    fn are_mixed_up_with(&self, other: &Self) -> bool {
        let single = |ports| matches!(ports, Ports::One(_));
        let meet = if single(self.ports) || single(other.ports) { self.ports.overlap(other.ports) } else { true };
        let mean_the_same = self.vip.ip == other.vip.ip
            && (self.keeps && other.keeps || (self.keeps == other.keeps && self.vip.ports == other.vip.ports));
        meet && !mean_the_same
    }

    fn are_tracked(&self) -> bool {
        self.vip.frontend.backend.1.track.value() == Some(&Track::Full)
    }
}

pub(super) fn check(vips: &[Vip<'_>], out: &mut Vec<Diagnostic>) {
    let mut all: BTreeMap<(IpAddr, Protocol), Vec<Replies<'_>>> = BTreeMap::new();
    let mut reported: BTreeSet<(Span, Span)> = BTreeSet::new();
    for vip in vips.iter().filter(|vip| vip.frontend.forward() == Some(Forward::Nat)) {
        // With another family there are no replies, and there is another error.
        let servers = vip.frontend.servers().map(|server| server.value);
        for server in servers.filter(|server| server.address.is_ipv4() == vip.ip.is_ipv4()) {
            // Ranges keep their ports, or it is another error.
            let port = server.port.filter(|_| matches!(vip.ports, Ports::One(_)));
            let ports = port.map_or(vip.ports, Ports::One);
            let replies = Replies { ports, keeps: ports == vip.ports, vip };
            let others = all.entry((server.address, vip.protocol)).or_default();
            let other = others
                .iter()
                .find(|other| replies.are_mixed_up_with(other) && !(replies.are_tracked() && other.are_tracked()));
            if let Some(other) = other.filter(|other| reported.insert((other.vip.span, vip.span))) {
                out.push(ambiguous(server.address, &replies, other));
            }
            others.push(replies);
        }
    }
}

fn ambiguous(server: IpAddr, replies: &Replies<'_>, other: &Replies<'_>) -> Diagnostic {
    let server = BindAddress { ip: server, ports: replies.ports };
    let vip = |vip: &Vip<'_>| BindAddress { ip: vip.ip, ports: vip.ports };
    let message = format!("server {server} would serve two `nat` VIPs, {} and {}", vip(other.vip), vip(replies.vip));
    let error = Diagnostic::error(replies.vip.span, message).related(other.vip.span, "the other VIP");
    error.help("nothing in a server's reply tells which VIP it belongs to: give each VIP a port or address of the server, or have every flow remembered: track = \"full\" in the backends of both")
}
