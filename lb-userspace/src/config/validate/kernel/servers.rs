//! Servers of `l4` frontends: whether packets to a VIP can become packets to them.

use super::{Vip, family, shown};
use crate::{
    config::{
        address::ServerAddress,
        error::Diagnostic,
        source::{At, Span},
        validate::bind::is_link_local,
    },
    model::Ports,
};
use lb_common::Forward;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

pub(super) fn check(vips: &[Vip<'_>], out: &mut Vec<Diagnostic>) {
    let (mut servers, mut families, mut ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut named: BTreeMap<Span, &Vip<'_>> = BTreeMap::new();
    for vip in vips {
        for server in vip.frontend.servers() {
            if servers.insert(server.span) {
                out.extend(server.value.ip().and_then(|ip| nowhere(ip, server.span, vips)));
            }
            let Some(forward) = vip.frontend.forward() else { continue };
            let wrong_family = server.value.ip().filter(|ip| !forward.is_tunnel() && vip.ip.is_ipv4() != ip.is_ipv4());
            if let Some(ip) = wrong_family.filter(|_| families.insert(server.span)) {
                out.push(other_family(vip, forward, (ip, server.span)));
            }
            let first = named.entry(server.span).or_insert(vip);
            if server.value.name().is_some()
                && !forward.is_tunnel()
                && first.ip.is_ipv4() != vip.ip.is_ipv4()
                && families.insert(server.span)
            {
                out.push(both_families((first, vip), forward, server.span));
            }
            if ports.insert((server.span, vip.span)) {
                out.extend(no_port(vip, forward, server));
            }
        }
    }
}

/// What is wrong with a server, whatever the VIP.
fn nowhere(address: IpAddr, span: Span, vips: &[Vip<'_>]) -> Option<Diagnostic> {
    if let Some(same) = vips.iter().find(|vip| vip.ip == address) {
        let message = format!("the server's address {address} is a VIP: packets would go round in circles");
        return Some(Diagnostic::error(span, message).related(same.span, "the VIP"));
    }
    let reason = if address.is_loopback() {
        "packets leave by a network interface: name the address that it has there"
    } else if is_link_local(address) {
        "it means another machine on each link: name an address that is unique"
    } else {
        return None;
    };
    Some(Diagnostic::error(span, format!("the kernel half cannot send to {address}")).help(reason))
}

fn other_family(vip: &Vip<'_>, forward: Forward, (address, span): (IpAddr, Span)) -> Diagnostic {
    let message = format!(
        "`{}` cannot bring packets to the {} VIP {} to the {} server {address}",
        forward.word(),
        family(vip.ip),
        vip.ip,
        family(address)
    );
    let reason = within_family(forward);
    let help = format!("{reason}: give the server an {} address, or use forward = \"ipip\" or \"gue\"", family(vip.ip));
    Diagnostic::error(span, message).related(vip.span, "the VIP").help(help)
}

/// A host name stands for one address.
fn both_families((first, second): (&Vip<'_>, &Vip<'_>), forward: Forward, span: Span) -> Diagnostic {
    let message = format!(
        "`{}` cannot bring packets of both families to one server, but {} and {} are VIPs of its",
        forward.word(),
        first.ip,
        second.ip
    );
    let help = format!(
        "{}: give the VIPs of each family a backend of their own, or use forward = \"ipip\" or \"gue\"",
        within_family(forward)
    );
    Diagnostic::error(span, message).related(first.span, "one VIP").related(second.span, "the other").help(help)
}

fn within_family(forward: Forward) -> &'static str {
    if forward.translates() {
        "addresses are rewritten within their family"
    } else {
        "the server gets the packet as it is, at an address of the packet's family"
    }
}

/// A port of the server's that packets to the VIP cannot get.
fn no_port(vip: &Vip<'_>, forward: Forward, server: &At<ServerAddress>) -> Option<Diagnostic> {
    let port = server.value.port.filter(|port| vip.ports != Ports::One(*port))?;
    let ports = shown(vip.ports);
    let (message, help) = match (forward, vip.ports) {
        (Forward::Direct | Forward::Ipip | Forward::Gue, _) => (
            format!("`{}` cannot map {ports} of the VIP to port {port} of the server", forward.word()),
            "the server gets the client's packet unchanged: leave the port out, or use forward = \"nat\"",
        ),
        (Forward::Nat | Forward::FullNat, Ports::Range(..) | Ports::All) => (
            format!("{ports} of the VIP cannot all become port {port} of the server"),
            "leave the port out: each packet keeps its own",
        ),
        (Forward::Nat | Forward::FullNat, Ports::One(_)) => return None,
    };
    Some(Diagnostic::error(server.span, message).related(vip.span, "the VIP").help(help))
}
