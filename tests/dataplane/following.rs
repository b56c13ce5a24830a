//! The routing maps follow what `ip` does to the host's network.
#![expect(clippy::print_stdout, reason = "measured times are part of the result")]

use crate::world::{Machine, World, run};
use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData};
use lb_common::{
    Be32, NextHop, Route4Key, ServerEntry, ServerId,
    maps::{LOCAL4, NEXT_HOPS, ROUTES4},
};
use lb_userspace::dataplane::{
    pins::Pins,
    raw::Raw,
    routing::{Events, Routing, RoutingMaps},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const FAR_SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// What the maps must keep up with. The machine may be busy, so the median of several changes counts.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(10);

/// The maps, read row by row: reading all of them takes longer than what is measured.
struct Maps {
    next_hops: Array<MapData, Raw<NextHop>>,
    routes: LpmTrie<MapData, Raw<Be32>, u32>,
    local: HashMap<MapData, Raw<Be32>, u32>,
}

impl Maps {
    fn open(pins: &Pins) -> Result<Self> {
        let open = |name| -> Result<_> { Ok(Map::from_map_data(MapData::from_pin(pins.map(name))?)?) };
        Ok(Self {
            next_hops: open(NEXT_HOPS)?.try_into()?,
            routes: open(ROUTES4)?.try_into()?,
            local: open(LOCAL4)?.try_into()?,
        })
    }

    /// `None`: not resolved.
    fn next_hop(&self, row: u16) -> Result<Option<NextHop>> {
        Ok(Some(self.next_hops.get(&row.into(), 0)?.0).filter(|hop| hop.resolved == 1))
    }

    /// The row of exactly that prefix.
    fn route(&self, prefix: Route4Key) -> Result<Option<u32>> {
        let found = self.routes.iter().find(|entry| matches!(entry, Ok((key, _)) if key.prefix_len() == prefix.prefix_len && key.data().0 == prefix.addr));
        Ok(found.transpose()?.map(|(_, row)| row))
    }

    /// Where a reply to exactly that prefix goes.
    fn route_hop(&self, prefix: Route4Key) -> Result<Option<NextHop>> {
        self.route(prefix)?.map_or(Ok(None), |row| self.next_hop(u16::try_from(row)?))
    }

    fn is_local(&self, address: Be32) -> bool {
        self.local.get(&Raw(address), 0).is_ok()
    }
}

/// A host with 10.9.0.1/24 on `outside` and a machine with 10.9.0.2 behind it.
struct Host {
    world: World,
    neighbour: Machine,
    maps: Maps,
}

impl Host {
    fn enter() -> Result<Self> {
        let world = World::enter()?;
        drop(world.load()?);
        let neighbour = Machine::behind("far", "10.9.0.2/24")?;
        run("ip address add 10.9.0.1/24 dev outside")?;
        let maps = Maps::open(&world.pins)?;
        Ok(Self { world, neighbour, maps })
    }

    /// Starts to follow, as a daemon that finds `servers` in the maps.
    async fn follow(&self, servers: &BTreeMap<ServerId, ServerEntry>) -> Result<Routing> {
        let outside = index_of("outside")?;
        let routing =
            Routing::start(RoutingMaps::open(&self.world.pins)?, Events::open(&self.world.pins)?, &[outside], servers)?;
        routing.synced().await?;
        Ok(routing)
    }

    /// Waits until the maps are so, and says how long that took.
    async fn until(&self, what: &str, so: impl Fn(&Maps) -> Result<bool>) -> Result<Duration> {
        let begun = Instant::now();
        while !so(&self.maps)? {
            ensure!(begun.elapsed() < LATE, "not followed: {what}");
            sleep(Duration::from_millis(1)).await;
        }
        Ok(begun.elapsed())
    }
}

fn index_of(interface: &str) -> Result<u32> {
    let shown = run(&format!("ip -o link show dev {interface}"))?;
    Ok(shown.split_once(':').context("no index")?.0.parse()?)
}

fn inside<T>(work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(work())
}

fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

async fn watch(routing: &Routing, server: Ipv4Addr) -> Result<u16> {
    let rows = routing.watch(&[IpAddr::V4(server)]).await?;
    rows.get(&IpAddr::V4(server)).copied().context("no row")
}

#[test]
fn a_server_is_looked_for_and_kept_alive_by_the_kernel_until_we_stop() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        let row = watch(&routing, SERVER).await?;
        host.until("the server answers ARP", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        let found = host.maps.next_hop(row)?.context("gone")?;
        let theirs = host.neighbour.run("ip -o link show dev far")?;
        let mac = found.destination.map(|byte| format!("{byte:02x}")).join(":");
        ensure!(theirs.contains(&mac), "{mac} is not that of {theirs}");
        ensure!(found.ifindex == index_of("outside")? && found.resolved == 1, "{found:?}");
        ensure!(run("ip neigh show 10.9.0.2")?.contains("managed"), "{}", run("ip neigh show 10.9.0.2")?);
        routing.stop().await?;
        ensure!(!run("ip neigh show 10.9.0.2")?.contains("managed"), "{}", run("ip neigh show 10.9.0.2")?);
        Ok(())
    })
}

#[test]
fn a_changed_mac_is_followed_soon() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        let row = watch(&routing, SERVER).await?;
        let mut times = Vec::new();
        for last in 1..=9 {
            run(&format!("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0{last} nud permanent dev outside"))?;
            times.push(
                host.until("MAC", |maps| Ok(maps.next_hop(row)?.is_some_and(|hop| hop.destination == mac(last))))
                    .await?,
            );
        }
        median_is_soon("a changed MAC", times)
    })
}

#[test]
fn a_changed_route_is_followed_soon_and_a_link_that_goes_down_resolves_nothing() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        for last in [3, 4] {
            run(&format!("ip neigh replace 10.9.0.{last} lladdr 02:00:00:00:00:0{last} nud permanent dev outside"))?;
        }
        let routing = host.follow(&BTreeMap::new()).await?;
        let row = watch(&routing, FAR_SERVER).await?;
        ensure!(host.maps.next_hop(row)?.is_none(), "there is no route yet");
        let mut times = Vec::new();
        for gateway in [3, 4, 3, 4, 3, 4, 3] {
            run(&format!("ip route replace default via 10.9.0.{gateway}"))?;
            times.push(
                host.until("route", |maps| Ok(maps.next_hop(row)?.is_some_and(|hop| hop.destination == mac(gateway))))
                    .await?,
            );
        }
        let default = Route4Key { prefix_len: 0, addr: Be32::default() };
        ensure!(host.maps.route_hop(default)?.is_some_and(|hop| hop.destination == mac(3)), "replies go elsewhere");
        let own = Route4Key { prefix_len: 24, addr: Ipv4Addr::new(10, 9, 0, 0).into() };
        ensure!(host.maps.route(own)? == Some(0), "the link's own prefix");
        run("ip link set outside down")?;
        times.push(host.until("link down", |maps| Ok(maps.next_hop(row)?.is_none())).await?);
        ensure!(routing.status().borrow().unresolved.contains(&FAR_SERVER));
        run("ip link set outside up")?;
        run("ip neigh replace 10.9.0.3 lladdr 02:00:00:00:00:03 nud permanent dev outside")?;
        run("ip route replace default via 10.9.0.3")?;
        host.until("link up", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        median_is_soon("a changed route", times)
    })
}

#[test]
fn a_floating_address_and_a_client_on_the_link_come_and_go() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let _routing = host.follow(&BTreeMap::new()).await?;
        let floating = Be32::from(Ipv4Addr::new(192, 0, 2, 10));
        let client = Route4Key { prefix_len: 32, addr: Be32::from(Ipv4Addr::new(10, 9, 0, 77)) };
        let mut times = Vec::new();
        for _ in 0..3 {
            run("ip address add 192.0.2.10/32 dev outside")?;
            times.push(host.until("address", |maps| Ok(maps.is_local(floating))).await?);
            run("ip address del 192.0.2.10/32 dev outside")?;
            times.push(host.until("address gone", |maps| Ok(!maps.is_local(floating))).await?);
            run("ip neigh add 10.9.0.77 lladdr 02:00:00:00:00:77 nud stale dev outside")?;
            times.push(host.until("client", |maps| Ok(maps.route_hop(client)?.is_some())).await?);
            run("ip neigh del 10.9.0.77 dev outside")?;
            times.push(host.until("client gone", |maps| Ok(maps.route(client)?.is_none())).await?);
        }
        median_is_soon("addresses and clients", times)
    })
}

#[test]
fn a_neighbour_that_the_kernel_forgot_is_asked_for_again() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        let row = watch(&routing, SERVER).await?;
        host.until("first", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        run("ip link set outside down")?;
        host.until("down", |maps| Ok(maps.next_hop(row)?.is_none())).await?;
        run("ip link set outside up")?;
        host.until("again", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        host.neighbour.run("ip link set far down")?;
        host.until("the other end is down", |maps| Ok(maps.next_hop(row)?.is_none())).await.map(drop)
    })
}

#[test]
fn a_restarted_daemon_keeps_rows_and_forwarding_as_they_are() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let first = host.follow(&BTreeMap::new()).await?;
        let rows = first.watch(&[IpAddr::V4(FAR_SERVER), IpAddr::V4(SERVER)]).await?;
        let row = rows[&IpAddr::V4(SERVER)];
        host.until("first", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        drop(first);
        let before = host.maps.next_hop(row)?;
        let entry = ServerEntry { identity: 1, addr: SERVER.into(), next_hop: row, ..bytemuck::Zeroable::zeroed() };
        let second = host.follow(&BTreeMap::from([(1, entry)])).await?;
        ensure!(before.is_some() && host.maps.next_hop(row)? == before);
        ensure!(watch(&second, SERVER).await? == row);
        Ok(())
    })
}

/// More at once than the socket's buffer holds: whatever was lost, the end is right.
#[test]
fn a_flood_of_announcements_ends_right() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        let file = tempfile::NamedTempFile::new()?;
        let line = |n: u32| {
            format!(
                "neigh replace 10.9.0.{} lladdr 02:00:00:00:{:02x}:{:02x} nud permanent dev outside\n",
                3 + n % 200,
                n >> 8,
                n & 0xff
            )
        };
        std::fs::write(file.path(), (0..20_000).map(line).collect::<String>())?;
        run(&format!("ip -batch {}", file.path().display()))?; // meanwhile nobody listens: this thread is busy here
        let last = Route4Key { prefix_len: 32, addr: Be32::from(Ipv4Addr::new(10, 9, 0, 3 + 199)) };
        let took = host
            .until("the last of them", |maps| {
                Ok(maps.route_hop(last)?.is_some_and(|hop| hop.destination == [2, 0, 0, 0, 0x4e, 0x1f]))
            })
            .await?;
        let overruns = routing.status().borrow().overruns;
        println!("{took:?} after the flood, overruns: {overruns}");
        ensure!(overruns > 0, "nothing was lost: this test proves nothing");
        Ok(())
    })
}

fn median_is_soon(what: &str, mut times: Vec<Duration>) -> Result<()> {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().context("nothing measured")?;
    println!("{what}: median {median:?}, worst {:?}", times.last());
    ensure!(median <= SOON, "{what}: followed after {median:?}");
    Ok(())
}
