//! One probe: what it is aimed at, and how it goes.

use super::{
    Code, Finding, exec,
    finding::Step,
    ftp, grpc, http, ldap, mysql, pgsql, redis, script, smtp, ssh,
    tls::{self, Daily},
    udp,
    wire::{self, Upgrade, Wire},
};
use crate::{
    l7::{
        connect,
        tls::server::{Connector, Validity},
    },
    model::{Backend, Check, CheckKind, SendProxy, Server, SharedServerTls, Sni, check::TlsCheck},
    runner::message::Facts,
};
use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;
use tracing::warn;

/// What a probe is aimed at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) check: Check,
    /// TLS to the server.
    pub(super) tls: SharedServerTls,
    /// The server expects a header of the PROXY protocol.
    pub(super) send_proxy: Option<SendProxy>,
    /// What a program is told, if one probes.
    pub(super) facts: Option<Facts>,
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
            facts: None,
        }
    }
}

/// How probes of a target are made.
#[derive(Debug)]
pub(super) struct Prober {
    pub(super) target: Target,
    /// If in TLS.
    pub(super) connector: Option<Connector>,
    /// Those of the connections of a script, in its order; `None`: in clear text, or as above.
    pub(super) scripted: Vec<Option<Connector>>,
    /// If a program probes.
    pub(super) means: Option<exec::Means>,
    /// That the certificate ends soon.
    warned: Daily,
}

impl Prober {
    /// Probes of `target`, in what TLS `connector` makes.
    pub(super) fn new<E>(
        target: Target,
        connector: &mut impl FnMut(&SharedServerTls) -> Result<Option<Connector>, E>,
    ) -> Result<Self, E> {
        let connections =
            if let CheckKind::Script(script) = &target.check.kind { &script.connections[..] } else { &[] };
        let scripted =
            connections.iter().map(|connection| connector(&connection.connect.tls)).collect::<Result<_, _>>()?;
        Ok(Self { connector: connector(&target.tls)?, scripted, means: None, warned: Daily::default(), target })
    }

    /// One probe, at most as long as the check's timeout, and the connection if it is still to be ended.
    pub(super) async fn probe(&self) -> (Finding, Option<Wire>) {
        let Target { address, check, send_proxy, .. } = &self.target;
        let deadline = Instant::now() + check.timeout;
        if let CheckKind::Script(script) = &check.kind {
            return script::probe(self, script, deadline).await;
        }
        if let CheckKind::Udp(check) = &check.kind {
            return (udp::probe(*address, check, deadline).await, None);
        }
        if let CheckKind::Dns(check) = &check.kind {
            return (udp::dns(*address, check, deadline).await, None);
        }
        if let CheckKind::Exec(check) = &check.kind {
            let told = self.target.facts.as_ref().zip(self.means.as_ref());
            return (exec::probe(check, told, deadline).await, None);
        }
        let stream = match wire::connect(*address, *send_proxy, deadline).await {
            Ok(stream) => stream,
            Err(found) => return (found, None),
        };
        if matches!(check.kind, CheckKind::Tcp) {
            connect::reset_at_end(&stream); // As HAProxy does.
            if self.connector.is_none() {
                return (Finding::new(Code::L4Ok, ""), None);
            }
        }
        let mut wire = Wire::new(stream, *address, deadline);
        let found = self.ask(&mut wire).await.unwrap_or_else(|found| found);
        (found, Some(wire))
    }

    /// What the server says to what is asked. Should it say the password, nobody hears that.
    pub(super) async fn ask(&self, wire: &mut Wire) -> Step<Finding> {
        let Some(password) = self.target.check.kind.password().filter(|password| !password.reveal().is_empty()) else {
            return self.converse(wire).await;
        };
        let said = password.reveal().as_bytes().escape_ascii().to_string();
        let hide = |found: Finding| Finding { detail: found.detail.replace(&said, "***"), ..found };
        self.converse(wire).await.map(hide).map_err(hide)
    }

    async fn converse(&self, wire: &mut Wire) -> Step<Finding> {
        let check = &self.target.check;
        let tls = self.connector.as_ref().map(|connector| Upgrade { connector, name: self.name() });
        let (now, later) = if check.begins_tls_itself() { (None, tls) } else { (tls, None) };
        let shown = match now {
            Some(tls) => Some(wire.start_tls(tls.connector, tls.name).await?),
            None => None,
        };
        match &check.kind {
            CheckKind::Tls(check) => Ok(self.judge(shown.and_then(|shown| shown.validity()).as_ref(), *check)),
            CheckKind::Smtp(check) => smtp::probe(wire, check, later).await,
            CheckKind::Ftp(check) => ftp::probe(wire, check, later).await,
            CheckKind::Ldap(check) => ldap::probe(wire, check, later).await,
            CheckKind::Ssh => ssh::probe(wire).await,
            CheckKind::Tcp | CheckKind::Script(_) | CheckKind::Udp(_) | CheckKind::Dns(_) | CheckKind::Exec(_) => {
                Ok(Finding::new(Code::L6Ok, ""))
            }
            CheckKind::Http(check) => http::probe(wire, check, Some(self)).await,
            CheckKind::Grpc(check) => grpc::probe(wire, check).await,
            CheckKind::Redis(check) => redis::probe(wire, check).await,
            CheckKind::Mysql(check) => mysql::probe(wire, check, later).await,
            CheckKind::Pgsql(check) => pgsql::probe(wire, check, later).await,
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

    /// What a certificate says of its end, to the log as well if that is near.
    fn judge(&self, validity: Option<&Validity>, check: TlsCheck) -> Finding {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (found, warns) = tls::judge(validity, check, now);
        if warns && self.warned.is_due(Instant::now()) {
            warn!(server = %self.target.address, "{}", found.detail);
        }
        found
    }

    /// The name that the server is asked for in TLS.
    pub(super) fn name(&self) -> Option<&str> {
        match (&self.target.tls.as_ref()?.sni, &self.target.check.kind) {
            (Sni::Name(name), _) => Some(name),
            (Sni::Host, CheckKind::Http(check)) => check.host(),
            (Sni::Host, CheckKind::Grpc(check)) => check.host(),
            (Sni::Host, _) => None,
        }
    }
}
