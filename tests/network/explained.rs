//! `sluice explain` of packets: the server that it names is the one that packets go to, for flows that are known and new, for
//! fragments and errors, by every way; and where nothing is balanced it says so.

use crate::scene::{More, PORT, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use etherparse::{IpFragOffset, Ipv4Header, PacketBuilder};
use lb_tests::{
    binary,
    client::{Flows, seen::Seen, udp},
    lab::Family,
    sluice::complaint,
};
use lb_userspace::admin::explain::frame::{Asked, Flags, Kind};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr, TcpStream},
};

/// Ports of clients of whom nobody has heard, from here on.
const FRESH: u16 = 21_000;
/// Bytes of an Ethernet header.
const LINK: usize = 14;

/// `sluice explain --json` with these arguments, where the program is attached.
fn explain(scene: &Scene, arguments: &[&str]) -> Result<Value> {
    let mut command = scene.lab.balancer.command(binary()?);
    command.args(["explain", "--json", "--pins"]).arg(scene.lab.pins());
    command.arg("--socket").arg(scene.lab.directory().join("sluice.sock"));
    let output = command.args(arguments).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", complaint(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Explains these frames, one after the other.
fn explain_all(scene: &Scene, frames: &[Vec<u8>]) -> Result<Vec<Value>> {
    // The old format: a header of the file, and one before each packet.
    let word = |number: usize| Ok::<_, anyhow::Error>(u32::try_from(number)?.to_le_bytes());
    let mut file = [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for frame in frames {
        file.extend([[0; 4], [0; 4], word(frame.len())?, word(frame.len())?].concat());
        file.extend_from_slice(frame);
    }
    let path = scene.lab.directory().join("asked.pcap");
    fs::write(&path, file)?;
    let mut answer = explain(scene, &["--pcap", path.to_str().context("a path")?])?;
    let packets = answer.get_mut("packets").map(Value::take);
    let Some(Value::Array(packets)) = packets else { anyhow::bail!("{answer}") };
    ensure!(packets.len() == frames.len(), "{answer}");
    Ok(packets)
}

fn frame(kind: Kind, source: SocketAddr, destination: SocketAddr, flags: &str) -> Result<Vec<u8>> {
    let flags: Flags = flags.parse().map_err(anyhow::Error::msg)?;
    Ok(Asked { kind, source, destination, flags }.frame()?)
}

fn server(explained: &Value) -> &str {
    explained.pointer("/server/name").and_then(Value::as_str).unwrap_or_default()
}

fn verdict(explained: &Value) -> &str {
    explained.get("verdict").and_then(Value::as_str).unwrap_or_default()
}

/// What changes in the packet, as text.
fn changes(explained: &Value) -> String {
    explained.get("changes").map(Value::to_string).unwrap_or_default()
}

fn reason(explained: &Value) -> &str {
    explained.pointer("/reason/name").and_then(Value::as_str).unwrap_or_default()
}

/// Which server a new connection from that port meets.
fn connect_from(scene: &Scene, own: SocketAddr) -> Result<String> {
    let domain = if own.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let stream: TcpStream = scene.lab.client.run(|| {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.bind(&own.into())?;
        socket.connect_timeout(&scene.vip.into(), SOON)?;
        Ok::<_, std::io::Error>(socket.into())
    })??;
    stream.set_read_timeout(Some(SOON))?;
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting)?;
    Ok(greeting.split(' ').next().unwrap_or_default().to_owned())
}

fn named(seen: &Seen) -> String {
    format!("echo/{}", seen.server)
}

#[test]
fn packets_go_to_the_server_that_is_named() -> Result<()> {
    let ways = [
        Way::within("nat", Family::V4),
        Way::within("fullnat", Family::V6),
        Way::within("direct", Family::V6),
        Way { forward: "ipip", vip: Family::V6, servers: Family::V4 },
        Way::within("gue", Family::V4),
    ];
    let ways = if crate::scene::is_long() { ways.as_slice() } else { &ways[..2] };
    for way in ways {
        let scene = Scene::of(*way, &WEBS, More::default())?;
        agrees(&scene, *way).with_context(|| format!("{way:?}"))?;
        scene.over()?;
    }
    Ok(())
}

fn agrees(scene: &Scene, way: Way) -> Result<()> {
    let client = way.vip.client();
    // Nobody has heard of these yet.
    let fresh: Vec<SocketAddr> = (FRESH..FRESH + 12).map(|port| SocketAddr::new(client, port)).collect();
    let ask = |own: &SocketAddr, kind| frame(kind, *own, scene.vip, "syn");
    let frames = fresh.iter().map(|own| ask(own, Kind::Tcp)).chain(fresh.iter().map(|own| ask(own, Kind::Udp)));
    let explained = explain_all(scene, &frames.collect::<Result<Vec<_>>>()?)?;
    let (tcp, udp) = explained.split_at(fresh.len());
    for ((own, tcp), udp) in fresh.iter().zip(tcp).zip(udp) {
        ensure!(server(tcp) == format!("echo/{}", connect_from(scene, *own)?), "{own} by TCP: {tcp:#}");
        let seen = scene.lab.client.run(|| udp::ask_from(*own, scene.vip, "new"))??;
        ensure!(server(udp) == named(&seen), "{own} by UDP, at {}: {udp:#}", seen.server);
        for explained in [tcp, udp] {
            ensure!(verdict(explained) == "XDP_TX", "{explained:#}");
            ensure!(explained.pointer("/vip/forward") == Some(&way.forward.into()), "{explained:#}");
            ensure!(explained.pointer("/next_hop/interface") == Some(&lb_tests::lab::DEVICE.into()), "{explained:#}");
            let added = changes(explained).contains("outer ");
            ensure!(added == way.tunnel().is_some(), "{explained:#}");
        }
    }
    // And these are there.
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 12)?;
    flows.exchange("established")?;
    let frames: Vec<_> =
        flows.seen().map(|seen| frame(Kind::Tcp, seen.own, scene.vip, "ack")).collect::<Result<_>>()?;
    for (seen, explained) in flows.seen().zip(explain_all(scene, &frames)?) {
        ensure!(server(&explained) == named(seen), "{seen:?}: {explained:#}");
        let known = explained.get("known").and_then(Value::as_array).is_some_and(|known| !known.is_empty());
        ensure!(known == (way.forward == "fullnat"), "{explained:#}");
    }
    replies(scene, way, &flows)?;
    flows.exchange("after all that")
}

/// What servers answer goes back to the client.
fn replies(scene: &Scene, way: Way, flows: &Flows) -> Result<()> {
    if !way.translates() {
        return Ok(());
    }
    let own =
        |seen: &Seen| Ok::<_, anyhow::Error>(SocketAddr::new(scene.lab.machine(&seen.server)?.own(way.servers), PORT));
    let frames = flows.seen().map(|seen| frame(Kind::Tcp, own(seen)?, seen.there, "ack"));
    for (seen, explained) in flows.seen().zip(explain_all(scene, &frames.collect::<Result<Vec<_>>>()?)?) {
        ensure!(server(&explained) == named(seen) && verdict(&explained) == "XDP_TX", "{seen:?}: {explained:#}");
        ensure!(changes(&explained).contains(&scene.vip.ip().to_string()), "the source is not the VIP: {explained:#}");
    }
    Ok(())
}

#[test]
fn fragments_errors_and_what_is_not_balanced() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let client = Family::V4.client();
    let own = SocketAddr::new(client, FRESH);
    // Fragments: what follows the first one knows no port.
    let whole = frame(Kind::Udp, own, scene.vip, "syn")?;
    let (first, later) = (fragment(&whole, 0)?, fragment(&whole, 1)?);
    let explained = explain_all(&scene, &[later.clone(), first, later])?;
    ensure!(reason(&explained[0]) == "fragment_unknown", "{:#}", explained[0]);
    let seen = scene.lab.client.run(|| udp::ask_from(own, scene.vip, &"x".repeat(3_000)))??;
    for explained in &explained[1..] {
        ensure!(server(explained) == named(&seen), "at {}: {explained:#}", seen.server);
    }
    // An error that a router has for a server is about the flow of a client.
    let flows = Flows::open(&scene.lab.client, scene.vip, 6)?;
    let errors = flows
        .seen()
        .map(|seen| error_about(&frame(Kind::Tcp, scene.vip, seen.own, "ack")?, seen.own.ip(), scene.vip.ip()));
    for (seen, explained) in flows.seen().zip(explain_all(&scene, &errors.collect::<Result<Vec<_>>>()?)?) {
        ensure!(server(&explained) == named(seen), "{seen:?}: {explained:#}");
        ensure!(changes(&explained).contains("quoted "), "{explained:#}");
    }
    // Nobody's, a port that no frontend has, and a ping.
    let stranger: SocketAddr = "203.0.113.9:80".parse()?;
    let ports = [SocketAddr::new(scene.vip.ip(), 9), SocketAddr::new(scene.vip.ip(), 0)];
    let others = [
        frame(Kind::Tcp, own, stranger, "syn")?,
        frame(Kind::Tcp, own, ports[0], "syn")?,
        frame(Kind::Ping, own, ports[1], "syn")?,
    ];
    let explained = explain_all(&scene, &others)?;
    let found: Vec<_> = explained.iter().map(|one| (reason(one), verdict(one))).collect();
    ensure!(found == [("not_ours", "XDP_PASS"), ("to_host", "XDP_PASS"), ("answered", "XDP_TX")], "{explained:#?}");
    // In words, and by the other ways of asking.
    let words = explain(&scene, &["--packet", "udp", &own.to_string(), &scene.vip.to_string()])?;
    ensure!(server(&words) == named(&seen), "{words:#}");
    let hex = whole.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let path = scene.lab.directory().join("asked.hex");
    fs::write(&path, hex)?;
    let bytes = explain(&scene, &["--hex", path.to_str().context("a path")?])?;
    ensure!(bytes["packet"] == words["packet"] && server(&bytes) == server(&words), "{bytes:#}");
    scene.over()
}

#[test]
fn a_server_in_drain_keeps_what_it_has() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 30)?;
    ensure!(flows.by_server().contains_key("web2"), "{:?}", flows.by_server());
    scene.sluice.command(&["server", "drain", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
    let new = (FRESH..FRESH + 30).map(|port| frame(Kind::Tcp, (Family::V4.client(), port).into(), scene.vip, "syn"));
    let old = flows.seen().map(|seen| frame(Kind::Tcp, seen.own, scene.vip, "ack"));
    let explained = explain_all(&scene, &new.chain(old).collect::<Result<Vec<_>>>()?)?;
    let (new, old) = explained.split_at(30);
    ensure!(new.iter().all(|one| ["echo/web1", "echo/web3"].contains(&server(one))), "{new:#?}");
    for (seen, explained) in flows.seen().zip(old) {
        ensure!(server(explained) == named(seen), "{seen:?}: {explained:#}");
        let state = explained.pointer("/server/state").and_then(Value::as_str);
        ensure!(state == Some(if seen.server == "web2" { "drain" } else { "up" }), "{explained:#}");
    }
    flows.exchange("still there")?;
    scene.over()
}

/// The frame as a fragment, and not the last one, that begins that many times 8 bytes into the packet.
fn fragment(frame: &[u8], offset: u16) -> Result<Vec<u8>> {
    let (link, packet) = frame.split_at_checked(LINK).context("a frame")?;
    let (mut header, rest) = Ipv4Header::from_slice(packet)?;
    (header.identification, header.more_fragments, header.dont_fragment) = (0x1234, true, false);
    header.fragment_offset = IpFragOffset::try_new(offset)?;
    header.header_checksum = header.calc_header_checksum();
    Ok([link, &header.to_bytes(), rest].concat())
}

/// A destination that cannot be reached, because the packet in that frame is too big.
fn error_about(frame: &[u8], from: IpAddr, to: IpAddr) -> Result<Vec<u8>> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else { anyhow::bail!("not of IPv4") };
    let builder = PacketBuilder::ethernet2([0; 6], [0; 6]).ipv4(from.octets(), to.octets(), 64);
    let (mut error, quoted) = (Vec::new(), frame.get(LINK..).context("a frame")?);
    builder.icmpv4_raw(3, 4, [0, 0, 5, 120]).write(&mut error, quoted)?;
    Ok(error)
}
