//! What only the kernel half asks for: rules that concern `l4` frontends together with the backends they use.

mod addresses;
mod backend;
mod replies;
mod servers;

use super::{Entry, names::Names};
use crate::{
    config::{
        address::{BindAddress, ServerAddress},
        error::Diagnostic,
        file::{Backend, File, Frontend, Mode},
        read::OneOrMany,
        source::{At, Span},
        text::Text,
    },
    model::Ports,
};
use lb_common::{Forward, Protocol};
use std::{collections::BTreeSet, net::IpAddr};

/// An `l4` frontend with a backend it uses.
#[derive(Clone, Copy)]
struct L4<'a> {
    name: &'a str,
    typed: &'a Frontend,
    /// Where the backend is named.
    used: Span,
    /// Whether it only falls back to the backend.
    is_fallback: bool,
    /// Which backend.
    index: usize,
    backend: &'a Entry<Backend>,
}

impl L4<'_> {
    /// How packets reach the servers, if that is said.
    fn forward(&self) -> Option<Forward> {
        self.backend.1.forward.value().copied()
    }

    /// The addresses that its servers have, as far as they have some.
    fn servers(&self) -> impl Iterator<Item = &At<ServerAddress>> {
        servers(self.backend)
    }
}

/// One address of an `l4` frontend with one protocol, or several that differ in their port alone.
#[derive(Clone, Copy)]
struct Vip<'a> {
    frontend: L4<'a>,
    ip: IpAddr,
    ports: Ports,
    protocol: Protocol,
    /// Where the address stands.
    span: Span,
}

pub(super) fn check(
    file: &File,
    frontends: &[&Entry<Frontend>],
    backends: &[&Entry<Backend>],
    names: &Names<'_>,
    out: &mut Vec<Diagnostic>,
) {
    check_global(file, frontends, out);
    let frontends: Vec<_> = frontends.iter().flat_map(|frontend| l4(frontend, backends, names)).collect();
    let mut seen = BTreeSet::new();
    for frontend in &frontends {
        let is_first = seen.insert(frontend.index);
        if is_first {
            backend::check(frontend, out);
        }
        backend::check_marked_down(frontend, is_first, out);
    }
    let mut vips: Vec<_> = frontends.iter().flat_map(|frontend| vips(*frontend)).collect();
    vips.sort_by_key(|vip| vip.span);
    backend::check_sources(&vips, backends, out);
    servers::check(&vips, out);
    replies::check(&vips, out);
    addresses::check(&vips, out);
}

/// An `l4` frontend with its backend, and with those that this falls back to.
fn l4<'a>((name, typed): &'a Entry<Frontend>, backends: &[&'a Entry<Backend>], names: &Names<'_>) -> Vec<L4<'a>> {
    let mut next = typed.default_backend.value().filter(|_| typed.mode.value() == Some(&Mode::L4));
    let mut found: Vec<L4<'a>> = Vec::new();
    while let Some((used, index)) = next.and_then(|used| Some((used.span, names.find(&used.value)?)))
        && let Some(backend) = backends.get(index)
        && found.iter().all(|known| known.index != index)
    {
        found.push(L4 { name: &name.value, typed, used, is_fallback: !found.is_empty(), index, backend });
        next = backend.1.fallback.value();
    }
    found
}

fn vips(frontend: L4<'_>) -> Vec<Vip<'_>> {
    let binds = frontend.typed.bind.value().into_iter().flat_map(|OneOrMany(binds)| binds).map(|bind| &bind.value.0);
    let addresses = binds.filter_map(|bind| Some((bind, bind.address.given()?)));
    let vips = addresses.flat_map(|(bind, At { value: BindAddress { ip, ports }, span })| {
        bind.protocols().map(move |protocol| Vip { frontend, ip: *ip, ports: *ports, protocol, span: *span })
    });
    vips.collect()
}

/// The addresses that the servers of a backend have, as far as they have some.
fn servers(backend: &Entry<Backend>) -> impl Iterator<Item = &At<ServerAddress>> {
    backend.1.server.value().into_iter().flatten().filter_map(|server| server.value.address.given())
}

/// Ports of a VIP, for messages.
fn shown(ports: Ports) -> String {
    match ports {
        Ports::One(port) => format!("port {port}"),
        Ports::Range(..) => format!("ports {ports}"),
        Ports::All => "all ports".to_owned(),
    }
}

/// The family of an address, for messages.
fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn check_global(file: &File, frontends: &[&Entry<Frontend>], out: &mut Vec<Diagnostic>) {
    let l4 = frontends.iter().filter_map(|(_, frontend)| frontend.mode.given()).filter(|mode| mode.value == Mode::L4);
    let Some(mode) = l4.min_by_key(|mode| mode.span) else { return };
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
