//! What only the kernel half asks for: rules that concern `l4` frontends together with the backends they use.

use super::{Entry, Use};
use crate::{
    config::{
        error::Diagnostic,
        file::{Backend, File, Mode, Server},
        read::{Named, OneOrMany},
        source::{At, Span},
        text::Text,
    },
    model::Balance,
};
use lb_common::{Forward, Protocol};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// One address of an `l4` frontend and what serves it.
struct Vip<'a> {
    address: SocketAddr,
    protocol: Protocol,
    span: Span,
    backend: &'a Entry<Backend>,
}

pub(super) fn check(file: &File, backends: &[&Entry<Backend>], uses: &[Use<'_>], out: &mut Vec<Diagnostic>) {
    check_global(file, out);
    let uses: Vec<_> = uses.iter().filter(|used| used.mode == Some(Mode::L4)).collect();
    let mut seen = BTreeSet::new();
    for used in &uses {
        if let Some(backend) = backends.get(used.backend)
            && seen.insert(used.backend)
        {
            check_backend(backend, used, out);
        }
    }
    let vips: Vec<_> = uses.iter().filter_map(|used| Some(vips(used, backends.get(used.backend)?))).flatten().collect();
    for vip in &vips {
        check_ports(vip, out);
    }
    check_server_is_no_vip(&vips, out);
    check_replies_are_unambiguous(&vips, out);
}

fn vips<'a>(used: &Use<'_>, backend: &'a Entry<Backend>) -> Vec<Vip<'a>> {
    let binds = used.binds.iter().map(|bind| &bind.value.0);
    let vip = binds.filter_map(|bind| {
        let At { value, span } = bind.address.given()?;
        Some(Vip { address: *value, protocol: bind.protocol.or(Protocol::Tcp), span: *span, backend })
    });
    vip.collect()
}

/// The servers of a backend with their addresses, as far as they have some.
fn servers(backend: &Entry<Backend>) -> impl Iterator<Item = (&Server, IpAddr, Option<u16>, Span)> {
    let all = backend.1.server.value().into_iter().flatten();
    all.filter_map(|At { value: server, .. }| {
        let address = server.address.given()?;
        Some((server, address.value.address, address.value.port, address.span))
    })
}

fn check_global(file: &File, out: &mut Vec<Diagnostic>) {
    let frontends = file.frontend.value().into_iter().flat_map(|Named(frontends)| frontends);
    let mut l4 = frontends.filter_map(|(_, frontend)| frontend.mode.given()).filter(|mode| mode.value == Mode::L4);
    let Some(mode) = l4.by_ref().min_by_key(|mode| mode.span) else { return };
    let global = file.global.value();
    let no_interfaces = global.is_none_or(|global| {
        global.interfaces.is_absent()
            || global.interfaces.value().is_some_and(|OneOrMany(interfaces)| interfaces.is_empty())
    });
    if no_interfaces {
        let error =
            Diagnostic::error(mode.span, "l4 frontends need the network interfaces that their packets come in by");
        out.push(error.help("name them: `[global]` interfaces = [\"eth0\"]"));
    }
    let guessable = |text: &Text| text.value.bytes().all(|digit| digit == b'0');
    if global.is_none_or(|global| global.hash_key.is_absent() || global.hash_key.value().is_some_and(guessable)) {
        let warning = Diagnostic::warning(
            mode.span,
            "without a `hash_key` of your own clients can compute which server they get",
        );
        out.push(warning.help("`[global]` hash_key, the same on all balancers of a group: openssl rand -hex 16"));
    }
}

fn check_backend(backend: &Entry<Backend>, used: &Use<'_>, out: &mut Vec<Diagnostic>) {
    let (name, typed) = backend;
    if let Some(At { value: Balance::RoundRobin, span }) = typed.balance.given() {
        let error = Diagnostic::error(
            *span,
            format!("l4 frontends balance by maglev, but backend `{}` by roundrobin", name.value),
        );
        let error = error.related(used.span, format!("used by l4 frontend `{}` here", used.frontend));
        out.push(error.help(
            "the kernel half keeps no turn: it hashes each packet, so that every balancer of a group picks the same server; set \"maglev\"",
        ));
    }
    if typed.forward.is_absent() {
        let error = Diagnostic::error(
            name.span,
            format!("backend `{}` does not say how packets reach its servers", name.value),
        );
        let error = error.related(used.span, format!("used by l4 frontend `{}` here", used.frontend));
        out.push(error.help(
            "forward = \"direct\" if the servers own the VIP and answer clients themselves; forward = \"nat\" if their replies pass here",
        ));
    }
    for (_, address, _, span) in servers(backend).filter(|(_, address, ..)| address.is_ipv6()) {
        let error = Diagnostic::error(
            span,
            format!("the server {address} of an l4 frontend has an IPv6 address: not supported yet"),
        );
        out.push(error.help("supported: an IPv4 address").related(used.span, "used by an l4 frontend here"));
    }
}

fn check_ports(vip: &Vip<'_>, out: &mut Vec<Diagnostic>) {
    if vip.backend.1.forward.value() != Some(&Forward::Direct) {
        return;
    }
    let wrong = servers(vip.backend).filter(|(_, _, port, _)| port.is_some_and(|port| port != vip.address.port()));
    for (_, _, port, span) in wrong {
        let (port, wanted) = (port.unwrap_or_default(), vip.address.port());
        let error = Diagnostic::error(
            span,
            format!("`direct` cannot map port {wanted} of the VIP to port {port} of the server"),
        );
        let error = error.related(vip.span, "the VIP");
        out.push(
            error.help("the server gets the client's packet unchanged: leave the port out, or use forward = \"nat\""),
        );
    }
}

/// A packet to such a server would be taken for one to the VIP, and forwarded again.
fn check_server_is_no_vip(vips: &[Vip<'_>], out: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    for vip in vips {
        for (_, address, _, span) in servers(vip.backend).filter(|(.., span)| seen.insert(*span)) {
            if let Some(same) = vips.iter().find(|vip| vip.address.ip() == address) {
                let error = Diagnostic::error(
                    span,
                    format!("the server's address {address} is a VIP: packets would go round in circles"),
                );
                out.push(error.related(same.span, "the VIP"));
            }
        }
    }
}

/// The return path of `nat` is one entry a server: source of the reply → VIP.
fn check_replies_are_unambiguous(vips: &[Vip<'_>], out: &mut Vec<Diagnostic>) {
    let mut owners: BTreeMap<(IpAddr, u16, u8), &Vip<'_>> = BTreeMap::new();
    let mut reported = BTreeSet::new();
    for vip in vips.iter().filter(|vip| vip.backend.1.forward.value() == Some(&Forward::Nat)) {
        for (_, address, port, _) in servers(vip.backend) {
            let port = port.unwrap_or_else(|| vip.address.port());
            let owner = owners.entry((address, port, vip.protocol.number())).or_insert(vip);
            // The same VIP twice is another error, reported where binds are compared.
            let other = (owner.address, owner.protocol) != (vip.address, vip.protocol);
            if other && reported.insert((owner.span, vip.span)) {
                let server = SocketAddr::new(address, port);
                let message =
                    format!("server {server} would serve two `nat` VIPs, {} and {}", owner.address, vip.address);
                let error = Diagnostic::error(vip.span, message).related(owner.span, "the other VIP");
                out.push(error.help("nothing in a server's reply tells which VIP it belongs to: give each VIP a port or address of the server"));
            }
        }
    }
}
