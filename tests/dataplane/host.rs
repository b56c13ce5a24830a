//! A host with a machine behind its one link, in both families, and its routing maps.
#![expect(clippy::print_stdout, reason = "measured times are part of the result")]

use crate::world::{Machine, World, run};
use anyhow::{Context as _, Result, ensure};
use aya::{
    Pod,
    maps::{Array, LpmTrie, Map, MapData, xdp::DevMapHash},
};
use lb_common::{
    Be16, Be32, Be128, Family as _, NextHop, ServerEntry, ServerId, family,
    lookup::{Line, LocalLine4, LocalLine6, lines_of, row},
    maps::{DEVICES, LOCAL_HALVES, LOCAL4, LOCAL6, NEXT_HOPS, ROUTES4, ROUTES6},
};
use lb_userspace::dataplane::{
    pins::Pins,
    raw::Raw,
    routing::{Events, Routing, RoutingMaps},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

/// What the maps must keep up with. The machine may be busy, so the median of several changes counts.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(10);

/// The host's network in one family.
pub(crate) struct Net {
    /// What all addresses of the link begin with. The host has 1, the machine has 2.
    start: &'static str,
    /// Bits of the link's prefix.
    bits: u8,
    /// All bits.
    pub(crate) all: u8,
    /// A server that is not on the link.
    pub(crate) far: &'static str,
    /// An address that comes and goes.
    pub(crate) floating: &'static str,
}

pub(crate) const V4: Net = Net { start: "10.9.0.", bits: 24, all: 32, far: "203.0.113.9", floating: "192.0.2.10" };
pub(crate) const V6: Net =
    Net { start: "2001:db8:9::", bits: 64, all: 128, far: "2001:db8:ffff::9", floating: "2001:db8::10" };

impl Net {
    /// An address on the link.
    pub(crate) fn ip(&self, last: u8) -> Result<IpAddr> {
        Ok(format!("{}{last}", self.start).parse()?)
    }

    /// The link's prefix.
    pub(crate) fn prefix(&self) -> Result<Prefix> {
        Ok((self.ip(0)?, self.bits))
    }

    /// Where every address leads that is not known better.
    pub(crate) fn default(&self) -> Prefix {
        (if self.all == 32 { IpAddr::from([0; 4]) } else { Ipv6Addr::UNSPECIFIED.into() }, 0)
    }

    /// Gives the host its address on the link, again if need be. In use at once: nobody else has it.
    pub(crate) fn address(&self) -> Result<()> {
        run(&format!("ip address replace {}1/{} dev outside nodad", self.start, self.bits)).map(drop)
    }
}

/// Network and length.
pub(crate) type Prefix = (IpAddr, u8);

/// The maps, read row by row: reading all of them takes longer than what is measured.
pub(crate) struct Maps {
    next_hops: Array<MapData, Raw<NextHop>>,
    v4: Routes<Be32>,
    v6: Routes<Be128>,
    local4: Local<LocalLine4>,
    local6: Local<LocalLine6>,
    devices: DevMapHash<MapData>,
}

struct Routes<A>(LpmTrie<MapData, Raw<A>, u32>)
where
    Raw<A>: Pod;

/// A lookup table of the host's addresses, read as packets read it.
struct Local<L: Line> {
    row: u32,
    halves: Array<MapData, u32>,
    lines: Array<MapData, Raw<L>>,
}

impl Maps {
    fn open(pins: &Pins) -> Result<Self> {
        Ok(Self {
            next_hops: open(pins, NEXT_HOPS)?.try_into()?,
            v4: Routes(open(pins, ROUTES4)?.try_into()?),
            v6: Routes(open(pins, ROUTES6)?.try_into()?),
            local4: Local::open(pins, LOCAL4, row::LOCAL4)?,
            local6: Local::open(pins, LOCAL6, row::LOCAL6)?,
            devices: open(pins, DEVICES)?.try_into()?,
        })
    }

    /// `None`: not resolved.
    pub(crate) fn next_hop(&self, row: u16) -> Result<Option<NextHop>> {
        Ok(Some(self.next_hops.get(&row.into(), 0)?.0).filter(|hop| hop.resolved == 1))
    }

    /// The row of exactly that prefix.
    pub(crate) fn route(&self, (network, length): Prefix) -> Result<Option<u32>> {
        match network {
            IpAddr::V4(network) => self.v4.route(&network.into(), length),
            IpAddr::V6(network) => self.v6.route(&network.into(), length),
        }
    }

    /// Where a reply to exactly that prefix goes.
    pub(crate) fn route_hop(&self, prefix: Prefix) -> Result<Option<NextHop>> {
        self.route(prefix)?.map_or(Ok(None), |row| self.next_hop(u16::try_from(row)?))
    }

    pub(crate) fn is_local(&self, address: IpAddr) -> Result<bool> {
        match address {
            IpAddr::V4(address) => self.local4.holds(&family::V4::endpoint(address.into(), Be16::new(0), 0)),
            IpAddr::V6(address) => self.local6.holds(&family::V6::endpoint(address.into(), Be16::new(0), 0)),
        }
    }

    pub(crate) fn has_device(&self, ifindex: u32) -> bool {
        self.devices.get(ifindex, 0).is_ok()
    }
}

impl<L: Line> Local<L> {
    fn open(pins: &Pins, name: &str, row: u32) -> Result<Self> {
        Ok(Self { row, halves: open(pins, LOCAL_HALVES)?.try_into()?, lines: open(pins, name)?.try_into()? })
    }

    fn holds(&self, key: &L::Key) -> Result<bool> {
        let half = self.lines.len() / 2;
        let live = self.halves.get(&self.row, 0)? * half;
        for line in lines_of(key, half) {
            if self.lines.get(&(live + line), 0)?.0.get(key).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<A: Eq> Routes<A>
where
    Raw<A>: Pod,
{
    fn route(&self, network: &A, length: u8) -> Result<Option<u32>> {
        for entry in &self.0 {
            let (key, row) = entry?;
            if key.prefix_len() == u32::from(length) && key.data().0 == *network {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

fn open(pins: &Pins, name: &str) -> Result<Map> {
    Ok(Map::from_map_data(MapData::from_pin(pins.map(name))?)?)
}

/// A host with the first address of each [`Net`] on `outside` and a machine with the second one behind it.
pub(crate) struct Host {
    world: World,
    pub(crate) machine: Machine,
    pub(crate) maps: Maps,
}

impl Host {
    pub(crate) fn enter() -> Result<Self> {
        let world = World::enter()?;
        drop(world.load()?);
        let machine = Machine::behind("far", "10.9.0.2/24")?;
        machine.run("ip address add 2001:db8:9::2/64 dev far nodad")?;
        for net in [V4, V6] {
            net.address()?;
        }
        let maps = Maps::open(&world.pins)?;
        Ok(Self { world, machine, maps })
    }

    /// Starts to follow, as a daemon that finds `servers` in the maps.
    pub(crate) async fn follow(&self, servers: &BTreeMap<ServerId, ServerEntry>) -> Result<Routing> {
        let outside = index_of("outside")?;
        let routing =
            Routing::start(RoutingMaps::open(&self.world.pins)?, Events::open(&self.world.pins)?, &[outside], servers)?;
        routing.synced().await?;
        Ok(routing)
    }

    /// Waits until the maps are so, and says how long that took.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Maps) -> Result<bool>) -> Result<Duration> {
        let begun = Instant::now();
        while !so(&self.maps)? {
            ensure!(begun.elapsed() < LATE, "not followed: {what}");
            sleep(Duration::from_millis(1)).await;
        }
        Ok(begun.elapsed())
    }
}

pub(crate) fn index_of(interface: &str) -> Result<u32> {
    let shown = run(&format!("ip -o link show dev {interface}"))?;
    Ok(shown.split_once(':').context("no index")?.0.parse()?)
}

pub(crate) fn inside<T>(work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(work())
}

/// The row of a server.
pub(crate) async fn watch(routing: &Routing, server: IpAddr) -> Result<u16> {
    routing.watch(&[server]).await?.get(&server).copied().context("no row")
}

/// Writes down by hand that a machine on the link has that MAC.
pub(crate) fn neighbour(address: IpAddr, last: u8) -> Result<()> {
    run(&format!("ip neigh replace {address} lladdr 02:00:00:00:00:{last:02x} nud permanent dev outside")).map(drop)
}

/// The MAC that [`neighbour`] writes down.
pub(crate) fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

pub(crate) fn median_is_soon(what: &str, mut times: Vec<Duration>) -> Result<()> {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().context("nothing measured")?;
    println!("{what}: median {median:?}, worst {:?}", times.last());
    ensure!(median <= SOON, "{what}: followed after {median:?}");
    Ok(())
}
