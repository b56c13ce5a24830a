//! A client farther away: behind a router, on a link that takes smaller packets than all others, but only on the way to the
//! client. Neither end knows that before a packet is too big: the router says so to who sent it, and that is the VIP.
//! Not part of every lab.
//!
//! ```text
//!   client   balancer   servers   router                    far
//!     │         │          │        │ 198.51.100.2           │ 203.0.113.10
//!  ═══╧═════════╧══════════╧════════╧══   ───────────────────┘
//! ```

use super::{
    DEVICE, Lab,
    addresses::{FAR, FAR_LINK, FAR_ROUTER, FAR_ROUTER6, FAR6, GATEWAY, GATEWAY6, ROUTER, ROUTER6},
    wiring::{Cable, renew},
};
use crate::netns::Namespace;
use anyhow::{Context, Result};

/// The far client and its router.
#[derive(Debug)]
pub struct Far {
    /// Where far clients run: at [`FAR`] and [`FAR6`].
    pub client: Namespace,
    /// Where the router runs: `eth0` at the switch, `far` toward the client.
    pub router: Namespace,
}

/// Routes from [`DIRECT_VIP`](super::DIRECT_VIP) and [`DIRECT_VIP6`](super::DIRECT_VIP6) to [`FAR`] and [`FAR6`].
const FROM_SERVERS: [&str; 2] = [
    "203.0.113.0/24 via 198.51.100.2 dev eth0 onlink table 20",
    "2001:db8:200::/64 from 2001:db8:2::20 via 2001:db8:100::2 dev eth0 onlink",
];

impl Lab {
    /// Adds a client behind a router that sends it no packets larger than `mtu`. Balancer and servers know the way.
    pub fn add_far_client(&self, mtu: u32) -> Result<Far> {
        let names = ["router", "far"].map(|role| format!("{}-{role}", self.name()));
        let mut made = Namespace::create(names)?.into_iter();
        let mut next = || made.next().context("a namespace for each role");
        let far = Far { router: next()?, client: next()? };
        self.lay(&[Cable { machine: &far.router, port: "router", device: "eth0" }])?;
        far.router.sysctls(&[("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")])?;
        far.router.ip([
            format!("link add far mtu 1500 type veth peer name eth0 mtu 1500 netns {}", far.client.name()),
            format!("addr add {ROUTER}/24 dev eth0"),
            format!("addr add {ROUTER6}/64 dev eth0 nodad"),
            format!("addr add {FAR_ROUTER}/24 dev far"),
            format!("addr add {FAR_ROUTER6}/64 dev far nodad"),
            "link set eth0 up".to_owned(),
            "link set far up".to_owned(),
            format!("route add default via {GATEWAY}"),
            format!("route add default via {GATEWAY6}"),
            format!("route add {FAR} dev far mtu lock {mtu}"),
            format!("route add {FAR6} dev far mtu lock {mtu}"),
        ])?;
        far.router.disable_offloads(&["far"])?;
        far.client.disable_offloads(&["eth0"])?;
        far.client.ip([
            "link set lo up".to_owned(),
            "link set eth0 up".to_owned(),
            format!("addr add {FAR}/24 dev eth0"),
            format!("addr add {FAR6}/64 dev eth0 nodad"),
            format!("route add default via {FAR_ROUTER}"),
            format!("route add default via {FAR_ROUTER6}"),
        ])?;
        let [link, link6] = FAR_LINK;
        self.balancer.ip([
            format!("route add {link} via {ROUTER} dev {DEVICE}"),
            format!("route add {link6} via {ROUTER6} dev {DEVICE}"),
        ])?;
        for machine in &self.machines {
            machine.namespace.ip(FROM_SERVERS.map(|route| format!("route add {route}")))?;
        }
        Ok(far)
    }
}

impl Far {
    /// Makes the servers forget what the network told them of the ways from the direct VIPs to the far client.
    pub fn forget_path_mtus(&self, lab: &Lab) -> Result<()> {
        lab.machines.iter().try_for_each(|machine| renew(&machine.namespace, &FROM_SERVERS))
    }
}
