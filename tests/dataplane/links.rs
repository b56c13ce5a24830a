//! The routing maps follow what happens to the host's links.

use crate::{
    host::{Host, Maps, V4, V6, index_of, inside, mac, median_is_soon, neighbour, watch},
    world::run,
};
use anyhow::{Result, ensure};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

#[test]
fn the_mtu_of_link_and_route_is_followed_soon() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        for net in [V4, V6] {
            let server = net.ip(2)?;
            let row = watch(&routing, server).await?;
            neighbour(server, 2)?;
            let is = |mtu: u16| move |maps: &Maps| Ok(maps.next_hop(row)?.is_some_and(|hop| hop.mtu == mtu));
            let mut times = Vec::new();
            for mtu in [1_400, 1_500, 1_400, 1_500] {
                run(&format!("ip link set outside mtu {mtu}"))?;
                times.push(host.until("MTU of the link", is(mtu)).await?);
            }
            run(&format!("ip route add {server}/{} dev outside mtu 1300", net.all))?;
            times.push(host.until("MTU of the route", is(1_300)).await?);
            run(&format!("ip route del {server}/{} dev outside", net.all))?;
            times.push(host.until("MTU of the link again", is(1_500)).await?);
            median_is_soon(&format!("the MTU on the way to {server}"), times)?;
        }
        Ok(())
    })
}

#[test]
fn the_source_of_tunnels_is_followed_soon() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let routing = host.follow(&BTreeMap::new()).await?;
        let servers = [V4.ip(2)?, V6.ip(2)?];
        let rows = routing.watch(&servers).await?;
        (1..).zip(servers).try_for_each(|(last, server)| neighbour(server, last))?;
        let (row4, row6) = (rows[&servers[0]], rows[&servers[1]]);
        let source4 = |maps: &Maps| -> Result<_> { Ok(maps.next_hop(row4)?.map(|hop| IpAddr::from(hop.source4.ip()))) };
        let source6 = |maps: &Maps| -> Result<_> { Ok(maps.next_hop(row6)?.map(|hop| hop.source6.ip())) };
        host.until("own addresses", |maps| Ok((source4(maps)?, source6(maps)?) == (Some(V4.ip(1)?), Some(V6.ip(1)?))))
            .await?;
        let mut times = Vec::new();
        for last in [11, 12, 13] {
            let (v4, v6) = (V4.ip(last)?, V6.ip(last)?);
            run(&format!("ip address add {v4}/24 dev outside"))?;
            run(&format!("ip route replace 10.9.0.0/24 dev outside proto kernel scope link src {v4}"))?;
            times.push(host.until("preferred by the route", |maps| Ok(source4(maps)? == Some(v4))).await?);
            run(&format!("ip address add {v6}/64 dev outside nodad"))?;
            run(&format!("ip route replace 2001:db8:9::/64 dev outside proto kernel metric 256 src {v6}"))?;
            times.push(host.until("preferred by the route", |maps| Ok(source6(maps)? == Some(v6))).await?);
        }
        run("ip address del 2001:db8:9::1/64 dev outside")?;
        run("ip route replace 2001:db8:9::/64 dev outside proto kernel metric 256")?;
        times.push(host.until("the lowest", |maps| Ok(source6(maps)? == Some(V6.ip(11)?))).await?);
        median_is_soon("the source of tunnels", times)?;
        run("ip -6 address flush dev outside scope global")?;
        run("ip route add 2001:db8:9::/64 dev outside")?;
        neighbour(servers[1], 2)?;
        host.until("none", |maps| Ok(source6(maps)? == Some(Ipv6Addr::UNSPECIFIED.into()))).await.map(drop)
    })
}

#[test]
fn a_neighbour_that_the_kernel_forgot_is_asked_for_again() -> Result<()> {
    for net in [V4, V6] {
        let host = Host::enter()?;
        inside(async || {
            let routing = host.follow(&BTreeMap::new()).await?;
            let row = watch(&routing, net.ip(2)?).await?;
            host.until("first", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
            run("ip link set outside down")?;
            host.until("down", |maps| Ok(maps.next_hop(row)?.is_none())).await?;
            run("ip link set outside up")?;
            net.address()?;
            let took = host.until("again", |maps| Ok(maps.next_hop(row)?.is_some())).await?;
            println!("{} again {took:?} after the link came up", net.ip(2)?);
            host.machine.run("ip link set far down")?;
            host.until("the other end is down", |maps| Ok(maps.next_hop(row)?.is_none())).await.map(drop)
        })?;
    }
    Ok(())
}

#[test]
fn a_link_that_is_made_anew_is_taken_up_whatever_its_number() -> Result<()> {
    let host = Host::enter()?;
    inside(async || {
        let servers = [V4.ip(2)?, V6.ip(2)?];
        let routing = host.follow(&BTreeMap::new()).await?;
        let rows = routing.watch(&servers).await?;
        let settle = || (1..).zip(servers).try_for_each(|(last, server)| neighbour(server, last));
        settle()?;
        let first = index_of("outside")?;
        for ifindex in [first, first + 100, first + 100] {
            let file = tempfile::NamedTempFile::new()?;
            let lines = format!(
                "link del outside\nlink add outside index {ifindex} type veth peer name far\nlink set outside up\n\
                 link set far up\n"
            );
            std::fs::write(file.path(), lines)?;
            run(&format!("ip -batch {}", file.path().display()))?; // in one go: nobody listens meanwhile
            for net in [V4, V6] {
                net.address()?;
            }
            settle()?;
            for (last, server) in (1..).zip(servers) {
                let row = rows[&server];
                let there = |maps: &Maps| {
                    Ok(maps.has_device(ifindex)
                        && maps
                            .next_hop(row)?
                            .is_some_and(|hop| hop.ifindex == ifindex && hop.destination == mac(last)))
                };
                let took = host.until(&format!("{server} on link {ifindex}"), there).await?;
                println!("{server} on link {ifindex} after {took:?}");
            }
        }
        ensure!(!host.maps.has_device(first), "the old one is still there");
        Ok(())
    })
}
