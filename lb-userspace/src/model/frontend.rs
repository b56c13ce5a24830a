//! Frontend: where clients connect.

use super::{
    BackendIndex, BindTls, Certificate, Condition, Endpoint, ErrorFiles, Ports, Quorum, Rules,
    log::Logging,
    rule::{Admission, Route, Rule},
};
use ipnet::IpNet;
use lb_common::Protocol;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Where clients connect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frontend {
    /// Unique among frontends.
    pub name: String,
    /// Addresses; not empty.
    pub binds: Vec<Bind>,
    /// `mode` and what belongs to it.
    pub kind: FrontendKind,
    /// Which connections are taken (`tcp`, `http`): HAProxy's `tcp-request connection`. Without one that holds: all.
    pub admission: Vec<Rule<Admission>>,
    /// What is logged (`tcp`, `http`). Default: nothing.
    pub log: Logging,
    /// Longest silence of a client (`tcp`, `http`). Default: 60 s.
    pub timeout_client: Duration,
    /// The same where its server has ended its half of a tunnel. Default: as before.
    pub timeout_client_fin: Option<Duration>,
    /// Longest time that its connections go on once a reload has removed it. Default: 1 h.
    pub drain_timeout: Duration,
    /// Most connections open at once (`tcp`, `http`); more wait in the kernel. Default: 0, any number.
    pub maxconn: u32,
    /// Answers in place of ours (`http`), until a backend was chosen.
    pub errors: ErrorFiles,
    /// How many servers of the default backend it needs. Default: one.
    pub quorum: Quorum,
}

impl Frontend {
    /// What it has as one of mode `l4`.
    pub fn l4(&self) -> Option<L4Frontend> {
        match self.kind {
            FrontendKind::L4(l4) => Some(l4),
            FrontendKind::Tcp(_) | FrontendKind::Http(_) => None,
        }
    }

    /// `mode`, as typed.
    pub fn mode(&self) -> &'static str {
        match self.kind {
            FrontendKind::L4(_) => "l4",
            FrontendKind::Tcp(_) => "tcp",
            FrontendKind::Http(_) => "http",
        }
    }

    /// Where it sends what no rule takes.
    pub fn default_backend(&self) -> Option<BackendIndex> {
        match &self.kind {
            FrontendKind::L4(l4) => Some(l4.backend),
            FrontendKind::Tcp(tcp) => tcp.default_backend,
            FrontendKind::Http(http) => http.default_backend,
        }
    }

    /// Whether the proxy serves it: with sockets, and not in the kernel half.
    pub const fn is_proxied(&self) -> bool {
        match self.kind {
            FrontendKind::L4(_) => false,
            FrontendKind::Tcp(_) | FrontendKind::Http(_) => true,
        }
    }

    /// Whether connections to `address` are for this frontend, and for the proxy.
    pub fn serves(&self, address: SocketAddr) -> bool {
        self.is_proxied() && self.binds.iter().any(|bind| bind.is_at(address))
    }
}

/// `mode` of a frontend and what only that mode has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FrontendKind {
    /// Packets are forwarded by the kernel half.
    L4(L4Frontend),
    /// Bytes are relayed.
    Tcp(TcpFrontend),
    /// Requests are routed.
    Http(HttpFrontend),
}

/// What only an `l4` frontend has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct L4Frontend {
    /// Whose ring serves the VIPs.
    pub backend: BackendIndex,
    /// What becomes of fragments. Default: track.
    pub fragments: Fragments,
    /// What becomes of echo requests to the VIP's address. Default: always answered.
    pub ping: Ping,
    /// What becomes of new traffic without a daemon. Default: it is forwarded.
    pub daemon_down: DaemonDown,
    /// Largest TCP segment that connections may agree on, in bytes; 0: as it is. Default: 0.
    pub mss: u16,
}

impl L4Frontend {
    /// With all defaults.
    pub fn of(backend: BackendIndex) -> Self {
        Self {
            backend,
            fragments: Fragments::default(),
            ping: Ping::default(),
            daemon_down: DaemonDown::default(),
            mss: 0,
        }
    }
}

/// What becomes of fragments to a VIP.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fragments {
    /// They are dropped.
    Drop,
    /// Later ones follow the first, which must arrive before them.
    #[default]
    Track,
    /// All packets of the VIP go by their addresses and protocol, so that fragments need no ports.
    Hash,
}

/// What becomes of echo requests (ping) to the address of a VIP.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ping {
    /// The kernel half answers them.
    #[default]
    Always,
    /// It answers while a frontend of the address has its quorum, and drops them otherwise.
    Up,
    /// They are left to the host.
    Host,
}

/// `daemon_down`: what becomes of new traffic while no daemon lives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DaemonDown {
    /// It goes where the last daemon left it.
    #[default]
    Forward,
    /// What opens a TCP connection is dropped.
    Withdraw,
}

/// How names of header fields are written in HTTP/1.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HeaderCase {
    /// In lower case, as HTTP/2 needs them.
    #[default]
    Lower,
    /// As they came.
    AsSent,
}

/// What only a `tcp` frontend has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TcpFrontend {
    /// Which connections are relayed, by their first bytes: HAProxy's `tcp-request content`. Without one that holds: all.
    pub content: Vec<Rule<Admission>>,
    /// Where they go, also by these.
    pub routes: Vec<Rule<Route>>,
    /// Where those go that no rule takes; without one they are closed.
    pub default_backend: Option<BackendIndex>,
    /// Longest wait for the first bytes, if rules ask for some. Default: 5 s.
    pub inspect_delay: Duration,
}

impl TcpFrontend {
    /// With all defaults.
    pub const fn of(backend: BackendIndex) -> Self {
        let default_backend = Some(backend);
        Self { content: Vec::new(), routes: Vec::new(), default_backend, inspect_delay: INSPECT_DELAY }
    }
}

/// How long the first bytes of a connection are waited for where nothing else is said.
pub const INSPECT_DELAY: Duration = Duration::from_secs(5);

/// What only an `http` frontend has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpFrontend {
    /// What becomes of requests and responses.
    pub rules: Rules,
    /// Where requests go, once the rules have let them.
    pub routes: Vec<Rule<Route>>,
    /// `monitor_uri`: a path that is answered here: 200, or 503 if the condition holds.
    pub monitor: Option<Monitor>,
    /// Where requests go that no rule takes; without one they get 503, as with HAProxy.
    pub default_backend: Option<BackendIndex>,
    /// Add the client's address to X-Forwarded-For. Default: true.
    pub forwarded_for: bool,
    /// How names of header fields are written in HTTP/1, towards clients and servers. Default: in lower case.
    pub header_case: HeaderCase,
    /// A client that has closed its sending half counts as gone, and what it asked for is given up. Default: true.
    pub abort_on_close: bool,
    /// Longest time from the first byte of a request to the end of its headers. Default: 10 s.
    pub timeout_request: Duration,
    /// Longest wait for the next request on a kept connection. Default: 60 s.
    pub timeout_keep_alive: Duration,
    /// How long a tarpit holds a client. Default: the `timeout_connect` of the default backend, else 5 s.
    pub timeout_tarpit: Option<Duration>,
}

/// A path that tells whoever asks whether the frontend is of use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Monitor {
    /// Path and query, whole.
    pub uri: String,
    /// `monitor_fail`: when the answer is 503.
    pub fail: Option<Condition>,
}

/// One address of a frontend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bind {
    /// Address and port. An unspecified address is for `tcp` and `http` only: `0.0.0.0` is every IPv4 address, `::` every
    /// IPv6 address and no IPv4 one (IPV6_V6ONLY), so that both can be bound side by side.
    pub address: SocketAddr,
    /// Its ports, of which `address` has the lowest, or 0 for all (`l4` only).
    pub ports: Ports,
    /// `udp` is for `l4` only.
    pub protocol: Protocol,
    /// Proxies before us whose connections begin with a header of the PROXY protocol, which says who the client is. Default:
    /// none.
    pub accept_proxy: Vec<IpNet>,
    /// Certificates; empty: clear text. The first is the default for clients that send no or an unknown name.
    pub certificates: Vec<Certificate>,
    /// What clients are offered beside the certificates.
    pub tls: BindTls,
}

impl Bind {
    /// Address and ports as typed: `192.0.2.10:80`, `192.0.2.10:5000-5009`, `[2001:db8::80]:*`.
    pub fn shown(&self) -> String {
        shown(self.address.ip(), self.ports)
    }

    /// Each port with the address; where it has all ports, port 0.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let (first, last) = match self.ports {
            Ports::One(port) => (port, port),
            Ports::Range(first, last) => (first, last),
            Ports::All => (0, 0),
        };
        let ip = self.address.ip();
        (first..=last).map(move |port| SocketAddr::new(ip, port))
    }

    /// Whether that is one of its [addresses](Self::addresses).
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.address.ip() == address.ip() && self.ports.contains(address.port())
    }

    /// The VIPs of an `l4` frontend that this is.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + use<> {
        let protocol = self.protocol;
        self.addresses().map(move |address| Endpoint::new(address.ip(), address.port(), protocol))
    }
}

/// An address with its ports; see [`Bind::shown`].
pub fn shown(address: IpAddr, ports: Ports) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{ports}"),
        IpAddr::V6(address) => format!("[{address}]:{ports}"),
    }
}
