//! The lab: seven machines and a switch, on one computer, without a network card.
//!
//! ```text
//!  client            balancer                 web1   web2   web3   backup
//!  198.51.100.10     198.51.100.1, 10.1.1.1   10.1.1.11 .12 .13   .100
//!     │                 │ lb0                  │      │      │      │
//!  ═══╧═════════════════╧══════ switch ════════╧══════╧══════╧══════╧═══
//! ```
//!
//! The client reaches the VIPs through the balancer. Servers answer from their own address through the balancer
//! (`nat`) and from [`DIRECT_VIP`] straight to the client (`direct`), by a policy route, so one lab serves both.

use crate::{
    netns::Namespace,
    process,
    reaper::{self, Reaper},
    tools, wait,
};
use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fmt::Write,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// The client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// The balancer, as the client's router.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// A VIP for `forward = "nat"`; the balancer's own address too, as keepalived would give it.
pub const NAT_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// A VIP for `forward = "direct"`: on the balancer, and silently on the loopback of every server.
pub const DIRECT_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
/// An address for frontends that the proxy serves.
pub const PROXY_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);
/// The balancer's device.
pub const DEVICE: &str = "lb0";

const SERVERS: [(&str, Ipv4Addr); 4] = [
    ("web1", Ipv4Addr::new(10, 1, 1, 11)),
    ("web2", Ipv4Addr::new(10, 1, 1, 12)),
    ("web3", Ipv4Addr::new(10, 1, 1, 13)),
    (BACKUP, Ipv4Addr::new(10, 1, 1, 100)),
];
/// The server that [`Lab::servers`] marks as backup.
pub const BACKUP: &str = "backup";

/// Longest wait for an Ethernet address.
const MEETING: Duration = Duration::from_secs(2);

/// Where `demo --keep` leaves a lab, and where `demo --clean` looks for it.
pub const KEPT: &str = "sluice-demo";

/// One server.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `web1` and so on.
    pub name: &'static str,
    /// Its own address, to which `nat` sends.
    pub address: Ipv4Addr,
    /// Where its programs run.
    pub namespace: Namespace,
}

/// The network. Dropping it removes all of it; so does any end of this program.
#[derive(Debug)]
pub struct Lab {
    /// Where clients run.
    pub client: Namespace,
    /// Where the balancer runs.
    pub balancer: Namespace,
    /// The wire, with one port a machine, named as the machine.
    pub switch: Namespace,
    /// web1, web2, web3, backup.
    pub machines: Vec<Machine>,
    name: String,
    directory: PathBuf,
    reaper: Reaper,
}

impl Lab {
    /// Lays out a lab of this process's own. Several may live side by side.
    pub fn new() -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        reaper::remove_abandoned()?;
        Self::named(&format!("sluice-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed)))
    }

    /// Lays out the lab that is easy to find again: [`KEPT`].
    pub fn to_keep() -> Result<Self> {
        reaper::remove(KEPT)?;
        Self::named(KEPT)
    }

    fn named(name: &str) -> Result<Self> {
        raise_descriptor_limit()?;
        // From here on everything is removed whatever happens: the reaper is the first to come.
        let (reaper, directory) = Reaper::start(name)?;
        let namespace = |role: &str| Namespace::create(&format!("{name}-{role}"));
        let machine = |&(role, address): &(&'static str, Ipv4Addr)| -> Result<Machine> {
            Ok(Machine { name: role, address, namespace: namespace(role)? })
        };
        let lab = Self {
            client: namespace("client")?,
            balancer: namespace("balancer")?,
            switch: namespace("switch")?,
            machines: SERVERS.iter().map(machine).collect::<Result<_>>()?,
            name: name.to_owned(),
            directory,
            reaper,
        };
        lab.connect()?;
        Ok(lab)
    }

    /// The name that everything of this lab starts with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the files of this lab are. Goes with the lab.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A directory for the daemon's pins. Goes with the lab.
    pub fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(&self.name)
    }

    /// The server of that name.
    pub fn machine(&self, name: &str) -> Result<&Machine> {
        self.machines.iter().find(|machine| machine.name == name).with_context(|| format!("no machine `{name}`"))
    }

    /// The `server` tables of a backend, all on one port: `lab.servers("shop", &["web1", "backup"], 80)`.
    pub fn servers(&self, backend: &str, names: &[&str], port: u16) -> Result<String> {
        let mut toml = String::new();
        for name in names {
            let Machine { name, address, .. } = self.machine(name)?;
            let backup = if *name == BACKUP { "backup = true\n" } else { "" };
            write!(toml, "[[backend.{backend}.server]]\nname = \"{name}\"\naddress = \"{address}:{port}\"\n{backup}")?;
        }
        Ok(toml)
    }

    /// Leaves the lab standing after this program.
    pub fn keep(self) -> Result<()> {
        self.reaper.keep()
    }

    fn connect(&self) -> Result<()> {
        let switch = &self.switch;
        switch
            .ip(["link add switch type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set switch up"])?;
        self.plug(
            &self.client,
            "client",
            "eth0",
            &[&format!("addr add {CLIENT}/24 dev eth0"), "route add default via 198.51.100.1"],
        )?;
        self.client.sysctl("net.ipv4.ip_local_port_range", "1024 65535")?;

        self.balancer.sysctl("net.ipv4.ip_forward", "1")?;
        self.balancer.sysctl("net.ipv4.conf.all.send_redirects", "0")?;
        self.balancer.sysctl("net.ipv4.conf.default.send_redirects", "0")?;
        let mut addresses = vec![format!("addr add {GATEWAY}/24 dev lb0"), "addr add 10.1.1.1/24 dev lb0".to_owned()];
        addresses.extend([NAT_VIP, DIRECT_VIP, PROXY_VIP].map(|vip| format!("addr add {vip}/32 dev lb0")));
        self.plug(&self.balancer, "balancer", DEVICE, &addresses)?;
        tools::attach(tools::Program::Pass, switch, "balancer", &self.name)?;

        self.machines.iter().try_for_each(|machine| self.plug_server(machine))?;
        self.introduce()
    }

    /// Lets client and balancer learn each other's Ethernet address, as a balancer and its router long have: replies to a
    /// client whose address the balancer's kernel does not know are dropped and counted as `no_next_hop`.
    fn introduce(&self) -> Result<()> {
        const NOBODY_LISTENS: u16 = 9;
        let datagram = || UdpSocket::bind((CLIENT, 0))?.send_to(b"hello", (GATEWAY, NOBODY_LISTENS));
        self.client.run(datagram)?.context("the client's first word")?;
        let known = || process::run(self.balancer.command("ip").args(["neigh", "show", &CLIENT.to_string()]));
        wait::until("client and balancer to meet", MEETING, || Ok(known()?.contains("lladdr").then_some(())))
    }

    fn plug_server(&self, Machine { name, address, namespace }: &Machine) -> Result<()> {
        // The VIP must not be announced: the switch would take this server for the balancer.
        namespace.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
        namespace.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
        namespace.sysctl("net.core.somaxconn", "16384")?;
        namespace.sysctl("net.ipv4.tcp_max_syn_backlog", "16384")?;
        self.plug(
            namespace,
            name,
            "eth0",
            &[
                format!("addr add {address}/24 dev eth0"),
                "route add default via 10.1.1.1".to_owned(),
                format!("addr add {DIRECT_VIP}/32 dev lo"),
                format!("rule add from {DIRECT_VIP} lookup 20"),
                "route add 198.51.100.0/24 dev eth0 table 20".to_owned(),
            ],
        )
    }

    /// A cable between a machine and the switch.
    fn plug(&self, machine: &Namespace, port: &str, device: &str, then: &[impl AsRef<str>]) -> Result<()> {
        machine.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
        machine.sysctl("net.ipv4.conf.default.rp_filter", "0")?;
        self.switch.ip([
            format!("link add {port} mtu 1500 type veth peer name {device} mtu 1500 netns {}", machine.name()),
            format!("link set {port} master switch up"),
        ])?;
        self.switch.disable_offloads(port)?;
        machine.disable_offloads(device)?;
        machine.ip([format!("link set {device} up").as_str()].into_iter().chain(then.iter().map(AsRef::as_ref)))
    }
}

/// Thousands of connections at once need more than the usual 1,024 descriptors; what is started later inherits this.
fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("raising the limit of descriptors")
}

/// What a lab needs of this computer; the error names everything that is missing.
pub fn preflight() -> Result<()> {
    const PROGRAMS: [(&str, &str); 5] = [
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
        ("ethtool", "ethtool"),
        ("nginx", "nginx-light"),
        ("curl", "curl"),
    ];
    ensure!(rustix::process::geteuid().is_root(), "network namespaces and XDP need root");
    let found = |program: &str| process::run(Command::new("sh").args(["-c", &format!("command -v {program}")])).is_ok();
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !found(program)).map(|&(_, package)| package).collect();
    ensure!(missing.is_empty(), "missing: apt-get install {}", missing.join(" "));
    ensure!(Path::new("/sys/fs/bpf").exists(), "no BPF file system: mount -t bpf bpf /sys/fs/bpf");
    // Root in a container may do neither.
    process::run(Command::new("unshare").args(["--net", "true"])).context("network namespaces are not allowed")?;
    tools::can_load().context("XDP programs are not allowed")
}
