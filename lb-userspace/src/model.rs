//! CONTROL PATH 2: the configuration as the rest of the program sees it. Immutable, and valid by construction: only
//! `config::validate` makes one, so nobody after it checks again.

pub mod global;
pub mod descriptors;
pub mod frontend;
pub mod ports;
pub mod acl;
pub mod rule;
pub mod userlist;
pub mod error_file;
pub mod failover;
pub mod backend;
pub mod balance;
pub mod cookie;
pub mod pressure;
pub mod quorum;
pub mod reuse;
pub mod server;
pub mod host;
pub mod resolvers;
pub mod replies;
pub mod addressing;
pub mod tls;
pub mod endpoint;
pub mod check;
pub mod agent;
pub mod secret;
pub mod log;
pub mod stats_page;
pub mod stats_socket;

pub use acl::{Acl, Condition, List, Term};
pub use addressing::Addressing;
pub use agent::Agent;
pub use backend::{Affinity, Backend, Proto, SendProxy, Track};
pub use balance::Balance;
pub use check::{Check, CheckKind, ExecCheck};
pub use cookie::Cookie;
pub use endpoint::Endpoint;
pub use error_file::{ErrorFile, ErrorFiles};
pub use failover::{DownFlows, Failover, OnEmpty};
pub use frontend::{
    Bind, DaemonDown, Fragments, Frontend, FrontendKind, HeaderCase, HttpFrontend, L4Frontend, Ping, TcpFrontend,
};
pub use global::{Global, MetricNames, OnStop};
pub use host::{Family, Host, host_name};
pub use ports::Ports;
pub use pressure::{Limits, Pressure, Retry, RetryOn};
pub use quorum::{Quorum, QuorumDown};
pub use resolvers::Resolvers;
pub use reuse::{Keeping, Reuse};
pub use rule::{Rule, Rules};
pub use secret::Secret;
pub use server::{Server, ServerName};
pub use stats_page::StatsPage;
pub use stats_socket::{Level, StatsSocket};
pub use tls::{
    Algorithms, BindTls, CIPHERS, CIPHERSUITES, CURVES, Certificate, Cipher, CipherSuite, Clients, Curve, Pem,
    ServerTls, SharedServerTls, Sni, TlsVersion,
};

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Which backend: an index into [`Model::backends`].
pub type BackendIndex = usize;

/// What is asked of a VIP of the kernel half.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KernelVip {
    /// Its frontend.
    pub frontend: L4Frontend,
    /// Index of that in [`Model::frontends`].
    pub index: usize,
    /// All ports of its bind.
    pub ports: Ports,
    /// The VIP of the lowest of them, as whose its packets are counted.
    pub counted_as: Endpoint,
}

/// One configuration. Frontends and backends are sorted by name, so that equal files give equal models.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Model {
    /// What concerns the process, not the traffic.
    pub global: Global,
    /// Who is asked for the addresses of servers that are known by a name.
    pub resolvers: Resolvers,
    /// Where clients connect.
    pub frontends: Vec<Frontend>,
    /// Where requests and packets go.
    pub backends: Vec<Backend>,
    /// The files that ACLs and maps look things up in, by name.
    pub lists: Vec<List>,
}

impl Model {
    /// The [identities](Server::identity) of all servers.
    pub fn identities(&self) -> impl Iterator<Item = u64> {
        self.backends.iter().flat_map(|backend| backend.servers.iter().map(|server| server.identity(&backend.name)))
    }

    /// The [identity](Server::identity) of the server of these names.
    pub fn identity(&self, name: &ServerName) -> Option<u64> {
        let servers = &self.backend(&name.backend)?.servers;
        Some(servers.iter().find(|server| server.name == name.server)?.identity(&name.backend))
    }

    /// A backend, then the one that takes its traffic while it has no server for it, and so on.
    pub fn with_fallbacks(&self, first: BackendIndex) -> impl Iterator<Item = (BackendIndex, &Backend)> {
        let entry = |index: BackendIndex| Some((index, self.backends.get(index)?));
        let chain = iter::successors(entry(first), move |(_, backend)| entry(backend.failover.fallback?));
        chain.take(self.backends.len())
    }

    /// The backends that kernel frontends use, or fall back to: each owns a ring.
    pub fn kernel_backends(&self) -> impl Iterator<Item = &Backend> {
        let named = self.frontends.iter().filter_map(|of| Some(of.l4()?.backend));
        let used: BTreeSet<BackendIndex> =
            named.flat_map(|backend| self.with_fallbacks(backend).map(|(index, _)| index)).collect();
        used.into_iter().filter_map(|index| self.backends.get(index))
    }

    /// The VIPs of kernel frontends, and what is asked of each. A range of ports is as many VIPs.
    pub fn vips(&self) -> BTreeMap<Endpoint, KernelVip> {
        let binds =
            self.frontends.iter().enumerate().filter_map(|(index, frontend)| Some((index, frontend, frontend.l4()?)));
        let binds = binds.flat_map(|(index, of, l4)| of.binds.iter().map(move |bind| (bind, l4, index)));
        let vips = binds.flat_map(|(bind, frontend, index)| {
            let counted_as = Endpoint::new(bind.address.ip(), bind.ports.lowest().unwrap_or(0), bind.protocol);
            bind.endpoints().map(move |vip| (vip, KernelVip { frontend, index, ports: bind.ports, counted_as }))
        });
        vips.collect()
    }

    /// The frontend of the proxy that is served at that address.
    pub fn frontend_at(&self, address: SocketAddr) -> Option<&Frontend> {
        self.frontends.iter().find(|frontend| frontend.serves(address))
    }

    /// The frontend of the proxy that gets connections to that address of this host: the one that is served there, or on all
    /// addresses of that family.
    pub fn frontend_for(&self, address: SocketAddr) -> Option<&Frontend> {
        let all = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        self.frontend_at(address).or_else(|| self.frontend_at(SocketAddr::new(all, address.port())))
    }

    /// Whether the proxy is served anywhere at that address of this host.
    pub fn is_served_at(&self, address: IpAddr) -> bool {
        let is_there = |ip: IpAddr| ip == address || (ip.is_unspecified() && ip.is_ipv4() == address.is_ipv4());
        let proxied = self.frontends.iter().filter(|frontend| frontend.is_proxied());
        proxied.flat_map(|frontend| &frontend.binds).any(|bind| is_there(bind.address.ip()))
    }

    /// Whether anything here needs the kernel half.
    pub fn needs_kernel(&self) -> bool {
        self.kernel_backends().next().is_some()
    }

    /// The programs that check servers.
    pub fn exec_checks(&self) -> impl Iterator<Item = &ExecCheck> {
        let kinds = self.backends.iter().filter_map(|backend| Some(&backend.check.as_ref()?.kind));
        kinds.filter_map(|kind| if let CheckKind::Exec(check) = kind { Some(check) } else { None })
    }

    /// The backend of that name.
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }
}
