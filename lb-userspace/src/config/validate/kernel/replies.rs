//! Replies of `nat`: the source of each must tell which VIP the client talks to, because no flow is remembered.

use super::Vip;
use crate::{
    config::{
        address::{BindAddress, Place, ServerAddress},
        error::Diagnostic,
        source::Span,
    },
    model::{Track, replies::Replies},
};
use lb_common::{Forward, Protocol};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(vips: &[Vip<'_>], out: &mut Vec<Diagnostic>) {
    let mut all: BTreeMap<(&Place, Protocol), Vec<(Replies, &Vip<'_>)>> = BTreeMap::new();
    let mut reported: BTreeSet<(Span, Span)> = BTreeSet::new();
    for vip in vips.iter().filter(|vip| vip.frontend.forward() == Some(Forward::Nat)) {
        // With another family there are no replies, and there is another error.
        let servers = vip.frontend.servers().map(|server| &server.value);
        for ServerAddress { place, port } in servers {
            if matches!(place, Place::Address(ip) if ip.is_ipv4() != vip.ip.is_ipv4()) {
                continue;
            }
            // Ranges keep their ports, or it is another error.
            let tracked = vip.frontend.backend.1.track.value() == Some(&Track::Full);
            let replies = Replies::new(*port, (vip.ip, vip.ports), tracked);
            let others = all.entry((place, vip.protocol)).or_default();
            let meets = |of: &Vip<'_>| of.ip.is_ipv4() == vip.ip.is_ipv4();
            let other = others.iter().filter(|(_, of)| of.span != vip.span && meets(of));
            let other = other.into_iter().find(|(other, _)| replies.are_mixed_up_with(other));
            if let Some((_, other)) = other.filter(|(_, other)| reported.insert((other.span, vip.span))) {
                let server = match place {
                    Place::Address(ip) => BindAddress { ip: *ip, ports: replies.ports }.to_string(),
                    Place::Name(name) => format!("{name}:{}", replies.ports),
                };
                out.push(ambiguous(&server, vip, other));
            }
            others.push((replies, vip));
        }
    }
}

fn ambiguous(server: &str, vip: &Vip<'_>, other: &Vip<'_>) -> Diagnostic {
    let shown = |vip: &Vip<'_>| BindAddress { ip: vip.ip, ports: vip.ports };
    let message = format!("server {server} would serve two `nat` VIPs, {} and {}", shown(other), shown(vip));
    let error = Diagnostic::error(vip.span, message).related(other.span, "the other VIP");
    error.help("nothing in a server's reply tells which VIP it belongs to: give each VIP a port or address of the server, or have every flow remembered: track = \"full\" in the backends of both")
}
