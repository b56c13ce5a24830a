//! How the machines of a lab are connected, and what each of them is told about the others.
//!
//! Starting a program is most of what this costs, so each machine's part is said to as few of them as possible.

use super::{
    DEVICE, Lab, Machine,
    addresses::{
        CLIENT, CLIENT6, CLIENTS_LINK, DIRECT_VIP, DIRECT_VIP6, Family, GATEWAY, GATEWAY6, NAT_VIP, NAT_VIP6, POOL,
        POOL6, PROXY_VIP, PROXY_VIP6, SERVER_GATEWAY, SERVER_GATEWAY6,
    },
};
use crate::{netns::Namespace, process, tools, wait};
use anyhow::{Context, Result};
use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

/// Longest wait for an Ethernet address.
const MEETING: Duration = Duration::from_secs(2);

/// The Ethernet address of the balancer's device, also of the one that takes its place: a card has the same after its driver
/// was loaded anew, and nobody is told of another but by ARP, when IPv6 would wait for neighbours to find out.
const CARD: &str = "02:00:00:00:00:01";

/// What every machine but the switch is: it takes packets in at one device although it would answer by another.
const ROUTED: [(&str, &str); 2] = [("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.default.rp_filter", "0")];

/// The client's routes through [`GATEWAY`] and [`GATEWAY6`].
const CLIENT_DEFAULTS: [&str; 2] = ["default via 198.51.100.1", "default via 2001:db8:100::1"];
/// A server's routes through [`SERVER_GATEWAY`] and [`SERVER_GATEWAY6`].
const SERVER_DEFAULTS: [&str; 2] = ["default via 10.1.1.1", "default via 2001:db8:1::1"];

/// A cable between a machine and the switch.
pub(super) struct Cable<'a> {
    pub(super) machine: &'a Namespace,
    /// The end at the switch.
    pub(super) port: &'a str,
    /// The end at the machine.
    pub(super) device: &'a str,
}

impl Lab {
    /// Lays the cables and gives everybody their addresses and routes.
    pub(super) fn connect(&self) -> Result<()> {
        self.switch.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        self.switch.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        self.switch
            .ip(["link add switch type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set switch up"])?;
        let mut cables = vec![Cable { machine: &self.client, port: "client", device: "eth0" }, self.balancer_cable()];
        cables.extend(self.machines.iter().map(|one| Cable {
            machine: &one.namespace,
            port: one.name,
            device: "eth0",
        }));
        self.lay(&cables)?;
        self.let_redirect()?;

        self.set_up_client()?;
        self.set_up_balancer()?;
        self.machines.iter().try_for_each(set_up_server)?;
        self.introduce(&Family::BOTH.map(Family::client))
    }

    /// Connects the balancer again, after its device was deleted.
    pub fn plug_balancer(&self) -> Result<()> {
        self.lay(&[self.balancer_cable()])?;
        self.let_redirect()?;
        self.balancer.ip(balancer_addresses())
    }

    fn balancer_cable(&self) -> Cable<'_> {
        Cable { machine: &self.balancer, port: "balancer", device: DEVICE }
    }

    /// A veth takes redirected frames only while its other end has a program, too.
    fn let_redirect(&self) -> Result<()> {
        tools::attach(tools::Program::Pass, &self.switch, "balancer", &self.name)
    }

    /// Lays cables. The ends at the machines are down until an address is given to them.
    pub(super) fn lay(&self, cables: &[Cable<'_>]) -> Result<()> {
        self.switch.ip(cables.iter().flat_map(|Cable { machine, port, device }| {
            [
                format!("link add {port} mtu 1500 type veth peer name {device} mtu 1500 netns {}", machine.name()),
                format!("link set {port} master switch up"),
            ]
        }))?;
        self.switch.disable_offloads(&cables.iter().map(|cable| cable.port).collect::<Vec<_>>())?;
        cables.iter().try_for_each(|cable| {
            cable.machine.sysctls(&ROUTED)?;
            cable.machine.disable_offloads(&[cable.device])
        })
    }

    fn set_up_client(&self) -> Result<()> {
        let [default, default6] = CLIENT_DEFAULTS;
        self.client.sysctl("net.ipv4.ip_local_port_range", "1024 65535")?;
        self.client.ip([
            "link set lo up".to_owned(),
            "link set eth0 up".to_owned(),
            format!("addr add {CLIENT}/24 dev eth0"),
            format!("addr add {CLIENT6}/64 dev eth0 nodad"),
            format!("route add {default}"),
            format!("route add {default6}"),
        ])
    }

    fn set_up_balancer(&self) -> Result<()> {
        self.balancer.sysctls(&[
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.conf.all.send_redirects", "0"),
            ("net.ipv4.conf.default.send_redirects", "0"),
        ])?;
        self.balancer.ip(["link set lo up".to_owned()].into_iter().chain(balancer_addresses()))
    }

    /// Gives the client so many addresses more.
    pub fn add_clients(&self, family: Family, count: u8) -> Result<Vec<IpAddr>> {
        let address = |number: u8| match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(CLIENT.to_bits() + u32::from(number))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(CLIENT6.to_bits() + u128::from(number))),
        };
        let added: Vec<_> = (1..=count).map(address).collect();
        let nodad = if family == Family::V6 { "nodad" } else { "" };
        self.client.ip(added.iter().map(|address| format!("addr add {address} dev eth0 {nodad}")))?;
        self.introduce(&added)?;
        Ok(added)
    }

    /// Takes from the servers every way to the clients but that of the direct VIPs: who is to be answered must be on their
    /// link.
    pub fn strand_servers(&self) -> Result<()> {
        self.machines
            .iter()
            .try_for_each(|machine| machine.namespace.ip(SERVER_DEFAULTS.map(|route| format!("route del {route}"))))
    }

    /// Undoes [`strand_servers`](Self::strand_servers).
    pub fn lead_servers_back(&self) -> Result<()> {
        self.machines
            .iter()
            .try_for_each(|machine| machine.namespace.ip(SERVER_DEFAULTS.map(|route| format!("route add {route}"))))
    }

    /// Makes the client forget what the network told it of the ways to the VIPs.
    pub fn forget_path_mtus(&self) -> Result<()> {
        renew(&self.client, &CLIENT_DEFAULTS)
    }

    /// Lets client and balancer learn each other's Ethernet address, as a balancer and its router long have: replies to a
    /// client whose address the balancer's kernel does not know are dropped and counted as `no_next_hop`.
    fn introduce(&self, clients: &[IpAddr]) -> Result<()> {
        const NOBODY_LISTENS: u16 = 9;
        let say = |from: &IpAddr| {
            let to: IpAddr = if from.is_ipv4() { GATEWAY.into() } else { GATEWAY6.into() };
            UdpSocket::bind((*from, 0))?.send_to(b"hello", (to, NOBODY_LISTENS)).map(drop)
        };
        self.client.run(|| clients.iter().try_for_each(say))?.context("the client's first words")?;
        // One that only sends is not asked who it is: the balancer asks, to answer that nobody listens.
        wait::until("client and balancer to meet", MEETING, || {
            let shown = process::run(self.balancer.command("ip").args(["neigh", "show", "dev", DEVICE]))?;
            let known: Vec<_> = shown.lines().filter(|line| line.contains("lladdr")).collect();
            let knows = |client: &IpAddr| known.iter().any(|line| line.starts_with(&format!("{client} ")));
            Ok(clients.iter().all(knows).then_some(()))
        })
    }
}

/// Puts fresh routes in the place of those that are. What the network has told of a way hangs on its route.
pub(super) fn renew(machine: &Namespace, routes: &[impl Display]) -> Result<()> {
    machine.ip(routes.iter().flat_map(|route| [format!("route del {route}"), format!("route add {route}")]))
}

/// What the balancer's device is told.
fn balancer_addresses() -> Vec<String> {
    let mut lines = vec![format!("link set {DEVICE} address {CARD}"), format!("link set {DEVICE} up")];
    lines.extend([GATEWAY, SERVER_GATEWAY].map(|own| format!("addr add {own}/24 dev {DEVICE}")));
    lines.extend([GATEWAY6, SERVER_GATEWAY6].map(|own| format!("addr add {own}/64 dev {DEVICE} nodad")));
    lines.extend([NAT_VIP, DIRECT_VIP, PROXY_VIP, POOL].map(|own| format!("addr add {own}/32 dev {DEVICE}")));
    // Deprecated: to be the source of nothing that does not ask for it. Of two addresses the kernel would rather take the
    // one whose prefix has more in common with the destination, and a /128 has.
    lines.push(format!("addr add {POOL6}/128 dev {DEVICE} nodad preferred_lft 0"));
    lines.extend([NAT_VIP6, DIRECT_VIP6, PROXY_VIP6].map(|own| format!("addr add {own}/128 dev {DEVICE} nodad")));
    lines
}

fn set_up_server(Machine { address, address6, namespace, .. }: &Machine) -> Result<()> {
    namespace.sysctls(&[
        // The VIP must not be announced: the switch would take this server for the balancer. IPv6 needs no such word: it
        // answers for the addresses of the very device that is asked.
        ("net.ipv4.conf.all.arp_ignore", "1"),
        ("net.ipv4.conf.all.arp_announce", "2"),
        ("net.core.somaxconn", "16384"),
        ("net.ipv4.tcp_max_syn_backlog", "16384"),
    ])?;
    let ([clients, clients6], [default, default6]) = (CLIENTS_LINK, SERVER_DEFAULTS);
    namespace.ip([
        "link set lo up".to_owned(),
        "link set eth0 up".to_owned(),
        format!("addr add {address}/24 dev eth0"),
        format!("addr add {address6}/64 dev eth0 nodad"),
        format!("route add {default}"),
        format!("route add {default6}"),
        format!("addr add {DIRECT_VIP} dev lo"),
        format!("addr add {DIRECT_VIP6} dev lo nodad"),
        // What it answers as the VIP goes straight to the clients. A batch knows no rules for IPv6, but routes by source.
        format!("rule add from {DIRECT_VIP} lookup 20"),
        format!("route add {clients} dev eth0 table 20"),
        format!("route add {clients6} from {DIRECT_VIP6} dev eth0"),
    ])
}
