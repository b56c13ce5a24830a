//! Snapshot: one configuration as the serving threads use it. Made off the hot path, then swapped in as a whole.

use super::{
    answer::Files,
    balance::{Flow, Order},
    cookie::Persistence,
    log::{Sinks, id::Ids, logger::Logger},
    tls::{Acceptor, TlsError, server::Connector},
};
use crate::{
    model::{
        Backend, BackendIndex, Bind, Condition, Failover, Frontend, FrontendKind, Keeping, Model, Ports, Proto, Retry,
        Reuse, Rule, Rules, SendProxy, Server, Sni, acl::Fetch, rule::Admission,
    },
    servers::{BackendLive, FrontendLive, Live},
};
use ipnet::IpNet;
use lb_common::hash::HashKey;
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// One configuration as the serving threads use it.
#[derive(Debug)]
pub struct Snapshot {
    model: Arc<Model>,
    live: Arc<Live>,
    /// Shared with the snapshots of other addresses of the same servers.
    frontends: Arc<[FrontendRoute]>,
    backends: Vec<BackendRoute>,
}

/// What a connection needs of its frontend.
#[derive(Debug)]
pub(super) struct FrontendRoute {
    pub(super) name: String,
    pub(super) kind: FrontendKind,
    /// Which connections are taken.
    admission: Vec<Rule<Admission>>,
    /// The first rule of these that asks for the client's TLS.
    asks_tls: usize,
    pub(super) timeout_client: Duration,
    pub(super) timeout_client_fin: Option<Duration>,
    pub(super) live: Arc<FrontendLive>,
    /// Its access log, if it has one.
    pub(super) logger: Option<Logger>,
    /// How its requests get ids, if they do.
    pub(super) ids: Option<Ids>,
    /// What is sent in place of answers of ours.
    pub(super) errors: Files,
    binds: Vec<BindRoute>,
}

/// One address of a frontend, with all its ports.
#[derive(Debug)]
struct BindRoute {
    ip: IpAddr,
    ports: Ports,
    accept_proxy: Vec<IpNet>,
    tls: Option<Acceptor>,
}

/// What a request needs of its backend.
#[derive(Debug)]
pub(super) struct BackendRoute {
    pub(super) name: String,
    /// Of its servers, in the order of `live`.
    pub(super) names: Vec<String>,
    pub(super) order: Order,
    /// What becomes of messages.
    pub(super) rules: Rules,
    pub(super) timeout_connect: Duration,
    pub(super) timeout_server: Duration,
    pub(super) timeout_tunnel: Option<Duration>,
    pub(super) timeout_server_fin: Option<Duration>,
    /// Longest wait for a place at a server.
    pub(super) timeout_queue: Duration,
    pub(super) retry: Retry,
    /// How each server is spoken to, if in TLS.
    pub(super) tls: Vec<Option<(Connector, Sni)>>,
    /// The cookie that binds a client to a server.
    pub(super) persistence: Option<Persistence>,
    pub(super) send_proxy: Option<SendProxy>,
    /// Servers speak HTTP/2.
    pub(super) http2: bool,
    /// Whether clients share connections to servers.
    pub(super) reuse: Reuse,
    /// What is kept of connections to each server.
    pub(super) keeping: Vec<Keeping>,
    /// How each server is spoken to, as a number: another one with other settings.
    pub(super) dialects: Vec<u64>,
    /// In the order of the servers of `live`.
    pub(super) destinations: Vec<Destination>,
    pub(super) live: Arc<BackendLive>,
    /// What is sent in place of answers of ours.
    pub(super) errors: Files,
    /// What becomes of connections and requests once it loses servers.
    pub(super) failover: Failover,
}

/// Where a server is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination {
    /// There.
    At(SocketAddr),
    /// At the port that the client connected to.
    AtPortOfClient(IpAddr),
}

impl Destination {
    fn of(server: &Server) -> Self {
        if server.keeps_port { Self::AtPortOfClient(server.address.ip()) } else { Self::At(server.address) }
    }

    /// Where it is reached for that client.
    pub(super) fn reached(self, flow: &Flow) -> SocketAddr {
        match self {
            Self::At(address) => address,
            Self::AtPortOfClient(ip) => SocketAddr::new(ip, flow.local.port()),
        }
    }

    /// The port, if that client has chosen it; else 0.
    pub(super) fn port_of(self, flow: &Flow) -> u16 {
        match self {
            Self::At(_) => 0,
            Self::AtPortOfClient(_) => flow.local.port(),
        }
    }
}

/// Why a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A certificate that cannot be used.
    #[error("certificate {}: {source}", path.display())]
    Certificate {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: TlsError,
    },
    /// The cryptography refuses these settings.
    #[error("TLS of frontend {frontend}: {source}")]
    Tls {
        /// The frontend.
        frontend: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The same, of a server.
    #[error("TLS to server {backend}/{server}: {source}")]
    ServerTls {
        /// The backend.
        backend: String,
        /// The server.
        server: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The live state was made for another model.
    #[error("{name} has no live state")]
    NotLive {
        /// A frontend or backend.
        name: String,
    },
}

impl Snapshot {
    /// From a model and the live state made for it ([`Live::for_model`]). Reads the certificates.
    pub fn new(model: Arc<Model>, live: Arc<Live>) -> Result<Self, SnapshotError> {
        Self::with_logs(model, live, &Sinks::default())
    }

    /// The same, with access logs.
    pub(crate) fn with_logs(model: Arc<Model>, live: Arc<Live>, sinks: &Sinks) -> Result<Self, SnapshotError> {
        let served = model.frontends.iter().filter(|frontend| frontend.is_proxied());
        let frontends = served.map(|frontend| FrontendRoute::new(frontend, &live, sinks)).collect::<Result<_, _>>()?;
        let backend = |backend: &Backend| {
            let connectors = backend.servers.iter().map(|server| BackendRoute::connector(backend, server));
            BackendRoute::new(backend, connectors.collect::<Result<_, _>>()?, &live, model.global.hash_key)
        };
        let backends = model.backends.iter().map(backend).collect::<Result<_, _>>()?;
        Ok(Self { model, live, frontends, backends })
    }

    /// The same with servers at other addresses, which is all that `model` differs in: what is costly to make is shared.
    pub(crate) fn readdressed(&self, model: Arc<Model>, live: Arc<Live>) -> Result<Self, SnapshotError> {
        let backend = |(backend, known): (&Backend, &BackendRoute)| {
            BackendRoute::new(backend, known.tls.clone(), &live, model.global.hash_key)
        };
        let backends = model.backends.iter().zip(&self.backends).map(backend).collect::<Result<_, _>>()?;
        Ok(Self { model, live, frontends: Arc::clone(&self.frontends), backends })
    }

    /// What it was made from.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What it counts in.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Whether connections of such a listener have somewhere to go.
    pub(super) fn serves(&self, frontend: &str, address: SocketAddr) -> bool {
        let frontend = self.place_of(frontend).and_then(|place| self.frontend(place));
        frontend.is_some_and(|frontend| frontend.bind(address).is_some())
    }

    pub(super) fn place_of(&self, frontend: &str) -> Option<usize> {
        self.frontends.iter().position(|route| route.name == frontend)
    }

    /// Of the frontend that has that address.
    pub(super) fn place_at(&self, address: SocketAddr) -> Option<usize> {
        self.frontends.iter().position(|route| route.bind(address).is_some())
    }

    pub(super) fn frontend(&self, place: usize) -> Option<&FrontendRoute> {
        self.frontends.get(place)
    }

    pub(super) fn backend(&self, index: BackendIndex) -> Option<&BackendRoute> {
        self.backends.get(index)
    }

    /// The backend that takes what is meant for that one: itself, or while it has no server that could, its fallback.
    pub(super) fn taker(&self, mut index: BackendIndex) -> Option<(BackendIndex, &BackendRoute)> {
        loop {
            let backend = self.backend(index)?;
            match backend.failover.fallback {
                Some(next) if backend.live.available.load().servers().is_empty() => index = next,
                Some(_) | None => return Some((index, backend)),
            }
        }
    }
}

impl FrontendRoute {
    fn new(frontend: &Frontend, live: &Live, sinks: &Sinks) -> Result<Self, SnapshotError> {
        let not_live = || SnapshotError::NotLive { name: frontend.name.clone() };
        let bind = |bind: &Bind| {
            let (accept_proxy, tls) = (bind.accept_proxy.clone(), Self::acceptor(frontend, bind)?);
            Ok(BindRoute { ip: bind.address.ip(), ports: bind.ports, accept_proxy, tls })
        };
        Ok(Self {
            name: frontend.name.clone(),
            kind: frontend.kind.clone(),
            admission: frontend.admission.clone(),
            asks_tls: frontend.admission.iter().take_while(|rule| !rule.condition.iter().any(asks_tls)).count(),
            timeout_client: frontend.timeout_client,
            timeout_client_fin: frontend.timeout_client_fin,
            logger: Logger::new(&frontend.log, sinks),
            ids: frontend.log.unique_id.as_ref().map(Ids::new),
            errors: Files::new(&frontend.errors),
            live: Arc::clone(live.frontend(&frontend.name).ok_or_else(not_live)?),
            binds: frontend.binds.iter().map(bind).collect::<Result<_, _>>()?,
        })
    }

    /// Which connections are taken: the rules that can say so before the handshake, if there is one, and the others.
    pub(super) fn admission(&self, encrypted: bool) -> (&[Rule<Admission>], &[Rule<Admission>]) {
        let early = if encrypted { self.asks_tls } else { self.admission.len() };
        self.admission.split_at_checked(early).unwrap_or_default()
    }

    fn acceptor(frontend: &Frontend, bind: &Bind) -> Result<Option<Acceptor>, SnapshotError> {
        if bind.certificates.is_empty() {
            return Ok(None);
        }
        let is_http = matches!(frontend.kind, FrontendKind::Http(_));
        Acceptor::new(&bind.certificates, &bind.tls, is_http).map(Some).map_err(|(path, source)| match path {
            Some(path) => SnapshotError::Certificate { path, source },
            None => SnapshotError::Tls { frontend: frontend.name.clone(), source },
        })
    }

    /// How to decrypt what comes to that address; `None`: it is clear text.
    pub(super) fn tls(&self, address: SocketAddr) -> Option<&Acceptor> {
        self.bind(address).and_then(|bind| bind.tls.as_ref())
    }

    /// Whether a connection that comes to `address` from `peer` begins with a header of the PROXY protocol.
    pub(super) fn accepts_proxy(&self, address: SocketAddr, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.bind(address).is_some_and(|bind| bind.accept_proxy.iter().any(|network| network.contains(&peer)))
    }

    fn bind(&self, address: SocketAddr) -> Option<&BindRoute> {
        self.binds.iter().find(|bind| bind.ip == address.ip() && bind.ports.contains(address.port()))
    }
}

/// How a server is spoken to, as a number.
fn dialect(backend: &Backend, server: &Server) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&server.tls, backend.proto, backend.send_proxy).hash(&mut hasher);
    hasher.finish()
}

/// Whether a condition asks for the client's TLS.
fn asks_tls(condition: &Condition) -> bool {
    condition.expressions().any(|expression| matches!(expression.fetch, Fetch::Tls(_)))
}

impl BackendRoute {
    /// `tls`: how each server is spoken to.
    fn new(
        backend: &Backend,
        tls: Vec<Option<(Connector, Sni)>>,
        live: &Live,
        key: HashKey,
    ) -> Result<Self, SnapshotError> {
        let not_live = || SnapshotError::NotLive { name: backend.name.clone() };
        Ok(Self {
            name: backend.name.clone(),
            names: backend.servers.iter().map(|server| server.name.clone()).collect(),
            order: Order::new(backend, key),
            rules: backend.rules.clone(),
            timeout_connect: backend.timeout_connect,
            timeout_server: backend.timeout_server,
            timeout_tunnel: backend.timeout_tunnel,
            timeout_server_fin: backend.timeout_server_fin,
            timeout_queue: backend.pressure.timeout_queue.unwrap_or(backend.timeout_connect),
            retry: backend.pressure.retry.clone(),
            tls,
            persistence: Persistence::new(backend),
            send_proxy: backend.send_proxy,
            http2: backend.proto == Proto::Http2,
            // A server is told once a connection who the client is.
            reuse: if backend.send_proxy.is_some() { Reuse::Never } else { backend.reuse },
            keeping: backend.servers.iter().map(|server| server.keeping).collect(),
            dialects: backend.servers.iter().map(|server| dialect(backend, server)).collect(),
            destinations: backend.servers.iter().map(Destination::of).collect(),
            live: Arc::clone(live.backend(&backend.name).ok_or_else(not_live)?),
            errors: Files::new(&backend.errors),
            failover: backend.failover,
        })
    }

    fn connector(backend: &Backend, server: &Server) -> Result<Option<(Connector, Sni)>, SnapshotError> {
        let Some(tls) = &server.tls else { return Ok(None) };
        let connector = Connector::new(tls).map_err(|(path, source)| match path {
            Some(path) => SnapshotError::Certificate { path, source },
            None => SnapshotError::ServerTls { backend: backend.name.clone(), server: server.name.clone(), source },
        })?;
        Ok(Some((connector, tls.sni.clone())))
    }
}
