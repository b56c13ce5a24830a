//! The programs that `bench kernel` measures with, and the bench itself, shortly: a wrong packet would be a cheap one.

use crate::{cases::world::*, namespace};
use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, programs::Xdp};
use etherparse::{Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder};
use lb_ebpf_tools::rows::{
    rearm::{TEMPLATE, Varies},
    reference::Row,
};
use lb_tests::{
    object::{Loaded, PASS, TX},
    packet::{ETHERNET, Frame},
    tools::{
        self,
        rearm::{Packets, Rearm},
        reference::Reference,
    },
};
use lb_userspace::dataplane::load::verify;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv6Addr, SocketAddr},
    ops::Range,
    path::PathBuf,
    process::Command,
};

/// A frame that is as long as it must be, and longer.
fn packets(frame: Frame, varies: Varies, flows: Range<u32>) -> Packets {
    Packets { frame: frame.payload(&[0x61; TEMPLATE]).bytes(), varies, next: flows.start, flows }
}

fn reference<const N: usize>(vip: SocketAddr, servers: [impl Into<SocketAddr>; N]) -> Result<Reference> {
    Reference::load(vip, &servers.map(|server| server.into().ip()), ROUTER_MAC)
}

#[test]
fn every_run_gets_the_packet_of_the_next_flow() -> Result<()> {
    namespace::enter()?;
    let mut rearm = Rearm::load()?;
    for (varies, address, port) in
        [(Varies::Source4, ETHERNET + 12, ETHERNET + 20), (Varies::Destination4, ETHERNET + 16, ETHERNET + 22)]
    {
        let mut packets = packets(Frame::tcp(CLIENT, DIRECT_VIP), varies, 65_534..65_540);
        for (count, flow) in [(1, 65_534_u32), (1, 65_535), (3, 65_538), (2, 65_534)] {
            let runs = rearm.run(&mut packets, count)?;
            let mut wanted = packets.frame.clone();
            wanted[port..port + 2].copy_from_slice(&flow.to_be_bytes()[2..]);
            wanted[address + 3] += u8::try_from(flow >> 16)?;
            ensure!(runs.frame == wanted, "{varies:?}, flow {flow}: {:02x?}, not {wanted:02x?}", runs.frame);
        }
    }
    Ok(())
}

/// Each of these leaves another packet behind: longer at its front, or with other addresses.
#[test]
fn what_a_run_has_changed_is_gone_in_the_next() -> Result<()> {
    namespace::enter()?;
    let mut rearm = Rearm::load()?;
    let (reference, sluice) = (reference(DIRECT_VIP.into(), [SERVERS[1]])?, Loaded::with(&tables())?);
    for program in [reference.program()?, sluice.program()?] {
        rearm.put(program.fd()?)?;
        let frame = arrives(Frame::tcp(CLIENT, DIRECT_VIP)).ttl(2);
        let once = rearm.run(&mut packets(frame.clone(), Varies::Source4, 7..8), 1)?;
        let often = rearm.run(&mut packets(frame, Varies::Source4, 7..8), 10_000)?;
        ensure!(often.action == TX, "after many runs {}", often.action);
        ensure!(often.frame == once.frame, "{:02x?}, not {:02x?}", often.frame, once.frame);
    }
    Ok(())
}

/// Katran is one of these.
#[test]
fn a_program_for_frames_of_one_page_runs_inside_too() -> Result<()> {
    namespace::enter()?;
    let mut object = Ebpf::load(tools::object()?)?;
    let program: &mut Xdp = object.program_mut("pass_plain").context("no program")?.try_into()?;
    verify(program)?;
    let mut rearm = Rearm::load()?;
    rearm.put(program.fd()?)?;
    let mut packets = packets(Frame::tcp(CLIENT, DIRECT_VIP), Varies::Source4, 7..9);
    ensure!(rearm.run(&mut packets, 3)?.action == PASS && packets.next == 8);
    // And back to one of the other kind.
    rearm.put(Loaded::with(&tables())?.program()?.fd()?)?;
    ensure!(rearm.run(&mut packets, 3)?.action == TX && packets.next == 7);
    Ok(())
}

#[test]
fn the_reference_sends_each_packet_inside_another_to_the_server_of_its_flow() -> Result<()> {
    namespace::enter()?;
    let (mut rearm, reference) = (Rearm::load()?, reference(DIRECT_VIP.into(), [SERVERS[1], SERVERS[2]])?);
    rearm.put(reference.program()?.fd()?)?;
    let frame = arrives(Frame::tcp(CLIENT, DIRECT_VIP));
    let mut servers = BTreeSet::new();
    for flow in 1_000..1_032 {
        let mut server_of = |frame: &Frame, count| {
            let mut packets = packets(frame.clone(), Varies::Source4, flow..flow + 1);
            let sent = rearm.run(&mut packets, count)?;
            let mut whole = packets.frame;
            whole[ETHERNET + 20..ETHERNET + 22].copy_from_slice(&flow.to_be_bytes()[2..]);
            let (ethernet, ip) = Ethernet2Header::from_slice(&sent.frame)?;
            let (outer, inner) = Ipv4Header::from_slice(ip)?;
            ensure!((ethernet.source, ethernet.destination) == (BALANCER_MAC, ROUTER_MAC), "{ethernet:?}");
            ensure!(outer.protocol == IpNumber::IPV4 && usize::from(outer.total_len) == ip.len(), "{outer:?}");
            ensure!(outer.header_checksum == outer.calc_header_checksum(), "{outer:?}");
            ensure!(sent.action == TX && inner == &whole[ETHERNET..], "{inner:02x?}, not {whole:02x?}");
            Ok(outer.destination)
        };
        let opened = server_of(&frame.clone().syn(), 1)?;
        ensure!(server_of(&frame, 3)? == opened, "flow {flow} moved");
        servers.insert(opened);
    }
    ensure!(servers.len() == 2, "{servers:?}");
    let unknown = reference.count(Row::Unknown)?;
    ensure!((unknown.first, unknown.second) == (32, 0), "{unknown:?}");
    Ok(())
}

#[test]
fn the_reference_does_the_same_with_ipv6() -> Result<()> {
    namespace::enter()?;
    let ends = ["2001:db8::7", "2001:db8:0:1::10", "2001:db8:0:2::1"].map(str::parse::<Ipv6Addr>);
    let [client, vip, server] = ends;
    let (client, vip, server) = (client?, vip?, server?);
    let (mut rearm, reference) = (Rearm::load()?, reference((vip, 80).into(), [(server, 0)])?);
    rearm.put(reference.program()?.fd()?)?;
    let builder = PacketBuilder::ethernet2(ROUTER_MAC, BALANCER_MAC).ipv6(client.octets(), vip.octets(), 64);
    let mut frame = Vec::new();
    builder.tcp(40_000, 80, 1, 1_024).write(&mut frame, &[0x61; TEMPLATE])?;
    let mut packets = Packets { frame, varies: Varies::Source6, flows: 40_000..40_001, next: 40_000 };
    for count in [1, 1_000] {
        let sent = rearm.run(&mut packets, count)?;
        let (outer, inner) = Ipv6Header::from_slice(&sent.frame[ETHERNET..])?;
        ensure!(outer.destination == server.octets() && outer.next_header == IpNumber::IPV6, "{outer:?}");
        ensure!(usize::from(outer.payload_length) == inner.len() && sent.action == TX, "{outer:?}");
        ensure!(inner == &packets.frame[ETHERNET..], "{inner:02x?}, not {:02x?}", packets.frame);
    }
    Ok(())
}

/// The rows that the bench finds under these arguments.
fn bench(arguments: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    // Few packets and one round tell nobody what one costs, but a program that does nothing would be found.
    command.args(["kernel", "--rounds=1", "--packets=20000", "--json=-"]).args(arguments);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut result: Value = serde_json::from_slice(&output.stdout)?;
    Ok(result["rows"].as_array_mut().context("no rows")?.drain(..).collect())
}

/// The nanoseconds of a row under every load.
fn costs(rows: &[Value], name: &str) -> Result<Vec<f64>> {
    let costs = rows.iter().filter(|row| row["name"] == name).map(|row| row["nanoseconds"]["median"].as_f64());
    costs.collect::<Option<_>>().with_context(|| format!("no figure for {name}: {rows:?}"))
}

#[test]
fn the_bench_measures_every_row_under_every_load() -> Result<()> {
    let rows = bench(&["--most-flows=10000"])?;
    let named = rows.iter().filter_map(|row| row["name"].as_str()).collect::<BTreeSet<_>>();
    ensure!(named.len() == 20, "{named:?}");
    for name in named {
        let (costs, loads) = (costs(&rows, name)?, if name.ends_with("reply") { 3 } else { 4 });
        // On a busy machine what is subtracted for the wrapper may once be more than all of it.
        let is_measured =
            costs.iter().all(|cost| cost.is_finite()) && costs.iter().filter(|cost| **cost > 0.0).count() > loads / 2;
        ensure!(costs.len() == loads && is_measured, "{name}: {costs:?}");
    }
    Ok(())
}

#[test]
fn the_bench_races_what_somebody_else_has_pinned() -> Result<()> {
    let mut reference = reference(DIRECT_VIP.into(), [SERVERS[1]])?;
    let pin = PathBuf::from(format!("/sys/fs/bpf/lb-tests-{}-reference", std::process::id()));
    reference.pin(&pin)?;
    let rows = bench(&["--most-flows=1", "--against", &pin.display().to_string()]);
    fs::remove_file(&pin)?;
    let costs = costs(&rows?, "against: IPv4 foreign")?;
    // On a busy machine a share of what the wrapper costs may be more than the program.
    ensure!(costs.len() == 2 && costs.iter().all(|cost| cost.is_finite()), "{costs:?}");
    Ok(())
}
