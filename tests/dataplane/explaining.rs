//! Explaining packets: a thousand of them leave every map as it was, byte for byte, and meet what real packets would meet.

use crate::{
    world::{World, run},
    writing::{RING, handed_over, slots, writer},
};
use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, Map, MapData, RingBuf};
use lb_common::{
    Be16, Be32, Flow, FlowKey4, NextHop, Protocol, ServerEntry, ServerId, Vip,
    flow::CLOSING,
    maps::{EVENTS, FLOWS4, MAX_CONNECTIONS4, NEXT_HOPS},
    server::ServerState,
    vip::{
        Forward,
        flags::{FRAGMENTS_TRACK, PING, POOL, TRACK_FULL},
    },
};
use lb_userspace::{
    admin::{
        explain::{
            Explained, Scene, explain,
            frame::{Asked, Flags, Kind},
        },
        names::Names,
    },
    dataplane::{
        attach::attach,
        load::{Frozen, Loaded, load},
        maps::KernelMaps,
        object::object,
        pins::Pins,
        raw::Raw,
        replica::{Replica, ReplicaError},
        writer::MapWriter as _,
    },
    model::Endpoint,
    plan::{Tables, Write, tables::Return},
};
use std::{
    collections::BTreeMap,
    env, fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    thread,
    time::Duration,
};

const OUTSIDE: &str = "outside";
/// Explained by each copy.
const BY_A_COPY: usize = 100;

/// VIPs of four ways, each with its own last byte, two servers, and packets that come in by `outside`.
struct Site {
    world: World,
    _loaded: Loaded,
}

impl Site {
    fn open() -> Result<Self> {
        let world = World::enter()?;
        let mut loaded = world.load()?;
        attach(&mut loaded, &world.pins, &[OUTSIDE.to_owned()])?;
        let mut hops: Array<MapData, Raw<NextHop>> = typed(&world, NEXT_HOPS)?;
        let ifindex = fs::read_to_string(format!("/proc/thread-self/net/dev_snmp6/{OUTSIDE}"))?;
        let ifindex = ifindex.split_whitespace().nth(1).context("a number")?.parse()?;
        let hop = NextHop {
            destination: [2, 0, 0, 0, 0, 1],
            source: [2, 0, 0, 0, 0, 9],
            ifindex,
            resolved: 1,
            ..NextHop::default()
        };
        hops.set(1, Raw(NextHop { source4: Be32::from(std::net::Ipv4Addr::new(10, 0, 0, 254)), ..hop }), 0)?;
        writer(&handed_over(&world)?)?.apply(&writes()?)?;
        Ok(Self { world, _loaded: loaded })
    }

    fn tables(&self) -> Result<Tables> {
        Ok(KernelMaps::open(&self.world.pins)?.read()?)
    }

    fn replica(&self) -> Result<Replica> {
        Ok(Replica::open(object()?, &self.world.pins, OUTSIDE)?)
    }

    /// All that is in the maps, as bpftool shows it.
    fn dump(&self) -> Result<BTreeMap<PathBuf, String>> {
        let pins = &self.world.pins;
        let mut all = BTreeMap::new();
        for directory in [pins.maps(), pins.rings()] {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                if path.is_dir() || path.ends_with(EVENTS) {
                    continue;
                }
                let shown = run(&format!("bpftool map dump pinned {}", path.display()))?;
                all.insert(path, shown);
            }
        }
        let mut events = RingBuf::try_from(Map::from_map_data(MapData::from_pin(pins.map(EVENTS))?)?)?;
        ensure!(events.next().is_none(), "somebody waits for an answer");
        Ok(all)
    }
}

fn typed<T: TryFrom<Map, Error = aya::maps::MapError>>(world: &World, name: &str) -> Result<T> {
    Ok(Map::from_map_data(MapData::from_pin(world.pins.map(name))?)?.try_into()?)
}

fn vip(last: u8) -> Result<IpAddr> {
    Ok(format!("192.0.2.{last}").parse()?)
}

fn writes() -> Result<Vec<Write>> {
    let row = |id: u8| -> Result<ServerEntry> {
        let addr = format!("10.0.0.{id}").parse::<IpAddr>()?.into();
        let state = ServerState::Up as u8;
        Ok(ServerEntry {
            identity: id.into(),
            addr,
            port: Be16::new(8080),
            next_hop: 1,
            state,
            admin: 0,
            health: 1,
            family: 4,
        })
    };
    let mut writes = vec![
        Write::PutServer(1, row(1)?),
        Write::PutServer(2, row(2)?),
        Write::PutSource(0, "10.0.0.100".parse()?),
        Write::PutRingHalf(RING, slots(1)),
        Write::FlipRing(RING, 77),
    ];
    let kinds =
        [(Forward::Nat, FRAGMENTS_TRACK), (Forward::Ipip, 0), (Forward::FullNat, 0), (Forward::Direct, TRACK_FULL)];
    for (last, (forward, flags)) in (10..).zip(kinds) {
        let id = u16::from(last);
        let row = Vip { id, ring: RING, forward: forward as u8, flags, sources_count: 1, ..Vip::default() };
        let entry = Vip { flags: PING, ..Vip::default() };
        writes.push(Write::PutVip(Endpoint::address_entry(vip(last)?), entry));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            writes.push(Write::PutVip(Endpoint::new(vip(last)?, 80, protocol), row));
        }
    }
    writes.push(Write::PutVip(Endpoint::address_entry("10.0.0.100".parse()?), Vip { flags: POOL, ..Vip::default() }));
    let back = Return { vip: 10, address: vip(10)?, port: 80, server: 1, mss: 0 };
    writes.push(Write::PutReturn(Endpoint::new("10.0.0.1".parse()?, 8080, Protocol::Tcp), back));
    Ok(writes)
}

/// A frame of any sort: of TCP and UDP, whole and in fragments, pings, to all VIPs and elsewhere, and any bytes.
fn frame() -> Result<Vec<u8>> {
    let kind = fastrand::choice([Kind::Tcp, Kind::Udp, Kind::Ping]).context("one")?;
    let source = SocketAddr::new(format!("198.51.100.{}", fastrand::u8(1..20)).parse()?, fastrand::u16(1_024..1_100));
    let destination = SocketAddr::new(vip(fastrand::u8(9..16))?, if fastrand::u8(..4) == 0 { 81 } else { 80 });
    let flags = fastrand::choice(["syn", "ack", "fin+ack", "rst"]).context("one")?;
    let flags: Flags = flags.parse().map_err(anyhow::Error::msg)?;
    let reply = fastrand::u8(..8) == 0;
    let server: SocketAddr = "10.0.0.1:8080".parse()?;
    let (source, destination) = if reply { (server, source) } else { (source, destination) };
    let mut frame = Asked { kind, source, destination, flags }.frame()?;
    if fastrand::u8(..4) == 0 {
        let at = fastrand::usize(12..frame.len());
        frame.iter_mut().skip(at).take(1).for_each(|byte| *byte = fastrand::u8(..));
    }
    Ok(frame)
}

fn ask(replica: &Replica, tables: &Tables, frame: &[u8]) -> Result<Explained> {
    let link = |ifindex| format!("#{ifindex}");
    let names = Names::default();
    Ok(explain(&Scene { replica, tables, names: &names, interface: OUTSIDE, link: &link }, frame)?)
}

#[test]
fn a_thousand_explained_packets_leave_every_map_as_it_was() -> Result<()> {
    let site = Site::open()?;
    let tables = site.tables()?;
    // Something is remembered already, of one server and the other.
    let mut flows: HashMap<MapData, Raw<FlowKey4>, Raw<Flow>> = typed(&site.world, FLOWS4)?;
    for port in 1_024..1_060 {
        flows.insert(
            Raw(key(port)),
            Raw(Flow { server: 1 + port % 2, ring: RING, slot: 5, marks: CLOSING, reserved: 0, last: 9 }),
            0,
        )?;
    }
    // Nobody else says anything from here on: neighbours of IPv6 do, as long as there is a wire.
    run("ip link set far down")?;
    thread::sleep(Duration::from_millis(200));
    let before = site.dump()?;
    ensure!(before.len() > 30, "{} maps", before.len());
    // Each with a copy of its own if there is time, as on the command line.
    let by_a_copy = if env::var_os("SLUICE_LONG").is_some() { 1 } else { BY_A_COPY };
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for _ in 0..1_000 / by_a_copy {
        let replica = site.replica()?;
        for _ in 0..by_a_copy {
            *outcomes.entry(ask(&replica, &tables, &frame()?)?.verdict).or_default() += 1;
        }
    }
    println!("{outcomes:?}");
    ensure!(["XDP_TX", "XDP_PASS", "XDP_DROP"].iter().all(|verdict| outcomes.contains_key(verdict)), "{outcomes:?}");
    let after = site.dump()?;
    for (path, shown) in &before {
        ensure!(after.get(path) == Some(shown), "{} is another one", path.display());
    }
    ensure!(after.len() == before.len());
    Ok(())
}

fn key(port: u16) -> FlowKey4 {
    FlowKey4 {
        source: Be32::from(std::net::Ipv4Addr::new(198, 51, 100, 7)),
        destination: Be32::from(std::net::Ipv4Addr::new(192, 0, 2, 10)),
        source_port: Be16::new(port),
        destination_port: Be16::new(80),
        protocol: 6,
        reserved: 0,
        ring: 0,
    }
}

fn asked(kind: Kind, source: &str, destination: &str) -> Result<Vec<u8>> {
    Ok(Asked { kind, source: source.parse()?, destination: destination.parse()?, flags: Flags::SYN }.frame()?)
}

#[test]
fn every_decision_is_told() -> Result<()> {
    let site = Site::open()?;
    let tables = site.tables()?;
    let replica = site.replica()?;
    ensure!(replica.frozen() == Frozen { hash_key: [1, 2], track_budget: 20_000 }, "{:?}", replica.frozen());
    let told = |kind, to: &str| ask(&replica, &tables, &asked(kind, "198.51.100.7:1024", to)?);

    let nat = told(Kind::Tcp, "192.0.2.10:80")?;
    let (vip, server, hop) =
        (nat.vip.context("a VIP")?, nat.server.context("a server")?, nat.next_hop.context("a hop")?);
    ensure!((vip.address.as_str(), vip.forward) == ("192.0.2.10:80", "nat"), "{vip:?}");
    ensure!((server.id, server.why) == (1, "its slot belongs to it"), "{server:?}");
    ensure!(hop.ethernet.as_deref() == Some("02:00:00:00:00:01"), "{hop:?}");
    ensure!(nat.verdict == "XDP_TX" && nat.slot.is_some() && nat.known.is_empty() && nat.reason.is_none());
    let changes: Vec<_> = nat.changes.iter().map(|(name, ..)| name.as_str()).collect();
    let expected =
        ["Ethernet destination", "Ethernet source", "IPv4 destination", "IPv4 time to live", "TCP destination port"];
    ensure!(changes == expected, "{changes:?}");

    let ipip = told(Kind::Udp, "192.0.2.11:80")?;
    ensure!(
        ipip.changes.iter().any(|(name, _, to)| name == "outer IPv4 destination" && to.as_deref() == Some("10.0.0.1")),
        "{ipip:?}"
    );
    let ping = told(Kind::Ping, "192.0.2.10:0")?;
    ensure!(ping.reason.is_some_and(|reason| reason.name == "answered") && ping.verdict == "XDP_TX", "{ping:?}");
    let stranger = told(Kind::Tcp, "203.0.113.1:80")?;
    ensure!(
        stranger.reason.is_some_and(|reason| reason.name == "not_ours") && stranger.verdict == "XDP_PASS",
        "{stranger:?}"
    );
    let port = told(Kind::Tcp, "192.0.2.10:81")?;
    ensure!(port.reason.is_some_and(|reason| reason.name == "unknown_port") && port.verdict == "XDP_DROP", "{port:?}");
    // What a copy remembers it meets again, and another copy does not.
    let first = told(Kind::Tcp, "192.0.2.12:80")?;
    ensure!(first.known.is_empty() && first.remembered.len() == 1, "{first:?}");
    let again = told(Kind::Tcp, "192.0.2.12:80")?;
    ensure!(again.known.iter().any(|known| known.table == "half_open") && again.remembered.is_empty(), "{again:?}");
    let fresh = ask(&site.replica()?, &tables, &asked(Kind::Tcp, "198.51.100.7:1024", "192.0.2.12:80")?)?;
    ensure!(fresh.known.is_empty(), "{fresh:?}");
    Ok(())
}

#[test]
fn what_the_tables_know_a_packet_meets_however_full_they_are() -> Result<()> {
    let site = Site::open()?;
    let mut flows: HashMap<MapData, Raw<FlowKey4>, Raw<Flow>> = typed(&site.world, FLOWS4)?;
    flows.insert(Raw(key(1_024)), Raw(flow(2)), 0)?;
    // Its slot must be asked for.
    let tracked = std::sync::Arc::new(std::array::from_fn(|_| lb_common::Slot::new(1, 1, true)));
    writer(&handed_over(&site.world)?)?.apply(&[Write::PutRingHalf(RING, tracked), Write::FlipRing(RING, 77)])?;
    fill(&site, lb_common::maps::CONNECTIONS4, MAX_CONNECTIONS4)?;
    let (tables, replica) = (site.tables()?, site.replica()?);
    let ack = "ack".parse().map_err(anyhow::Error::msg)?;
    let packet = Asked {
        kind: Kind::Tcp,
        source: "198.51.100.7:1024".parse()?,
        destination: "192.0.2.10:80".parse()?,
        flags: ack,
    };
    let explained = ask(&replica, &tables, &packet.frame()?)?;
    let server = explained.server.context("a server")?;
    ensure!((server.id, server.why) == (2, "the flow table knows it"), "{server:?}");
    Ok(())
}

fn flow(server: ServerId) -> Flow {
    Flow { server, ring: RING, slot: 5, marks: 0, reserved: 0, last: 9 }
}

/// As many connections as there is room for.
fn fill(site: &Site, name: &str, entries: u32) -> Result<()> {
    let mut map: HashMap<MapData, Raw<FlowKey4>, Raw<lb_common::Connection4>> = typed(&site.world, name)?;
    let row = <lb_common::Connection4 as bytemuck::Zeroable>::zeroed();
    let entries = if env::var_os("SLUICE_LONG").is_some() { entries } else { 20_000 };
    for number in 0..entries {
        map.insert(Raw(FlowKey4 { source: Be32::new(number), ..key(9) }), Raw(row), 0)?;
    }
    Ok(())
}

#[test]
fn what_is_not_the_program_that_runs_is_refused() -> Result<()> {
    let site = Site::open()?;
    let refused = |pins: &Pins, interface: &str| Replica::open(object()?, pins, interface).err().context("a copy");
    let far = refused(&site.world.pins, "far")?;
    ensure!(matches!(far, ReplicaError::NotAttached(_)), "{far}");
    let elsewhere = Pins::new(site.world.pins.root().with_file_name("another"));
    let _other = load(object()?, &elsewhere, Frozen::default())?;
    let other = refused(&elsewhere, OUTSIDE)?;
    ensure!(matches!(other, ReplicaError::NotOurs(..)), "{other}");
    let replica = site.replica()?;
    for length in [0, 13, 70_000] {
        let run = replica.run(&vec![0; length], &Tables::default());
        ensure!(matches!(run, Err(ReplicaError::Length(found)) if found == length), "{length}");
    }
    Ok(())
}
