//! The routing maps follow what `ip` does to the host's network, in both families.
#![expect(clippy::print_stdout, reason = "measured times are part of the result")]

use crate::{
    host::{Host, Net, V4, V6, index_of, inside, mac, median_is_soon, neighbour, watch},
    world::run,
};
use anyhow::{Context as _, Result, ensure};
use lb_common::ServerEntry;
use std::{collections::BTreeMap, net::IpAddr};

fn looked_for(net: &Net) -> Result<()> {
    let host = Host::enter()?;
    let server = net.ip(2)?;
    let shown = || run(&format!("ip neigh show {server}"));
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        let row = watch(&routing, server).await?;
        let took = host.until("the server answers", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        println!("{server} answered after {took:?}");
        let found = host.maps.next_hop(row)?.context("gone")?;
        let theirs = host.machine.run("ip -o link show dev far")?;
        let mac = found.destination.map(|byte| format!("{byte:02x}")).join(":");
        ensure!(theirs.contains(&mac), "{mac} is not that of {theirs}");
        ensure!(found.ifindex == index_of("outside")? && found.resolved == 1 && found.mtu == 1_500, "{found:?}");
        ensure!(shown()?.contains("managed"), "{}", shown()?);
        routing.stop().await?;
        ensure!(!shown()?.contains("managed"), "{}", shown()?);
        Ok(())
    })
}

#[test]
fn a_server_is_looked_for_and_kept_alive_by_the_kernel_until_we_stop() -> Result<()> {
    looked_for(&V4)
}

#[test]
fn a_server_of_ipv6_is_looked_for_and_kept_alive_by_the_kernel_until_we_stop() -> Result<()> {
    looked_for(&V6)
}

#[test]
fn a_changed_mac_is_followed_soon() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        for net in [V4, V6] {
            let server = net.ip(2)?;
            let row = watch(&routing, server).await?;
            let mut times = Vec::new();
            for last in 1..=9 {
                neighbour(server, last)?;
                let followed =
                    host.until("MAC", |maps| Ok(maps.next_hop(row)?.is_some_and(|hop| hop.destination == mac(last))));
                times.push(followed.await?);
            }
            median_is_soon(&format!("a changed MAC of {server}"), times)?;
        }
        Ok(())
    })
}

/// By gateways with these addresses.
fn rerouted(net: &Net, gateways: [IpAddr; 2]) -> Result<()> {
    let host = Host::enter()?;
    let known = || (3..).zip(gateways).try_for_each(|(last, gateway)| neighbour(gateway, last));
    let default = |gateway: IpAddr| run(&format!("ip route replace default via {gateway} dev outside"));
    inside(async || {
        known()?;
        let far = net.far.parse()?;
        let routing = host.follow(&BTreeMap::new()).await?;
        let row = watch(&routing, far).await?;
        ensure!(host.maps.next_hop(row)?.is_none(), "there is no route yet");
        let mut times = Vec::new();
        for (last, gateway) in (3..).zip(gateways).cycle().take(7) {
            default(gateway)?;
            let followed =
                host.until("route", |maps| Ok(maps.next_hop(row)?.is_some_and(|hop| hop.destination == mac(last))));
            times.push(followed.await?);
        }
        let replies = host.maps.route_hop(net.default())?;
        ensure!(replies.is_some_and(|hop| hop.destination == mac(3)), "replies go elsewhere");
        ensure!(host.maps.route(net.prefix()?)? == Some(0), "the link's own prefix");
        run("ip link set outside down")?;
        times.push(host.until("link down", |maps| Ok(maps.next_hop(row)?.is_none())).await?);
        ensure!(routing.status().borrow().unresolved.contains(&far));
        run("ip link set outside up")?;
        net.address()?;
        known()?;
        let [first, _] = gateways;
        default(first)?;
        host.until("link up", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        median_is_soon(&format!("a changed route to {far}"), times)
    })
}

#[test]
fn a_changed_route_is_followed_soon_and_a_link_that_goes_down_resolves_nothing() -> Result<()> {
    rerouted(&V4, [V4.ip(3)?, V4.ip(4)?])
}

#[test]
fn a_changed_route_by_link_local_gateways_is_followed_soon() -> Result<()> {
    rerouted(&V6, ["fe80::a".parse()?, "fe80::b".parse()?])
}

#[test]
fn a_route_of_ipv4_may_lead_by_a_gateway_of_ipv6() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        let row = watch(&routing, V4.far.parse()?).await?;
        run("ip route add 203.0.113.0/24 via inet6 2001:db8:9::2 dev outside")?;
        host.until("the gateway answers", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
        let hop = host.maps.next_hop(row)?.context("gone")?;
        ensure!(hop.source4 == V4.ip(1)?.to_string().parse::<std::net::Ipv4Addr>()?.into(), "{hop:?}");
        let replies = host.maps.route_hop(("203.0.113.0".parse()?, 24))?;
        ensure!(replies.is_some_and(|reply| reply.destination == hop.destination), "{replies:?}");
        Ok(())
    })
}

#[test]
fn a_floating_address_and_a_client_on_the_link_come_and_go() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let _routing = host.follow(&BTreeMap::new()).await?;
        for net in [V4, V6] {
            let floating: IpAddr = net.floating.parse()?;
            let client = net.ip(77)?;
            let prefix = (client, net.all);
            let mut times = Vec::new();
            for _ in 0..3 {
                run(&format!("ip address add {floating}/{} dev outside", net.all))?;
                times.push(host.until("address", |maps| maps.is_local(floating)).await?);
                run(&format!("ip address del {floating}/{} dev outside", net.all))?;
                times.push(host.until("address gone", |maps| Ok(!maps.is_local(floating)?)).await?);
                run(&format!("ip neigh add {client} lladdr 02:00:00:00:00:77 nud stale dev outside"))?;
                times.push(host.until("client", |maps| Ok(maps.route_hop(prefix)?.is_some())).await?);
                run(&format!("ip neigh del {client} dev outside"))?;
                times.push(host.until("client gone", |maps| Ok(maps.route(prefix)?.is_none())).await?);
            }
            median_is_soon(&format!("addresses and clients such as {client}"), times)?;
        }
        Ok(())
    })
}

#[test]
fn a_restarted_daemon_keeps_rows_and_forwarding_as_they_are() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let servers = [V4.ip(2)?, V6.ip(2)?];
        let first = host.follow(&BTreeMap::new()).await?;
        let far = [V4.far.parse()?, V6.far.parse()?];
        let rows = first.watch(&[far, servers].concat()).await?;
        let rows = servers.map(|server| rows[&server]);
        let hops =
            |maps: &crate::host::Maps| rows.into_iter().map(|row| maps.next_hop(row)).collect::<Result<Vec<_>>>();
        host.until("first", |maps| Ok(hops(maps)?.iter().all(Option::is_some))).await?;
        drop(first);
        let before = hops(&host.maps)?;
        let entry = |(server, next_hop): (IpAddr, u16)| ServerEntry {
            identity: 1,
            addr: server.into(),
            next_hop,
            ..bytemuck::Zeroable::zeroed()
        };
        let known = (1..).zip(servers.into_iter().zip(rows).map(entry)).collect();
        let second = host.follow(&known).await?;
        ensure!(hops(&host.maps)? == before);
        let kept = second.watch(&servers).await?;
        ensure!(servers.map(|server| kept[&server]) == rows, "{kept:?}");
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
        let last = (V4.ip(3 + 199)?, 32);
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
