//! Check: how a backend finds out which servers work.

mod exec;
mod ftp;
mod grpc;
mod http;
mod ldap;
mod mysql;
mod pgsql;
mod redis;
pub mod script;
mod smtp;
mod sql;
mod tls;
mod udp;

pub use exec::{ExecCheck, Spoken};
pub use ftp::FtpCheck;
pub use grpc::GrpcCheck;
pub use http::{Expect, Expected, ExpectedHeader, HttpCheck, HttpStep, HttpVersion, Matching};
pub use ldap::LdapCheck;
pub use mysql::{MysqlCheck, MysqlForm};
pub use pgsql::PgsqlCheck;
pub use redis::{RedisCheck, Role};
pub use script::ScriptCheck;
pub use smtp::{Hello, SmtpCheck};
pub use sql::{Query, SqlLogin};
pub use tls::TlsCheck;
pub use udp::{DnsCheck, UdpCheck};

use super::{Secret, SendProxy, SharedServerTls};
use std::{net::IpAddr, time::Duration};

/// An active probe, repeated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// What is asked. Default: whether a connection opens.
    pub kind: CheckKind,
    /// Where, and how.
    pub reach: Reach,
    /// From the start of one probe to the start of the next. Default: 2 s, as HAProxy's `inter`.
    pub interval: Duration,
    /// The same while a server is neither fully up nor fully down. Default: the interval.
    pub fast_interval: Duration,
    /// The same while it is down. Default: the interval.
    pub down_interval: Duration,
    /// Longest time of one probe. Default: the interval.
    pub timeout: Duration,
    /// Successes in a row that bring a server up. Default: 2.
    pub rise: u32,
    /// Failures in a row that take a server down. Default: 3.
    pub fall: u32,
    /// What a server is before its first probe. Default: up.
    pub init_state: InitState,
    /// Failures of the traffic itself that count against a server. Default: none.
    pub observe: Option<Observe>,
}

impl Default for Check {
    fn default() -> Self {
        let interval = Duration::from_secs(2);
        Self {
            kind: CheckKind::Tcp,
            reach: Reach::default(),
            interval,
            fast_interval: interval,
            down_interval: interval,
            timeout: interval,
            rise: 2,
            fall: 3,
            init_state: InitState::Up,
            observe: None,
        }
    }
}

/// Where a probe goes, if not to where traffic goes. As with HAProxy, one that goes to another port or address does not
/// inherit how traffic is sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// Default: the server's.
    pub address: Option<IpAddr>,
    /// Default: the server's.
    pub port: Option<u16>,
    /// TLS of its own; HAProxy's `check-ssl`.
    pub tls: SharedServerTls,
    /// A PROXY header of its own; HAProxy's `check-send-proxy`.
    pub send_proxy: Option<SendProxy>,
}

impl Reach {
    /// Whether probes go to where traffic goes.
    pub fn is_as_traffic(&self) -> bool {
        self.address.is_none() && self.port.is_none()
    }
}

/// What is asked of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CheckKind {
    /// Whether a connection opens.
    Tcp,
    /// Whether a request is answered as expected.
    Http(HttpCheck),
    /// Whether a gRPC server says that it serves.
    Grpc(GrpcCheck),
    /// Whether Redis is ready, after a login if one is given.
    Redis(RedisCheck),
    /// Whether a script goes through.
    Script(ScriptCheck),
    /// Whether TLS is agreed on, and how long the certificate is valid.
    Tls(TlsCheck),
    /// Whether a mail server is ready.
    Smtp(SmtpCheck),
    /// Whether a file server is ready, after a login if one is given.
    Ftp(FtpCheck),
    /// Whether an SSH server says who it is.
    Ssh,
    /// Whether a directory lets one in.
    Ldap(LdapCheck),
    /// Whether a datagram is answered as expected, or not refused.
    Udp(UdpCheck),
    /// Whether a question of DNS is answered as expected.
    Dns(DnsCheck),
    /// Whether MySQL or MariaDB takes a login, and what it answers.
    Mysql(MysqlCheck),
    /// Whether PostgreSQL takes a login, and what it answers.
    Pgsql(PgsqlCheck),
    /// What a program of one's own says.
    Exec(ExecCheck),
}

impl CheckKind {
    /// What it logs in with, if it does.
    pub fn password(&self) -> Option<&Secret> {
        let (Self::Redis(RedisCheck { login: Some(login), .. })
        | Self::Ftp(FtpCheck { login: Some(login), .. })
        | Self::Ldap(LdapCheck { login: Some(login), .. })
        | Self::Mysql(MysqlCheck::Full(SqlLogin { login, .. }))
        | Self::Pgsql(PgsqlCheck::Full { login: SqlLogin { login, .. }, .. })) = self
        else {
            return None;
        };
        login.password.as_ref()
    }
}

impl Check {
    /// Whether the protocol itself goes over to TLS in the middle of the conversation. Databases do so in TLS that is the check's
    /// own; what traffic does, they do from the first byte.
    pub fn begins_tls_itself(&self) -> bool {
        let databases = self.reach.tls.is_some() && matches!(self.kind, CheckKind::Mysql(_) | CheckKind::Pgsql(_));
        let others = matches!(
            self.kind,
            CheckKind::Smtp(SmtpCheck { starttls: true, .. })
                | CheckKind::Ftp(FtpCheck { starttls: true, .. })
                | CheckKind::Ldap(LdapCheck { starttls: true, .. })
        );
        databases || others
    }
}

/// Who a check logs in as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Login {
    /// May be empty where a password alone is a login.
    pub user: String,
    /// `None`: the server wants none.
    pub password: Option<Secret>,
}

/// Failures of the traffic itself, and what they do: HAProxy's `observe`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Observe {
    /// Which ones count.
    pub layer: Layer,
    /// How many in a row do something. Default: 10.
    pub error_limit: u32,
    /// What they do. Default: count as a failed probe.
    pub on_error: OnError,
    /// Part of the backend's checked servers, in percent, that they leave up. Default: 50.
    pub floor: u32,
}

/// Where failures are looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layer {
    /// Connections that fail.
    Connections,
    /// These, and responses that are none or say that the server failed.
    Requests,
}

/// What enough failures of the traffic do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnError {
    /// The next probe comes early.
    FastInterval,
    /// They count as a failed probe, and the next comes early.
    #[default]
    FailCheck,
    /// The same, and the next failed one takes the server down.
    SuddenDeath,
    /// They take the server down.
    MarkDown,
}

/// What a server is before its first probe: HAProxy's `init-state`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum InitState {
    /// Up, whatever comes: `fall` failures take it down.
    FullyUp,
    /// Up, but one failure takes it down.
    #[default]
    Up,
    /// Down, but one success brings it up: nothing is sent to it before the first verdict.
    Down,
    /// Down: `rise` successes bring it up.
    FullyDown,
}

impl InitState {
    /// Whether traffic goes to the server before its first probe.
    pub fn is_up(self) -> bool {
        match self {
            Self::FullyUp | Self::Up => true,
            Self::Down | Self::FullyDown => false,
        }
    }
}
