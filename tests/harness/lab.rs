//! The lab: seven machines and a switch, on one computer, without a network card.
//!
//! ```text
//!  client              balancer                             web1   web2   web3   backup
//!  198.51.100.10       198.51.100.1, 10.1.1.1               10.1.1.11 .12 .13   .100
//!  2001:db8:100::10    2001:db8:100::1, 2001:db8:1::1       2001:db8:1::11 ::12 ::13 ::100
//!     │                   │ lb0                              │      │      │      │
//!  ═══╧═══════════════════╧═══════════ switch ═══════════════╧══════╧══════╧══════╧═══
//! ```
//!
//! The client reaches the VIPs through the balancer. Servers answer from their own address through the balancer
//! (`nat`) and from [`DIRECT_VIP`] straight to the client (`direct`), by a policy route, so one lab serves both.

mod addresses;
mod wiring;
mod far;
mod second;

pub use addresses::{
    BACKUP, CLIENT, CLIENT6, DIRECT_VIP, DIRECT_VIP6, FAR, FAR6, Family, GATEWAY, GATEWAY6, NAT_VIP, NAT_VIP6, POOL,
    POOL6, PROXY_VIP, PROXY_VIP6, SERVER_GATEWAY, SERVER_GATEWAY6,
};
pub use far::Far;
pub use second::Balancer;

use crate::{
    netns::Namespace,
    process,
    reaper::{self, Reaper},
    tools,
    turn::Turn,
};
use addresses::SERVERS;
use anyhow::{Context, Result, ensure};
use rustix::{
    fs::statfs,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// The balancer's device.
pub const DEVICE: &str = "lb0";

/// Where `demo --keep` leaves a lab, and where `demo --clean` looks for it.
pub const KEPT: &str = "sluice-demo";

/// The BPF file system.
const PINS: &str = "/sys/fs/bpf";

/// One server.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `web1` and so on.
    pub name: &'static str,
    /// Its own address, to which `nat` sends.
    pub address: Ipv4Addr,
    /// The same for IPv6.
    pub address6: Ipv6Addr,
    /// Where its programs run.
    pub namespace: Namespace,
}

impl Machine {
    /// Its own address of a family.
    pub const fn own(&self, family: Family) -> IpAddr {
        family.choose(self.address, self.address6)
    }
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
    /// Last, because whose turn is next finds nothing of this lab.
    _turn: Turn,
}

impl Lab {
    /// Lays out a lab, and has the [turn](crate::turn) alone for as long as it stands.
    pub fn new() -> Result<Self> {
        Self::of_this_process(Turn::alone())
    }

    /// Lays out one that may stand beside others: for what measures no time.
    pub fn beside_others() -> Result<Self> {
        Self::of_this_process(Turn::beside_others())
    }

    fn of_this_process(turn: Turn) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        reaper::remove_abandoned()?;
        Self::named(&format!("sluice-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed)), turn)
    }

    /// Lays out the lab that is easy to find again: [`KEPT`].
    pub fn to_keep() -> Result<Self> {
        reaper::remove(KEPT)?;
        Self::named(KEPT, Turn::alone())
    }

    fn named(name: &str, turn: Turn) -> Result<Self> {
        raise_descriptor_limit()?;
        mount_bpf()?;
        // From here on everything is removed whatever happens: the reaper is the first to come.
        let (reaper, directory) = Reaper::start(name)?;
        let roles = ["client", "balancer", "switch"].into_iter().chain(SERVERS.map(|(role, ..)| role));
        let mut namespaces = Namespace::create(roles.map(|role| format!("{name}-{role}")))?.into_iter();
        let mut next = || namespaces.next().context("a namespace for each role");
        let lab = Self {
            client: next()?,
            balancer: next()?,
            switch: next()?,
            machines: SERVERS
                .iter()
                .map(|&(name, address, address6)| Ok(Machine { name, address, address6, namespace: next()? }))
                .collect::<Result<_>>()?,
            name: name.to_owned(),
            directory,
            reaper,
            _turn: turn,
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
        Path::new(PINS).join(&self.name)
    }

    /// The server of that name.
    pub fn machine(&self, name: &str) -> Result<&Machine> {
        self.machines.iter().find(|machine| machine.name == name).with_context(|| format!("no machine `{name}`"))
    }

    /// The `server` tables of a backend, all on one port: `lab.servers("shop", &["web1", "backup"], 80)`.
    pub fn servers(&self, backend: &str, names: &[&str], port: u16) -> Result<String> {
        self.servers_of(Family::V4, backend, names, port)
    }

    /// As [`servers`](Self::servers), by their addresses of a family.
    pub fn servers_of(&self, family: Family, backend: &str, names: &[&str], port: u16) -> Result<String> {
        let mut toml = String::new();
        for name in names {
            let address = SocketAddr::new(self.machine(name)?.own(family), port);
            let backup = if *name == BACKUP { "backup = true\n" } else { "" };
            write!(toml, "[[backend.{backend}.server]]\nname = \"{name}\"\naddress = \"{address}\"\n{backup}")?;
        }
        Ok(toml)
    }

    /// Leaves the lab standing after this program.
    pub fn keep(self) -> Result<()> {
        self.reaper.keep()
    }
}

/// Thousands of connections at once need more than the usual 1,024 descriptors; what is started later inherits this.
fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("raising the limit of descriptors")
}

/// Mounts the BPF file system, where the pins are, unless the system has done so.
fn mount_bpf() -> Result<()> {
    /// `BPF_FS_MAGIC` of linux/magic.h.
    const BPF: i64 = 0xcafe_4a11;
    if statfs(PINS).with_context(|| PINS.to_owned())?.f_type == BPF {
        return Ok(());
    }
    process::run(Command::new("mount").args(["-t", "bpf", "bpf", PINS])).map(drop)
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
    ensure!(Path::new(PINS).exists(), "no {PINS}: this kernel has no BPF file system");
    // Root in a container may do neither.
    process::run(Command::new("unshare").args(["--net", "true"])).context("network namespaces are not allowed")?;
    tools::can_load().context("XDP programs are not allowed")
}
