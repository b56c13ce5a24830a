//! One probe: what it is aimed at, and how it goes.

use super::{
    Code, Finding,
    finding::Step,
    grpc, http, redis,
    wire::{self, Wire},
};
use crate::{
    l7::tls::server::Connector,
    model::{Backend, Check, CheckKind, SendProxy, Server, SharedServerTls, Sni},
};
use std::net::SocketAddr;
use tokio::time::Instant;

/// What a probe is aimed at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) check: Check,
    /// TLS to the server.
    pub(super) tls: SharedServerTls,
    /// The server expects a header of the PROXY protocol.
    pub(super) send_proxy: Option<SendProxy>,
}

impl Target {
    /// A server of `backend`, which `check` is of.
    pub(super) fn new(server: &Server, check: &Check, backend: &Backend) -> Self {
        let reach = &check.reach;
        let address = SocketAddr::new(
            reach.address.unwrap_or_else(|| server.address.ip()),
            reach.port.unwrap_or_else(|| server.address.port()),
        );
        let as_traffic = reach.is_as_traffic();
        let (tls, send_proxy) = (server.tls.clone(), backend.send_proxy);
        let tls = reach.tls.clone().or_else(|| tls.filter(|_| as_traffic));
        let (kind, tls) = http::spoken(&check.kind, as_traffic.then_some(backend.proto), tls);
        Self {
            address,
            check: Check { kind, ..check.clone() },
            tls,
            send_proxy: reach.send_proxy.or_else(|| send_proxy.filter(|_| as_traffic)),
        }
    }
}

/// How probes of a target are made.
#[derive(Debug)]
pub(super) struct Prober {
    pub(super) target: Target,
    /// If in TLS.
    pub(super) connector: Option<Connector>,
}

impl Prober {
    /// One probe, at most as long as the check's timeout, and the connection if it is still to be ended.
    pub(super) async fn probe(&self) -> (Finding, Option<Wire>) {
        let Target { address, check, send_proxy, .. } = &self.target;
        let deadline = Instant::now() + check.timeout;
        let stream = match wire::connect(*address, *send_proxy, deadline).await {
            Ok(stream) => stream,
            Err(found) => return (found, None),
        };
        if matches!(check.kind, CheckKind::Tcp) {
            wire::reset(&stream);
            if self.connector.is_none() {
                return (Finding::new(Code::L4Ok, ""), None);
            }
        }
        let mut wire = Wire::new(stream, *address, deadline);
        let found = self.ask(&mut wire).await.unwrap_or_else(|found| found);
        (found, Some(wire))
    }

    /// What the server says to what is asked.
    async fn ask(&self, wire: &mut Wire) -> Step<Finding> {
        if let Some(connector) = &self.connector {
            wire.start_tls(connector, self.name()).await?;
        }
        match &self.target.check.kind {
            CheckKind::Tcp => Ok(Finding::new(Code::L6Ok, "")),
            CheckKind::Http(check) => http::probe(wire, check, Some(self)).await,
            CheckKind::Grpc(check) => grpc::probe(wire, check).await,
            CheckKind::Redis(check) => redis::probe(wire, check).await,
        }
    }

    /// Another connection, as the first one.
    pub(super) async fn again(&self, deadline: Instant) -> Step<Wire> {
        let Target { address, send_proxy, .. } = &self.target;
        let mut wire = Wire::new(wire::connect(*address, *send_proxy, deadline).await?, *address, deadline);
        if let Some(connector) = &self.connector {
            wire.start_tls(connector, self.name()).await?;
        }
        Ok(wire)
    }

    /// The name that the server is asked for in TLS.
    fn name(&self) -> Option<&str> {
        match &self.target.tls.as_ref()?.sni {
            Sni::Name(name) => Some(name),
            Sni::Host => match &self.target.check.kind {
                CheckKind::Http(check) => check.host(),
                CheckKind::Grpc(check) => check.host(),
                CheckKind::Tcp | CheckKind::Redis(_) => None,
            },
        }
    }
}
