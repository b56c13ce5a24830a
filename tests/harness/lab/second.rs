//! A second balancer, which has no floating address before somebody gives it one. Not part of every lab.
//!
//! ```text
//!   client   balancer                  second                    servers
//!     │         │ 198.51.100.1           │ 198.51.100.3             │
//!     │         │ 2001:db8:100::1        │ 2001:db8:100::3          │
//!     │         │ 10.1.1.1               │ 10.1.1.3                 │
//!     │         │ 2001:db8:1::1          │ 2001:db8:1::3            │
//!  ═══╧═════════╧════════════════════════╧══════════════════════════╧══
//! ```

use super::{DEVICE, Lab, wiring::Cable};
use crate::{netns::Namespace, tools};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{IpAddr, UdpSocket},
    path::PathBuf,
};

/// A machine that balances, and where its daemon keeps its things.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// Where it runs.
    pub namespace: Namespace,
    /// Its files.
    pub directory: PathBuf,
    /// The daemon's pins.
    pub pins: PathBuf,
    /// Its port at the switch.
    port: &'static str,
}

impl Balancer {
    /// Whether it has that address now.
    pub fn has(&self, address: IpAddr) -> Result<bool> {
        self.namespace.run(|| UdpSocket::bind((address, 0)).is_ok())
    }

    /// Pulls its cable out of the switch, or plugs it in.
    pub fn set_plugged(&self, lab: &Lab, plugged: bool) -> Result<()> {
        lab.switch.ip([format!("link set {} {}", self.port, if plugged { "up" } else { "down" })])
    }

    /// Takes addresses from it that may be there still, as a machine forgets them that is switched off.
    pub fn forget(&self, addresses: &[IpAddr]) -> Result<()> {
        for address in addresses {
            if self.has(*address)? {
                let length = if address.is_ipv4() { 32 } else { 128 };
                self.namespace.ip([format!("addr del {address}/{length} dev {DEVICE}")])?;
            }
        }
        Ok(())
    }
}

impl Lab {
    /// The balancer that every lab has, as one of several.
    pub fn first_balancer(&self) -> Balancer {
        let (directory, pins) = (self.directory().to_owned(), self.pins());
        Balancer { namespace: self.balancer.clone(), directory, pins, port: "balancer" }
    }

    /// Adds another balancer. `floating` are the addresses that move between both: they are taken from the first one, and the client
    /// looks for them on its own link.
    pub fn add_balancer(&self, floating: &[IpAddr]) -> Result<Balancer> {
        const NAME: &str = "second";
        let mut made = Namespace::create([format!("{}-{NAME}", self.name())])?.into_iter();
        let namespace = made.next().context("a namespace")?;
        self.lay(&[Cable { machine: &namespace, port: NAME, device: DEVICE }])?;
        tools::attach(tools::Program::Pass, &self.switch, NAME, self.name())?;
        // What is for a machine that is gone would come to both programs: no router or switch that has learned does that.
        self.switch.ip(["balancer", NAME].map(|port| format!("link set {port} type bridge_slave flood off")))?;
        namespace.sysctls(&[
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.conf.all.send_redirects", "0"),
        ])?;
        namespace.ip([
            "link set lo up".to_owned(),
            format!("link set {DEVICE} up"),
            format!("addr add 198.51.100.3/24 dev {DEVICE}"),
            format!("addr add 10.1.1.3/24 dev {DEVICE}"),
            format!("addr add 2001:db8:100::3/64 dev {DEVICE} nodad"),
            format!("addr add 2001:db8:1::3/64 dev {DEVICE} nodad"),
        ])?;
        self.first_balancer().forget(floating)?;
        self.client.ip(floating.iter().map(|address| format!("route add {address} dev eth0")))?;
        let directory = self.directory().join(NAME);
        fs::create_dir(&directory)?;
        Ok(Balancer { namespace, directory, pins: format!("{}-{NAME}", self.pins().display()).into(), port: NAME })
    }
}
