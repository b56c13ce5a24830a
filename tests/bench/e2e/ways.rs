//! The ways to a server and back.

use crate::bars::Bar;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{CLIENT, DIRECT_VIP, Lab, NAT_VIP, POOL, PROXY_VIP},
    process::{self, Process},
    sluice::Sluice,
    tunnel::{GUE_PORT, TunnelEnd},
};
use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    time::Duration,
};

/// The servers that take part.
pub(super) const SERVERS: [&str; 2] = ["web1", "web2"];
/// Where they listen.
pub(super) const SERVER_PORT: u16 = 80;

/// A port of each way that has a VIP, so that no way is taken by mistake.
const SLUICE_PORT: u16 = 80;
const NFTABLES_PORT: u16 = 81;
const HAPROXY_PORT: u16 = 82;

/// One way.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) by: By,
    /// What the client connects to.
    pub(super) targets: Vec<SocketAddrV4>,
    pub(super) bars: Option<Bars>,
}

/// Who takes a request to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum By {
    /// Nobody: the client knows the servers.
    Nobody,
    /// Sluice, with this `forward`.
    Sluice(&'static str),
    /// The kernel's own address translation.
    Nftables,
    /// HAProxy in mode `tcp`, with one thread.
    Haproxy,
}

/// What a way may add to a request, as shares of what others add, and how slow it may become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bars {
    pub(super) of_nftables: Bar,
    pub(super) of_haproxy: Bar,
    /// The p99, as a share of that without a balancer.
    pub(super) p99: Bar,
}

/// Replies pass the balancer too.
const BOTH_WAYS: Bars = Bars { of_nftables: 0.65, of_haproxy: 0.25, p99: 1.5 };
/// Replies do not.
const ONE_WAY: Bars = Bars { of_nftables: 0.4, of_haproxy: 0.15, p99: 1.5 };
/// The same in a tunnel: a fifth more. What the server takes to open it is counted too, although it is not the balancer's.
const TUNNEL: Bars = Bars { of_nftables: 0.48, of_haproxy: 0.18, p99: 1.5 };

/// Every way, the one without a balancer first.
pub(super) fn all(lab: &Lab) -> Result<Vec<Way>> {
    let bare = SERVERS.iter().map(|name| Ok(SocketAddrV4::new(bare(lab, name)?, SERVER_PORT)));
    let way = |name, by, vip, port, bars| Way { name, by, targets: vec![SocketAddrV4::new(vip, port)], bars };
    Ok(vec![
        Way { name: "no balancer", by: By::Nobody, targets: bare.collect::<Result<_>>()?, bars: None },
        way("direct", By::Sluice("direct"), DIRECT_VIP, SLUICE_PORT, Some(ONE_WAY)),
        way("nat", By::Sluice("nat"), NAT_VIP, SLUICE_PORT, Some(BOTH_WAYS)),
        way("ipip", By::Sluice("ipip"), DIRECT_VIP, SLUICE_PORT, Some(TUNNEL)),
        way("gue", By::Sluice("gue"), DIRECT_VIP, SLUICE_PORT, Some(TUNNEL)),
        way("fullnat", By::Sluice("fullnat"), NAT_VIP, SLUICE_PORT, Some(BOTH_WAYS)),
        way("nftables", By::Nftables, NAT_VIP, NFTABLES_PORT, None),
        way("HAProxy", By::Haproxy, PROXY_VIP, HAPROXY_PORT, None),
    ])
}

/// The address under which the client reaches a server without a balancer: on the client's own network, because what comes
/// from the server's other address goes back through the balancer.
fn bare(lab: &Lab, server: &str) -> Result<Ipv4Addr> {
    let [a, b, c, _] = CLIENT.octets();
    let [.., last] = lab.machine(server)?.address.octets();
    Ok(Ipv4Addr::new(a, b, c, 100 + last))
}

/// Gives the servers their addresses without a balancer.
pub(super) fn pave(lab: &Lab) -> Result<()> {
    for name in SERVERS {
        let address = bare(lab, name)?;
        // As with the VIP of `direct`, the reply must not take the default route.
        let lines = [format!("addr add {address}/32 dev eth0"), format!("rule add from {address} lookup 20")];
        lab.machine(name)?.namespace.ip(lines)?;
    }
    Ok(())
}

/// A way that is open.
pub(super) enum Open<'a> {
    Nobody,
    Sluice { daemon: Sluice, forward: &'static str, lab: &'a Lab },
    Nftables(&'a Lab),
    Haproxy(Process),
}

impl Way {
    /// Makes this way work. No other may be open: each does something to every packet that passes the balancer.
    pub(super) fn open<'a>(&self, lab: &'a Lab) -> Result<Open<'a>> {
        Ok(match self.by {
            By::Nobody => Open::Nobody,
            By::Sluice(forward) => {
                if is_tunnel(forward) {
                    SERVERS.iter().try_for_each(|name| TunnelEnd::open(lab, lab.machine(name)?, GUE_PORT).map(drop))?;
                }
                Open::Sluice { daemon: Sluice::start(lab, &sluice(lab, forward, self.target()?)?)?, forward, lab }
            }
            By::Nftables => {
                nft(lab, &nftables(lab, self.target()?)?)?;
                Open::Nftables(lab)
            }
            By::Haproxy => Open::Haproxy(start_haproxy(lab, self.target()?)?),
        })
    }

    fn target(&self) -> Result<SocketAddrV4> {
        self.targets.first().copied().context("a way without a target")
    }
}

impl Open<'_> {
    /// Closes it, and makes sure that the requests took it.
    pub(super) fn close(self, requests: u64) -> Result<()> {
        match self {
            Self::Nobody => Ok(()),
            Self::Sluice { mut daemon, forward, lab } => {
                if is_tunnel(forward) {
                    let close = |name: &&str| lab.machine(name)?.namespace.ip(["link set dev eth0 xdpdrv off"]);
                    SERVERS.iter().try_for_each(close)?;
                }
                let both_ways = matches!(forward, "nat" | "fullnat");
                let vips = daemon.maps()?.vips;
                let (to, back) =
                    vips.iter().fold((0, 0), |(to, back), vip| (to + vip.packets, back + vip.return_packets));
                let log = daemon.log();
                ensure!(to >= requests, "only {to} packets for {requests} requests passed in the kernel:\n{log}");
                ensure!((back >= requests) == both_ways, "{back} replies to {requests} requests passed:\n{log}");
                daemon.stop()
            }
            Self::Nftables(lab) => nft(lab, "delete table ip bench\n"),
            Self::Haproxy(mut process) => process.kill(),
        }
    }
}

/// Whether servers must take packets out of a tunnel.
fn is_tunnel(forward: &str) -> bool {
    matches!(forward, "ipip" | "gue")
}

/// A configuration with one frontend in the kernel.
fn sluice(lab: &Lab, forward: &str, vip: SocketAddrV4) -> Result<String> {
    let source = if forward == "fullnat" { format!("source = [\"{POOL}\"]\n") } else { String::new() };
    Ok(format!(
        "[frontend.bench]\nmode = \"l4\"\nbind = [\"{vip}\"]\ndefault_backend = \"bench\"\n\
         [backend.bench]\nbalance = \"maglev\"\nforward = \"{forward}\"\ncheck = {{ type = \"tcp\" }}\n{source}{}",
        lab.servers("bench", &SERVERS, SERVER_PORT)?
    ))
}

/// Destination NAT by turns, and masquerade, so that servers answer to the balancer.
fn nftables(lab: &Lab, vip: SocketAddrV4) -> Result<String> {
    let servers = SERVERS.iter().enumerate().map(|(turn, name)| Ok(format!("{turn} : {}", lab.machine(name)?.address)));
    let servers = servers.collect::<Result<Vec<_>>>()?;
    let (turns, servers) = (servers.len(), servers.join(", "));
    let (address, port) = (vip.ip(), vip.port());
    Ok(format!(
        "table ip bench {{\n\
         chain prerouting {{\n type nat hook prerouting priority dstnat;\n \
         ip daddr {address} tcp dport {port} dnat to numgen inc mod {turns} map {{ {servers} }} : {SERVER_PORT}\n}}\n\
         chain postrouting {{\n type nat hook postrouting priority srcnat;\n tcp dport {SERVER_PORT} masquerade\n}}\n}}\n"
    ))
}

/// Runs a script of nftables on the balancer.
fn nft(lab: &Lab, script: &str) -> Result<()> {
    let path = lab.directory().join("rules.nft");
    fs::write(&path, script)?;
    process::run(lab.balancer.command("nft").arg("-f").arg(&path)).map(drop)
}

fn start_haproxy(lab: &Lab, vip: SocketAddrV4) -> Result<Process> {
    let mut text = format!(
        "global\n nbthread 1\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
         listen bench\n bind {vip}\n balance roundrobin\n"
    );
    for name in SERVERS {
        writeln!(text, " server {name} {}:{SERVER_PORT}", lab.machine(name)?.address)?;
    }
    let path = lab.directory().join("haproxy.cfg");
    fs::write(&path, text)?;
    let mut command = lab.balancer.command("haproxy");
    command.args(["-db", "-f"]).arg(&path);
    let mut process = Process::spawn("haproxy", &mut command, lab.directory())?;
    process.ready(Duration::from_secs(5), || lab.balancer.run(|| Ok(TcpStream::connect(vip).is_ok()))?)?;
    Ok(process)
}
