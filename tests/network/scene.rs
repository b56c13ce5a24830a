//! What most scenarios start with: echo servers behind an `l4` frontend.

use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{Family, Lab},
    origin::Echo,
    sluice::Sluice,
    tunnel::{GUE_PORT, Tunnel, TunnelEnd},
};
use std::{
    collections::BTreeMap,
    env,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// The port of the echo servers and of the VIP before them.
pub(crate) const PORT: u16 = 7007;

/// A check that gives a server up 200 ms after its program died: the kernel refuses connections at once. A server that is
/// only slow is not given up, because on a busy machine all of them are, and a SYN that got lost is sent again after a second.
pub(crate) const FAST_CHECK: &str = r#"{ type = "tcp", interval = "100ms", timeout = "3s", rise = 2, fall = 2 }"#;

/// Longest wait for a change that the check above decides.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Whether scenarios that have a long form run it: `SLUICE_LONG` is set. The short one is for every day.
pub(crate) fn is_long() -> bool {
    env::var_os("SLUICE_LONG").is_some()
}

/// Servers that take part unless the others are down.
pub(crate) const WEBS: [&str; 3] = ["web1", "web2", "web3"];

/// How packets reach the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// As typed: `forward = "…"`.
    pub(crate) forward: &'static str,
    /// The family of clients and VIP.
    pub(crate) vip: Family,
    /// The family of the servers' addresses in the configuration.
    pub(crate) servers: Family,
}

impl Way {
    /// One family from end to end.
    pub(crate) const fn within(forward: &'static str, family: Family) -> Self {
        Self { forward, vip: family, servers: family }
    }

    /// In a tunnel, each family in each.
    pub(crate) fn tunnels(forward: &'static str) -> [Self; 4] {
        let [four, six] = Family::BOTH;
        [(four, four), (four, six), (six, four), (six, six)].map(|(vip, servers)| Self { forward, vip, servers })
    }

    /// What packets are put into.
    pub(crate) fn tunnel(self) -> Option<Tunnel> {
        match self.forward {
            "ipip" => Some(Tunnel::Ipip),
            "gue" => Some(Tunnel::Gue),
            _ => None,
        }
    }

    /// Whether replies pass the balancer.
    pub(crate) fn translates(self) -> bool {
        matches!(self.forward, "nat" | "fullnat")
    }

    /// The address of the VIP.
    pub(crate) fn address(self) -> IpAddr {
        if self.translates() { self.vip.nat_vip() } else { self.vip.direct_vip() }
    }
}

/// More lines for the tables of a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct More<'a> {
    pub(crate) global: &'a str,
    /// In place of [`FAST_CHECK`].
    pub(crate) check: Option<&'a str>,
    pub(crate) frontend: &'a str,
    pub(crate) backend: &'a str,
}

/// A lab with echo servers on some of its machines, and the daemon before them. The backend is called `echo`.
pub(crate) struct Scene {
    pub(crate) sluice: Sluice,
    pub(crate) echoes: BTreeMap<&'static str, Echo>,
    /// The servers' ends of tunnels, once a way has led through such.
    pub(crate) tunnels: BTreeMap<&'static str, TunnelEnd>,
    pub(crate) vip: SocketAddr,
    pub(crate) lab: Lab,
    way: Way,
    servers: Vec<&'static str>,
    over: bool,
}

impl Drop for Scene {
    /// Of a scenario that failed, the daemon's log is worth reading; in a moment it is gone.
    fn drop(&mut self) {
        if !self.over {
            println!("The daemon's log:\n{}", self.sluice.log());
        }
    }
}

impl Scene {
    /// Starts all of it. `forward` is `nat` or `direct`; `global` are further keys of the `[global]` table.
    pub(crate) fn start(forward: &'static str, servers: &[&'static str], global: &str) -> Result<Self> {
        Self::of(Way::within(forward, Family::V4), servers, More { global, ..More::default() })
    }

    /// Starts all of it.
    pub(crate) fn of(way: Way, servers: &[&'static str], more: More<'_>) -> Result<Self> {
        Self::within(Lab::beside_others()?, way, servers, more)
    }

    /// As [`of`](Self::of), while no other test runs: for those that measure time, or send as much as they can.
    pub(crate) fn alone(way: Way, servers: &[&'static str], more: More<'_>) -> Result<Self> {
        Self::within(Lab::new()?, way, servers, more)
    }

    fn within(lab: Lab, way: Way, servers: &[&'static str], more: More<'_>) -> Result<Self> {
        if way.forward == "fullnat" {
            lab.strand_servers()?;
        }
        let tunnels = if way.tunnel().is_some() { open_tunnels(&lab, servers)? } else { BTreeMap::new() };
        let echoes = servers.iter().map(|name| Ok((*name, start_echo(&lab, name)?))).collect::<Result<_>>()?;
        let sluice = Sluice::start(&lab, &config_of(&lab, way, servers, more)?)?;
        let vip = (way.address(), PORT).into();
        Ok(Self { sluice, echoes, tunnels, vip, lab, way, servers: servers.to_owned(), over: false })
    }

    /// Goes another way from now on, by a new configuration. Those of the servers that run take part in it.
    pub(crate) fn turn(&mut self, way: Way, more: More<'_>) -> Result<()> {
        match (self.way.forward, way.forward) {
            ("fullnat", "fullnat") => {}
            (_, "fullnat") => self.lab.strand_servers()?,
            ("fullnat", _) => self.lab.lead_servers_back()?,
            _ => {}
        }
        if way.tunnel().is_some() && self.tunnels.is_empty() {
            self.tunnels = open_tunnels(&self.lab, &self.servers)?;
        }
        (self.way, self.vip) = (way, (way.address(), PORT).into());
        self.sluice.write_config(&self.lab, &config_of(&self.lab, way, &self.servers, more)?)?;
        self.sluice.command(&["reload"])?;
        // A ring without servers says so in place of a name.
        let servers = |shares: &BTreeMap<String, f64>| self.echoes.is_empty() || shares.keys().eq(self.echoes.keys());
        self.sluice.wait_shares("echo", SOON, servers)?;
        let maps = self.sluice.maps()?;
        // What was there before leaves, and has no name.
        let mut named = maps.vips.iter().filter(|vip| vip.frontend.is_some());
        let there = named.all(|vip| vip.forward == way.forward && vip.address == self.vip.to_string());
        ensure!(there, "not in the maps: {way:?}, but {:?}", maps.vips);
        Ok(())
    }

    /// The end of a scenario in which all held; the daemon must not have panicked on the way.
    pub(crate) fn over(mut self) -> Result<()> {
        ensure!(!self.sluice.log().contains("panicked at"), "something in the daemon panicked");
        self.over = true;
        Ok(())
    }

    /// SIGKILL to the echo server of a machine, and waits until the ring does without it.
    pub(crate) fn lose(&mut self, server: &str) -> Result<()> {
        self.kill_echo(server)?;
        self.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key(server)).map(drop)
    }

    /// Starts the echo server of a machine, and waits until the ring has it.
    pub(crate) fn regain(&mut self, server: &'static str) -> Result<()> {
        self.start_echo(server)?;
        self.sluice.wait_shares("echo", SOON, |shares| shares.contains_key(server)).map(drop)
    }

    /// SIGKILL to the echo server of a machine.
    pub(crate) fn kill_echo(&mut self, server: &str) -> Result<()> {
        self.echoes.remove(server).context("no such server")?.kill()
    }

    /// Starts the echo server of a machine.
    pub(crate) fn start_echo(&mut self, server: &'static str) -> Result<()> {
        self.echoes.insert(server, start_echo(&self.lab, server)?);
        Ok(())
    }
}

/// Frontend and backend `echo`, TCP and UDP.
pub(crate) fn config(lab: &Lab, forward: &'static str, servers: &[&str]) -> Result<String> {
    config_of(lab, Way::within(forward, Family::V4), servers, More::default())
}

/// As [`config`].
pub(crate) fn config_of(lab: &Lab, way: Way, servers: &[&str], more: More<'_>) -> Result<String> {
    let (vip, forward) = (SocketAddr::new(way.address(), PORT), way.forward);
    let source = if forward == "fullnat" { format!("source = [\"{}\"]", way.servers.pool()) } else { String::new() };
    Ok(format!(
        r#"{}
[frontend.echo]
mode = "l4"
bind = [{{ address = "{vip}" }}, {{ address = "{vip}", protocol = "udp" }}]
default_backend = "echo"
{}

[backend.echo]
balance = "maglev"
forward = "{forward}"
check = {}
{source}
{}
{}"#,
        more.global,
        more.frontend,
        more.check.unwrap_or(FAST_CHECK),
        more.backend,
        lab.servers_of(way.servers, "echo", servers, PORT)?
    ))
}

fn open_tunnels(lab: &Lab, servers: &[&'static str]) -> Result<BTreeMap<&'static str, TunnelEnd>> {
    servers.iter().map(|name| Ok((*name, TunnelEnd::open(lab, lab.machine(name)?, GUE_PORT)?))).collect()
}

fn start_echo(lab: &Lab, name: &str) -> Result<Echo> {
    Echo::start(lab.machine(name)?, PORT, lab.directory())
}
