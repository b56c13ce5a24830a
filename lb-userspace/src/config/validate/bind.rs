//! Where frontends listen: addresses, protocols, certificates, and that no two claim the same.

use super::{Entry, tls};
use crate::{
    config::{
        address::BindAddress,
        bundle::Bundle,
        error::Diagnostic,
        file::{Bind as Typed, BindForm, Frontend, Mode},
        read::{Knob, OneOrMany},
        source::At,
    },
    model::{Bind, Ports},
};
use lb_common::Protocol;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// The addresses of a frontend. With a faulty `mode`, what depends on it is not checked.
pub(super) fn binds(
    name: &At<String>,
    knob: &Knob<OneOrMany<BindForm>>,
    mode: Option<Mode>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Vec<Bind> {
    let typed = match knob {
        Knob::Given(At { value: OneOrMany(binds), .. }) if !binds.is_empty() => binds,
        Knob::Faulty => return Vec::new(),
        Knob::Given(_) | Knob::Absent => {
            let error = Diagnostic::error(name.span, format!("frontend `{}` listens nowhere", name.value));
            out.push(error.help("give it an address: bind = [\"*:80\"]"));
            return Vec::new();
        }
    };
    let binds: Vec<_> = typed.iter().flat_map(|bind| one(bind, mode, bundle, out)).collect();
    if let Some(mode @ (Mode::Tcp | Mode::Http)) = mode {
        check_number(name, mode, &binds, out);
    }
    binds
}

/// Each port of the proxy is a socket a thread; the kernel half needs none.
fn check_number(name: &At<String>, mode: Mode, binds: &[Bind], out: &mut Vec<Diagnostic>) {
    let count = binds.iter().flat_map(Bind::addresses).count();
    if count > MAX_SOCKETS {
        let (name, mode, span) = (&name.value, mode.word(), name.span);
        let message = format!("frontend `{name}` listens on {count} ports; mode `{mode}` takes at most {MAX_SOCKETS}");
        let error = Diagnostic::error(span, message);
        out.push(
            error.help("each is a socket a thread; mode \"l4\" has ranges and all ports of an address for nothing"),
        );
    }
}

/// Most ports of a frontend that the proxy serves, those of each address counted.
const MAX_SOCKETS: usize = 1_024;

/// One bind a protocol.
fn one(
    At { value: BindForm(typed), span }: &At<BindForm>,
    mode: Option<Mode>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Vec<Bind> {
    if typed.address.is_absent() {
        out.push(Diagnostic::error(*span, "a bind needs an `address`"));
    }
    check_protocols(&typed.protocol, out);
    match mode {
        Some(Mode::L4) => check_l4(typed, out),
        Some(mode @ (Mode::Tcp | Mode::Http)) => check_proxied(typed, mode, out),
        None => {}
    }
    let (certificates, tls) = tls::of_bind(typed.tls.given(), bundle, out);
    let stand_in = BindAddress { ip: Ipv4Addr::UNSPECIFIED.into(), ports: Ports::One(1) };
    let BindAddress { ip, ports } = typed.address.or(stand_in);
    let address = SocketAddr::new(ip, ports.lowest().unwrap_or(0));
    let networks = typed.accept_proxy.value().into_iter().flat_map(|OneOrMany(networks)| networks);
    let accept_proxy: Vec<_> = networks.map(|network| network.value.0).collect();
    let bind = |protocol| Bind {
        address,
        ports,
        protocol,
        accept_proxy: accept_proxy.clone(),
        certificates: certificates.clone(),
        tls: tls.clone(),
    };
    typed.protocols().map(bind).collect()
}

impl Typed {
    /// What it listens for; nothing if that is faulty.
    pub(super) fn protocols(&self) -> impl Iterator<Item = Protocol> {
        let given = self.protocol.value().into_iter().flat_map(|OneOrMany(protocols)| protocols).map(|at| at.value);
        given.chain(self.protocol.is_absent().then_some(Protocol::Tcp))
    }

    /// Whether it listens for `protocol`.
    pub(super) fn serves(&self, protocol: Protocol) -> bool {
        self.protocols().any(|served| served == protocol)
    }
}

fn check_protocols(knob: &Knob<OneOrMany<Protocol>>, out: &mut Vec<Diagnostic>) {
    let Some(At { value: OneOrMany(protocols), span }) = knob.given() else { return };
    if protocols.is_empty() {
        out.push(Diagnostic::error(*span, "`protocol` names none"));
    }
    for (index, protocol) in protocols.iter().enumerate() {
        if protocols.iter().take(index).any(|before| before.value == protocol.value) {
            out.push(Diagnostic::error(protocol.span, format!("`{}` is listed twice", protocol.value)));
        }
    }
}

fn check_proxied(typed: &Typed, mode: Mode, out: &mut Vec<Diagnostic>) {
    let protocols = typed.protocol.value().into_iter().flat_map(|OneOrMany(protocols)| protocols);
    for At { span, .. } in protocols.filter(|protocol| protocol.value == Protocol::Udp) {
        let error = Diagnostic::error(*span, format!("mode `{}` cannot serve udp", mode.word()));
        out.push(error.help("udp is balanced by the kernel half: mode = \"l4\""));
    }
    if let Some(At { value: BindAddress { ports: Ports::All, .. }, span }) = typed.address.given() {
        let error = Diagnostic::error(*span, format!("mode `{}` cannot listen on all ports", mode.word()));
        out.push(error.help("name those that clients need, such as \"*:8000-8100\"; `*` is for mode `l4`"));
    }
}

fn check_l4(typed: &Typed, out: &mut Vec<Diagnostic>) {
    if let Some(At { value: BindAddress { ip, .. }, span }) = typed.address.given()
        && let Some(reason) = unfit(*ip)
    {
        let message = format!("an l4 frontend needs one address of its own, not `{ip}`");
        out.push(Diagnostic::error(*span, message).help(reason));
    }
    if let Some(networks) = typed.accept_proxy.given() {
        let error =
            Diagnostic::error(networks.span, "an l4 frontend forwards packets as they are, PROXY headers among them");
        out.push(error.help("use mode \"tcp\" or \"http\", or let the servers read the header"));
    }
    if let Some(tls) = typed.tls.given() {
        let error = Diagnostic::error(tls.span, "an l4 frontend cannot terminate TLS: it forwards packets as they are");
        out.push(error.help("use mode \"tcp\" or \"http\", or let the servers terminate TLS"));
    }
}

/// Why an address cannot be a VIP of the kernel half.
fn unfit(ip: IpAddr) -> Option<&'static str> {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        Some("the kernel half forwards every packet to that address: name the VIP")
    } else if ip.is_loopback() {
        Some("no packet to it comes in by a network interface: name the VIP")
    } else if is_link_local(ip) {
        Some("it means another machine on each link, and no router passes it on: name the VIP")
    } else {
        None
    }
}

/// Of IPv6 alone (RFC 4291 §2.5.6): an IPv4 one (RFC 3927) has no scope that a packet would lack.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// What a bind takes for itself.
struct Claim<'a> {
    address: &'a At<BindAddress>,
    frontend: &'a At<String>,
    mode: Option<Mode>,
}

impl Claim<'_> {
    /// Whether packets are claimed that `other` claims too. `*` and `[::]` claim all of their family. Of two VIPs the one
    /// of all ports has what the other leaves.
    fn clashes(&self, other: &Self) -> bool {
        let (BindAddress { ip, ports }, BindAddress { ip: others, ports: other_ports }) =
            (self.address.value, other.address.value);
        let same_ip =
            ip == others || (ip.is_ipv4() == others.is_ipv4() && (ip.is_unspecified() || others.is_unspecified()));
        let may_be_l4 = |mode: Option<Mode>| mode.is_none_or(|mode| mode == Mode::L4);
        let leaves_some = (ports == Ports::All) != (other_ports == Ports::All);
        same_ip && ports.overlap(other_ports) && !(leaves_some && may_be_l4(self.mode) && may_be_l4(other.mode))
    }
}

/// Reports binds that claim the same packets.
pub(super) fn check_conflicts(frontends: &[&Entry<Frontend>], out: &mut Vec<Diagnostic>) {
    let mut reported = BTreeSet::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut claims = claims(frontends, protocol);
        claims.sort_by_key(|claim| claim.address.span);
        for (index, claim) in claims.iter().enumerate() {
            let first = claims.iter().take(index).find(|first| claim.clashes(first));
            if let Some(first) = first.filter(|_| reported.insert(claim.address.span)) {
                let (address, taken) = (claim.address.value, first.address.value);
                let message =
                    format!("`{address}` is taken already, by `{taken}` of frontend `{}`", first.frontend.value);
                out.push(
                    Diagnostic::error(claim.address.span, message)
                        .label(format!("frontend `{}`", claim.frontend.value))
                        .related(first.address.span, "first here"),
                );
            }
        }
    }
}

fn claims<'a>(frontends: &[&'a Entry<Frontend>], protocol: Protocol) -> Vec<Claim<'a>> {
    let of_frontend = |(name, frontend): &&'a Entry<Frontend>| {
        let binds = frontend.bind.value().into_iter().flat_map(|OneOrMany(binds)| binds).map(|bind| &bind.value.0);
        let addresses = binds.filter(|bind| bind.serves(protocol)).filter_map(|bind| bind.address.given());
        let mode = frontend.mode.value().copied();
        addresses.map(move |address| Claim { address, frontend: name, mode }).collect::<Vec<_>>()
    };
    frontends.iter().flat_map(of_frontend).collect()
}
