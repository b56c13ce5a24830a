//! `sluice explain` of packets: given by a tuple, captured, or as bytes.

use super::{Daemon, Packets, client::ask, complain, explain::parse_client, maps::loaded, print};
use crate::{
    admin::{
        explain::{
            Explained, HopFound, KnownFound, Scene, SlotFound, VipFound,
            capture::{hex, read},
            explain,
            frame::{Asked, Kind},
        },
        names::Names,
        protocol::Request,
        status::Status,
    },
    dataplane::{maps::KernelMaps, object::object, pins::Pins, replica::Replica, writer::MapWriter},
};
use anyhow::{Context, anyhow, bail};
use rustix::net::{AddressFamily, SocketType, netdevice::index_to_name, socket};
use serde::Serialize;
use std::{
    fmt::Write,
    fs::{self, File},
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    path::Path,
    process::ExitCode,
};

impl Packets {
    /// Whether packets are asked about, not a request.
    pub(super) fn is_some(&self) -> bool {
        self.packet.is_some() || self.pcap.is_some() || self.hex.is_some()
    }
}

/// A frame, with its number if it is of a capture.
type Numbered = (Option<usize>, Vec<u8>);

/// A packet of a capture that cannot be run.
#[derive(Debug, Serialize)]
struct Failed {
    number: Option<usize>,
    error: String,
}

pub(super) fn run(daemon: &Daemon, packets: &Packets) -> anyhow::Result<ExitCode> {
    let (frames, several) = frames(packets)?;
    let status: Status = ask(&daemon.socket, &Request::Status)?;
    let pins = loaded(&packets.pins.pins)?;
    let interface = interface(packets.interface.as_deref(), &pins)?;
    let tables = KernelMaps::open(&pins)?.read()?;
    let replica = Replica::open(object()?, &pins, &interface)?;
    let asking =
        socket(AddressFamily::INET, SocketType::DGRAM, None).context("cannot ask for the names of interfaces")?;
    let link = |ifindex| index_to_name(&asking, ifindex).unwrap_or_else(|_gone| format!("interface {ifindex}"));
    let names = Names::new(Some(&status));
    let scene = Scene { replica: &replica, tables: &tables, names: &names, interface: &interface, link: &link };
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for (number, frame) in frames {
        match explain(&scene, &frame) {
            Ok(explained) => all.push(Explained { number, ..explained }),
            Err(error) if several => failed.push(Failed { number, error: format!("{:#}", anyhow!(error)) }),
            Err(error) => return Err(error.into()),
        }
    }
    print(&match (daemon.json, all.first()) {
        (true, Some(only)) if !several => serde_json::to_string_pretty(only)?,
        (true, _) => serde_json::to_string_pretty(&serde_json::json!({ "packets": all, "failed": failed }))?,
        (false, _) => all.iter().map(render).collect::<Vec<_>>().join("\n"),
    })?;
    if !daemon.json {
        for Failed { number, error } in &failed {
            complain(&format!("error: packet {}: {error}", number.unwrap_or_default()));
        }
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The frames that are asked about, those of a capture with their numbers; and whether there may be several.
fn frames(packets: &Packets) -> anyhow::Result<(Vec<Numbered>, bool)> {
    if let Some(words) = &packets.packet {
        return Ok((vec![(None, asked(words, packets)?.frame()?)], false));
    }
    if let Some(file) = &packets.hex {
        let text = if file.as_os_str() == "-" { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        return Ok((vec![(None, hex(&text)?)], false));
    }
    let given = packets.pcap.as_deref().unwrap_or_default();
    // A file may have a colon in its name.
    let numbered = given.rsplit_once(':').and_then(|(file, number)| Some((file, number.parse::<usize>().ok()?)));
    let (file, number) = match numbered {
        Some((file, number)) if !Path::new(given).exists() => (file, Some(number)),
        Some(_) | None => (given, None),
    };
    let opened: Box<dyn Read + Send> = if file == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("cannot open {file}"))?)
    };
    let frames = read(opened).with_context(|| format!("cannot read {file}"))?;
    let Some(number) = number else {
        return Ok(((1..).map(Some).zip(frames).collect(), true));
    };
    let count = frames.len();
    let frame = number.checked_sub(1).and_then(|index| frames.into_iter().nth(index));
    let frame = frame.with_context(|| format!("{file} has {count} packets, and none of number {number}"))?;
    Ok((vec![(Some(number), frame)], false))
}

fn asked(words: &[String], packets: &Packets) -> anyhow::Result<Asked> {
    let [kind, source, destination] = words else { bail!("a packet is given as PROTOCOL FROM TO") };
    let kind: Kind = kind.parse().map_err(|error| anyhow!("`{kind}` is no protocol here: {error}"))?;
    let to = |text: &str| -> anyhow::Result<SocketAddr> {
        if kind == Kind::Ping {
            let address: IpAddr = text.parse().with_context(|| format!("`{text}` is no address without a port"))?;
            return Ok(SocketAddr::new(address, 0));
        }
        text.parse().with_context(|| format!("`{text}` is no address with a port, such as 192.0.2.10:80"))
    };
    let source = if kind == Kind::Ping {
        to(source)?
    } else {
        parse_client(source).map_err(|error| anyhow!("`{source}` is no source: {error}"))?
    };
    Ok(Asked { kind, source, destination: to(destination)?, flags: packets.flags })
}

/// Where packets come in.
fn interface(wanted: Option<&str>, pins: &Pins) -> anyhow::Result<String> {
    let attached = pins.linked()?;
    match (wanted, attached.as_slice()) {
        (Some(wanted), _) if attached.iter().any(|attached| attached == wanted) => Ok(wanted.to_owned()),
        (Some(wanted), _) => bail!("the program is not attached to `{wanted}`, but to {}", attached.join(", ")),
        (None, [only]) => Ok(only.clone()),
        (None, []) => bail!("the program is attached to no interface"),
        (None, several) => bail!("which interface does it come in by? --interface {}", several.join(" or ")),
    }
}

/// For people: decisions in the order in which they are made.
fn render(explained: &Explained) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: &str| _ = writeln!(text, "{name:<10} {words}");
    let number = explained.number.map(|number| format!("{number}: ")).unwrap_or_default();
    let Explained { packet, bytes, interface, .. } = explained;
    line("packet", &format!("{number}{packet}, {bytes} bytes, comes in by {interface}"));
    line("VIP", &explained.vip.as_ref().map_or_else(|| "none".to_owned(), vip));
    if explained.known.is_empty() {
        line("flow", "no table of flows knows it");
    }
    explained.known.iter().for_each(|found| line("flow", &known(found)));
    if let Some(slot_found) = &explained.slot {
        line("slot", &slot(slot_found));
    }
    if let Some(server) = &explained.server {
        let address = server.address.map(|address| format!(" at {address}")).unwrap_or_default();
        line("server", &format!("{}{address}, {}: {}", server.name, server.state, server.why));
    }
    if let Some(next) = &explained.next_hop {
        line("next hop", &hop(next));
    }
    line("verdict", explained.verdict);
    for reason in explained.reason.iter().chain(&explained.notes) {
        line("counted", &format!("{}: {}", reason.name, reason.help));
    }
    explained.remembered.iter().for_each(|found| line("remembers", &known(found)));
    for address in &explained.asked_for {
        line("asks for", &format!("the Ethernet address of {address}"));
    }
    for (field, before, after) in &explained.changes {
        let before = before.as_deref().unwrap_or("(not there)");
        line("changes", &format!("{field}: {before} → {}", after.as_deref().unwrap_or("(gone)")));
    }
    text + &explained.outcome + "\n"
}

fn vip(vip: &VipFound) -> String {
    let VipFound { address, protocol, frontend, backend, forward } = vip;
    let unknown = || "(unknown to the daemon)".to_owned();
    let (frontend, backend) = (frontend.clone().unwrap_or_else(unknown), backend.clone().unwrap_or_else(unknown));
    format!("{address}/{protocol} of frontend {frontend}, to backend {backend} by {forward}")
}

fn known(known: &KnownFound) -> String {
    let KnownFound { table, server, idle, closing, back, becomes } = known;
    let of = if *back { "the way back of server" } else { "server" };
    let closing = if *closing { ", closing" } else { "" };
    let becomes = becomes.map(|(from, to)| format!(", becomes {from} → {to}")).unwrap_or_default();
    format!("table {table}: {of} {server}{becomes}, idle {idle} s{closing}")
}

fn slot(slot: &SlotFound) -> String {
    let SlotFound { backend, number, server, previous, tracked } = slot;
    let ring = backend.as_ref().map(|backend| format!(" of the ring of {backend}")).unwrap_or_default();
    let previous = previous.as_ref().map(|previous| format!(", until now of {previous}")).unwrap_or_default();
    let tracked = if *tracked { "; the flow table is asked" } else { "" };
    format!("{number}{ring}: {server}{previous}{tracked}")
}

fn hop(hop: &HopFound) -> String {
    let HopFound { row: _, interface, ethernet, vlans, mtu } = hop;
    let Some(ethernet) = ethernet else { return "not known: nobody has said its Ethernet address yet".to_owned() };
    let vlans = vlans.iter().map(|vlan| format!(", VLAN {vlan}")).collect::<Vec<_>>().concat();
    let mtu = if *mtu > 0 { format!(", mtu {mtu}") } else { String::new() };
    format!("{ethernet} by {interface}{vlans}{mtu}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::explain::{Counted, ServerFound};

    #[test]
    fn decisions_are_shown_in_their_order() {
        let explained = Explained {
            number: Some(3),
            interface: "eth0".to_owned(),
            packet: "tcp 203.0.113.7:4242 → 10.0.0.1:80 [syn]".to_owned(),
            bytes: 54,
            vip: Some(VipFound {
                address: "10.0.0.1:80".to_owned(),
                protocol: "tcp".to_owned(),
                frontend: Some("www".to_owned()),
                backend: None,
                forward: "nat",
            }),
            slot: Some(SlotFound {
                backend: Some("web".to_owned()),
                number: 4_711,
                server: "web/a".to_owned(),
                previous: Some("web/b".to_owned()),
                tracked: true,
            }),
            server: Some(ServerFound {
                id: 1,
                name: "web/a".to_owned(),
                address: "10.1.0.2:8080".parse().ok(),
                state: "up",
                why: "its slot belongs to it",
            }),
            next_hop: Some(HopFound {
                row: 1,
                interface: "eth1".to_owned(),
                ethernet: Some("02:00:00:00:00:01".to_owned()),
                vlans: vec![7],
                mtu: 1_500,
            }),
            verdict: "XDP_REDIRECT",
            notes: vec![Counted { name: "flow_tracked", help: "a flow was taken" }],
            changes: vec![("VLAN tag 1".to_owned(), None, Some("7".to_owned()))],
            outcome: "it goes to server web/a by eth1".to_owned(),
            ..Explained::default()
        };
        let expected = [
            "packet     3: tcp 203.0.113.7:4242 → 10.0.0.1:80 [syn], 54 bytes, comes in by eth0",
            "VIP        10.0.0.1:80/tcp of frontend www, to backend (unknown to the daemon) by nat",
            "flow       no table of flows knows it",
            "slot       4711 of the ring of web: web/a, until now of web/b; the flow table is asked",
            "server     web/a at 10.1.0.2:8080, up: its slot belongs to it",
            "next hop   02:00:00:00:00:01 by eth1, VLAN 7, mtu 1500",
            "verdict    XDP_REDIRECT",
            "counted    flow_tracked: a flow was taken",
            "changes    VLAN tag 1: (not there) → 7",
            "it goes to server web/a by eth1\n",
        ];
        assert_eq!(render(&explained), expected.join("\n"));
    }
}
