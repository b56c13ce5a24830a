//! Reads from the kernel what there is to know of this machine.

use super::{
    Finding, all,
    device::Device,
    findings,
    host::{Host, Kernel, Link, Route, Way},
};
use crate::{
    dataplane::routing::{self, Reread, RoutingError, event::Address, network::Network},
    model::Model,
};
use ipnet::IpNet;
use rustix::net::{AddressFamily, SocketType, netdevice::index_to_name, socket};
use std::{collections::BTreeMap, fs, num::NonZero, thread};

/// What `model` asks of this machine, one line each, ending with a newline. If the kernel does not say how things are, that
/// alone is said. Needs a tokio runtime, but no privilege.
pub async fn report(model: &Model) -> String {
    if !model.needs_kernel() {
        return String::new();
    }
    match host().await {
        Ok(host) => findings(model, &host).iter().map(line).collect::<Vec<_>>().concat(),
        Err(error) => format!("warning: the host's network is not checked: {:#}\n", anyhow::Error::from(error)),
    }
}

/// The same of the machine itself as well: cards, and settings of the kernel.
pub async fn whole(model: &Model) -> Result<Vec<Finding>, RoutingError> {
    if !model.needs_kernel() {
        return Ok(Vec::new());
    }
    let mut host = host().await?;
    let named = model.global.interfaces.iter();
    host.devices = named.filter_map(|name| Some((name.clone(), Device::read(name).ok()?))).collect();
    host.kernel = kernel(&model.global.interfaces);
    Ok(all(model, &host))
}

/// /proc/sys/net shows the network namespace of who reads it.
fn kernel(interfaces: &[String]) -> Kernel {
    let number = |setting: &str| -> Option<u32> {
        fs::read_to_string(format!("/proc/sys/net/{setting}")).ok()?.trim().parse().ok()
    };
    let is_on = |setting: &str| number(setting).map(|value| value != 0);
    // The larger of both counts (ip-sysctl).
    let strict = |name: &&String| {
        number("ipv4/conf/all/rp_filter").max(number(&format!("ipv4/conf/{name}/rp_filter"))) == Some(1)
    };
    let cpus = thread::available_parallelism().map_or(0, NonZero::get);
    Kernel {
        jit: is_on("core/bpf_jit_enable"),
        forwards: [is_on("ipv4/ip_forward"), is_on("ipv6/conf/all/forwarding")],
        strict: interfaces.iter().filter(strict).cloned().collect(),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
    }
}

fn line(finding: &Finding) -> String {
    format!("{finding}\n")
}

/// This machine, in the network namespace of the calling thread.
async fn host() -> Result<Host, RoutingError> {
    let reread = routing::reread().await?;
    let socket =
        socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(|error| RoutingError::Netlink(error.into()))?;
    // What has gone since has no name.
    let names = reread.links.keys().filter_map(|ifindex| Some((*ifindex, index_to_name(&socket, *ifindex).ok()?)));
    let names: BTreeMap<u32, String> = names.collect();
    Ok(described(reread, &names))
}

/// In the words of the preflight; links without a name are left out.
fn described(reread: Reread, names: &BTreeMap<u32, String>) -> Host {
    let name = |ifindex: u32| names.get(&ifindex).cloned();
    let Reread { links, addresses, routes } = reread;
    let of_link = |ifindex: u32| {
        let addresses = addresses.iter().filter(move |address| address.on.ifindex == ifindex);
        let net = |address: &Address| IpNet::new(address.on.address, address.prefix.prefix_len()).ok();
        addresses.filter_map(net).collect::<Vec<_>>()
    };
    let described = links.iter().filter_map(|(ifindex, link)| {
        let lower = link.vlan.and_then(|vlan| name(vlan.lower));
        Some(Link { name: name(*ifindex)?, up: link.up, mtu: link.mtu, lower, addresses: of_link(*ifindex) })
    });
    let described = described.collect();
    let mut network = Network::default();
    network.reread(links, addresses, routes);
    let routes = network.ways().map(|(prefix, way)| {
        let way = way.and_then(|way| Some(Way { link: name(way.ifindex)?, gateway: way.gateway, mtu: way.mtu }));
        Route { prefix, way }
    });
    Host { links: described, routes: routes.collect(), ..Host::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::routing::event::{self, On, Vlan};
    use lb_common::Tag;

    #[test]
    fn a_network_is_described_by_the_names_of_its_links() {
        let link = |vlan| event::Link { mac: Some([2; 6]), up: true, mtu: 1_500, vlan };
        let vlan = Vlan { lower: 2, tag: Tag::default() };
        let on = |ifindex, address: &str| On { ifindex, address: address.parse().unwrap() };
        let prefix = "10.1.1.0/24".parse().unwrap();
        let address = Address { on: on(3, "10.1.1.1"), prefix, source: true };
        let route = |metric, ifindex, gateway: Option<&str>| event::Route {
            prefix,
            metric,
            preference: 0,
            way: Some(event::Way {
                ifindex,
                gateway: gateway.map(|gateway| gateway.parse().unwrap()),
                mtu: Some(1_400),
                source: None,
            }),
        };
        let reread = Reread {
            links: BTreeMap::from([(2, link(None)), (3, link(Some(vlan))), (4, link(None))]),
            addresses: vec![address],
            routes: vec![route(100, 2, Some("192.0.2.1")), route(0, 3, None)],
        };
        let names = BTreeMap::from([(2, "eth0".to_owned()), (3, "eth0.7".to_owned())]);
        let host = described(reread, &names);
        let known: Vec<_> = host.links.iter().map(|link| (link.name.as_str(), link.lower.as_deref())).collect();
        assert_eq!(known, [("eth0", None), ("eth0.7", Some("eth0"))], "the third has gone");
        assert!(host.has("10.1.1.1".parse().unwrap()));
        let (found, way) = host.way("10.1.1.11".parse().unwrap()).unwrap();
        let best = Way { link: "eth0.7".to_owned(), gateway: None, mtu: Some(1_400) };
        assert_eq!((found, way), (prefix, &best), "the route with the lowest metric");
    }

    #[tokio::test]
    async fn this_machine_has_a_loopback_interface() {
        let host = host().await.unwrap();
        let lo = host.links.iter().find(|link| link.name == "lo").unwrap();
        assert!(lo.mtu > 0 && lo.lower.is_none());
    }
}
