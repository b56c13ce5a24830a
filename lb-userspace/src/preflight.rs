//! Preflight: what a configuration asks of this machine and its network that the text alone does not tell. What it asks of the
//! network is told as warnings at start and reload, and all of it by `sluice preflight` and `sluice check --host`; none of it is
//! an error, for all of it may change while the daemon runs.
//!
//! Pure, but for [`read`] and [`device`], which ask the kernel what [`host`] then says of the machine.

pub mod device;
pub mod host;
mod machine;
pub mod read;
#[cfg(test)]
mod tests;

use crate::model::{Backend, BackendIndex, Model};
use host::{Host, Way};
use lb_common::Forward;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

/// Something that the configuration needs and this machine lacks, or seems to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What, and why it matters; one line.
    pub text: String,
    /// The command that mends it; `None`: the text says what does.
    pub mend: Option<String>,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As things are, packets are lost, or take many times as long.
    Warning,
    /// It may well be meant.
    Note,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "{severity}: {}", self.text)?;
        self.mend.as_ref().map_or(Ok(()), |mend| write!(f, "; mend it: {mend}"))
    }
}

/// What `model` asks of `host`, of its network and of the machine itself. Nothing without `l4` frontends.
pub fn all(model: &Model, host: &Host) -> Vec<Finding> {
    let mut found = findings(model, host);
    if model.needs_kernel() {
        machine::findings(model, host, &mut found);
    }
    found
}

/// What `model` asks of the network of `host`. Nothing without `l4` frontends.
pub fn findings(model: &Model, host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut vips: BTreeMap<BackendIndex, BTreeSet<IpAddr>> = BTreeMap::new();
    for (vip, kernel) in model.vips() {
        vips.entry(kernel.frontend.backend).or_default().insert(vip.address);
    }
    if !vips.is_empty() {
        interfaces(model, host, &mut found);
        for vip in vips.values().flatten().copied().collect::<BTreeSet<IpAddr>>() {
            if !host.has(vip) {
                let text = format!("this machine does not have the VIP {vip}; packets for it must be routed here");
                found.push(Finding { severity: Severity::Note, text, mend: None });
            }
        }
    }
    for (index, vips) in vips {
        if let Some(backend) = model.backends.get(index) {
            found.extend(Servers { backend, vips, host, interfaces: &model.global.interfaces }.findings());
        }
    }
    found
}

fn interfaces(model: &Model, host: &Host, found: &mut Vec<Finding>) {
    for name in &model.global.interfaces {
        let (text, mend) = match host.link(name) {
            None => (format!("this machine has no interface `{name}`"), None),
            Some(link) if !link.up => {
                (format!("interface `{name}` is down, or has no carrier"), Some(format!("ip link set {name} up")))
            }
            Some(_) => continue,
        };
        found.push(Finding { severity: Severity::Warning, text, mend });
    }
}

/// The servers of an `l4` frontend's backend.
struct Servers<'a> {
    backend: &'a Backend,
    vips: BTreeSet<IpAddr>,
    host: &'a Host,
    /// Where the kernel half is attached.
    interfaces: &'a [String],
}

impl Servers<'_> {
    fn findings(&self) -> Vec<Finding> {
        let mut found: BTreeMap<(Severity, String), Vec<&str>> = BTreeMap::new();
        for server in self.backend.servers.iter().filter(|server| server.is_resolved()) {
            for about in self.of_server(server.address.ip()) {
                found.entry(about).or_default().push(&server.name);
            }
        }
        let name = &self.backend.name;
        let absent = self.backend.sources.iter().filter(|source| !self.host.has(**source)).map(|source| {
            let text = format!("this machine does not have the source {source} of backend `{name}`: what servers answer to it does not arrive, unless it is routed here");
            Finding { severity: Severity::Warning, text, mend: None }
        });
        let of_servers = found.into_iter().map(|((severity, text), servers)| {
            let servers = some(&servers);
            Finding { severity, text: format!("backend `{name}`, {servers}: {text}"), mend: None }
        });
        absent.chain(of_servers).collect()
    }

    /// What is to be said of a server; the same of several is said once.
    fn of_server(&self, server: IpAddr) -> Vec<(Severity, String)> {
        if self.host.has(server) {
            let text = "this machine's own address: the kernel half sends to other machines alone";
            return vec![(Severity::Warning, text.to_owned())];
        }
        let Some((prefix, way)) = self.host.way(server) else {
            return vec![(Severity::Warning, "no route leads there by an Ethernet interface that is up".to_owned())];
        };
        let forward = self.backend.forward;
        let mut found = Vec::new();
        let mut warn = |text| found.push((Severity::Warning, text));
        if forward.translates() && !self.host.is_attached(&way.link, self.interfaces) {
            let link = &way.link;
            warn(format!(
                "replies come in by `{link}`, where the kernel half is not attached and does not translate them: add it to `interfaces`"
            ));
        }
        let own = self.host.own_source(&way.link, way.gateway.unwrap_or(server));
        if let Some(own) = own.filter(|own| self.backend.sources.contains(own)) {
            warn(format!(
                "the source {own} is what this machine's own packets to them come from, as those of checks, and their answers count as servers' replies: give `source` another address"
            ));
        }
        if forward == Forward::Direct
            && let Some(router) = way.gateway
        {
            warn(format!(
                "`direct` reaches them through the router {router}, which sends packets to the VIP back here: put them on a link of this machine's, or use forward = \"ipip\" or \"gue\""
            ));
        }
        if forward == Forward::Nat && way.gateway.is_none() {
            for vip in self.vips.iter().filter(|vip| prefix.contains(*vip)) {
                warn(format!(
                    "on the link of the VIP {vip} ({prefix}): clients there get replies past this machine, from an address that they never asked, and make no connection; put the servers on a link of their own, or use forward = \"fullnat\""
                ));
            }
        }
        found.extend(self.of_tunnel(server, way).map(|text| (Severity::Warning, text)));
        if let Some(router) = way.gateway.filter(|_| forward == Forward::Nat) {
            let text = format!("behind the router {router}: their replies must come back through this machine");
            found.push((Severity::Note, text));
        }
        let strange = |source: &&IpAddr| source.is_ipv4() == server.is_ipv4() && !prefix.contains(*source);
        if way.gateway.is_none()
            && let Some(source) = self.backend.sources.iter().find(strange)
        {
            found.push((Severity::Note, format!("on {prefix}, the source {source} is not: they need a route to it")));
        }
        found
    }

    /// Packets that do not fit into the tunnel to a server.
    fn of_tunnel(&self, server: IpAddr, way: &Way) -> Option<String> {
        let overhead = overhead(self.backend.forward, server)?;
        let (link, mtu) = (&way.link, self.host.mtu(way)?);
        let largest = self.interfaces.iter().filter_map(|name| Some(self.host.link(name)?.mtu)).max()?;
        let fits = mtu.saturating_sub(overhead);
        if fits >= largest {
            return None;
        }
        let less = if fits < IPV6_LEAST && self.vips.iter().any(IpAddr::is_ipv6) {
            format!("IPv6 needs {IPV6_LEAST}: ")
        } else {
            // A segment is what is left of a packet without its headers of IP and TCP.
            let headers = if self.vips.iter().any(IpAddr::is_ipv6) { 60 } else { 40 };
            format!("let servers ask clients for less (advmss {}), or ", fits.saturating_sub(headers))
        };
        Some(format!(
            "the tunnel takes {overhead} bytes, so that packets above {fits} bytes do not fit through `{link}` (mtu {mtu}): {less}raise the mtu of the links to the servers to {}",
            largest + overhead
        ))
    }
}

/// Bytes of the headers of a tunnel to a server: of IP (RFC 791, RFC 8200) and UDP.
fn overhead(forward: Forward, server: IpAddr) -> Option<u32> {
    let ip = if server.is_ipv4() { 20 } else { 40 };
    match forward {
        Forward::Ipip => Some(ip),
        Forward::Gue => Some(ip + 8),
        Forward::Direct | Forward::Nat | Forward::FullNat => None,
    }
}

/// "server web1", "servers web1, web2, web3 and 5 more".
fn some(servers: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = servers.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match servers.len() {
        1 => format!("server {shown}"),
        all if all > SHOWN => format!("servers {shown} and {} more", all - SHOWN),
        _ => format!("servers {shown}"),
    }
}

/// The MTU that every link of IPv6 has at least (RFC 8200 §5).
const IPV6_LEAST: u32 = 1_280;
