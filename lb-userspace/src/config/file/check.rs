//! `check` of a backend: what all checks have, and beside it the keys of its type.

mod exec;
mod ftp;
mod grpc;
mod http;
mod ldap;
mod mysql;
mod pgsql;
mod redis;
mod script;
mod smtp;
mod tls;
mod udp;

pub(crate) use exec::ExecKeys;
pub(crate) use ftp::FtpKeys;
pub(crate) use grpc::GrpcKeys;
pub(crate) use http::{ExpectHeader, ExpectKeys, Expectation, HeaderMatch, HttpKeys, HttpStepKeys, Statuses};
pub(crate) use ldap::LdapKeys;
pub(crate) use mysql::{MysqlDepth, MysqlKeys};
pub(crate) use pgsql::{PgsqlDepth, PgsqlKeys};
pub(crate) use redis::RedisKeys;
pub(crate) use script::{ConnectKeys, ScriptKeys, StepKeys};
pub(crate) use smtp::SmtpKeys;
pub(crate) use tls::TlsKeys;
pub(crate) use udp::{DnsKeys, UdpKeys};

use super::ServerTls;
use crate::{
    config::{
        error::Diagnostic,
        read::{FromToml, Knob, KnobDoc, OneOrMany, Reader, Table, Word, table},
        shape::{Key, Shape, TableShape},
        suggest::listed,
    },
    model::{
        SendProxy,
        check::{InitState, Layer, OnError},
    },
};
use std::{net::IpAddr, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

table! {
    /// The keys of `check` that every type has.
    struct CheckKeys, "a check" {
        /// What is asked of a server. `tcp`: a connection opens. `http`: a request is answered with an expected status.
        /// `grpc`: a gRPC server says that it serves (grpc.health.v1).
        /// `mysql`, `pgsql`: a login is taken, and a statement is answered as expected if one is given.
        /// `redis`: PING is answered, after a login if one is given. `script`: a conversation goes as written. `tls`: TLS is
        /// agreed on, and the certificate is valid for some time. `smtp`: a mail server greets back. `ftp`: a file server is
        /// ready, after a login if one is given. `ssh`: it says who it is; its log has one line of each probe at level INFO,
        /// and OpenSSH since 9.8 refuses those who leave without a login more than once a second, unless
        /// `PerSourcePenaltyExemptList` has them. `ldap`: a bind succeeds. `udp`: a datagram is answered. `dns`: a question is.
        /// `exec`: a program ends with status 0; needs `exec_checks` in `[global]`.
        /// Required.
        r#type: CheckType,
        /// From the start of one probe to the start of the next, at least 10ms, HAProxy's `inter`. Default: 2s.
        interval: Duration,
        /// The same while the last probes disagree, so that a failure is confirmed early; HAProxy's `fastinter`. Default: the
        /// interval.
        fast_interval: Duration,
        /// The same while a server is down, HAProxy's `downinter`. Default: the interval.
        down_interval: Duration,
        /// Longest time of one probe, from the connection to the last byte. Default: the interval.
        timeout: Duration,
        /// Successes in a row that bring a server up. Default: 2, as HAProxy.
        rise: i64,
        /// Failures in a row that take a server down. Default: 3, as HAProxy.
        fall: i64,
        /// What a server is before its first probe, as HAProxy's `init-state`: `fully-up`; `up`, but one failure takes it down;
        /// `down`, but one success brings it up, so that nothing is sent to it before; `fully-down`. What an earlier run of the
        /// daemon found out comes first. Default: "up".
        init_state: InitState,
        /// Failures of the traffic itself that count against a server, as HAProxy's `observe`. `layer4`: connections to it that
        /// fail; `layer7`: these, and responses of `http` frontends that are none, come late, or have a status of 500, 502 to
        /// 504, or above 505. `l4` frontends count what servers answer to SYNs (`layer4`; forward = "nat" or "fullnat", binds of
        /// TCP have one port each): a reset is a failure, and so is a SYN of one second that nothing answers until the end of
        /// the next; a SYN with ACK forgives all failures before it. Default: none.
        observe: Layer,
        /// How many of them in a row do what `on_error` says, 1 to 1000000. Default: 10, as HAProxy.
        error_limit: i64,
        /// What they do, as HAProxy's `on-error`. `fastinter`: the next probe comes after `fast_interval`; `fail-check`: they
        /// count as a failed probe, and the next comes as early; `sudden-death`: the same, and one that takes the server down
        /// if it is followed by another; `mark-down`: they take it down. Probes bring it back. Default: `fail-check`.
        on_error: OnError,
        /// Part of the backend's checked servers, in percent, that they leave up: what takes down more is left to probes. 0 to
        /// 100. Default: 50.
        observe_floor: i64,
        /// Port to probe. Default: the server's; for a server without one the lowest port of its frontends.
        port: i64,
        /// Address to probe, HAProxy's `addr`. Default: the server's.
        address: IpAddr,
        /// TLS of the probe, HAProxy's `check-ssl`: from the first byte, or, if the type is `mysql` or `pgsql`, from where the
        /// protocol goes over to it. Default: as traffic, from the first byte; with `port` or `address` clear text.
        tls: ServerTls,
        /// A header of the PROXY protocol before the probe, HAProxy's `check-send-proxy`. Default: as traffic; with `port` or
        /// `address` none.
        send_proxy: SendProxy,
    }
}

/// `check` of a backend.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// What all have.
    pub(crate) keys: CheckKeys,
    /// What its type has; `None`: the type is missing or wrong, which is reported with it.
    pub(crate) own: Option<OwnKeys>,
}

impl Check {
    /// TLS of the probe, and of the connections of a script.
    pub(crate) fn all_tls(&self) -> impl Iterator<Item = &Knob<ServerTls>> {
        let steps = match &self.own {
            Some(OwnKeys::Script(script)) => script.steps.value().map(|OneOrMany(steps)| steps.as_slice()),
            Some(_) | None => None,
        };
        let connects = steps.into_iter().flatten().filter_map(|step| step.value.connect.value());
        [&self.keys.tls].into_iter().chain(connects.map(|connect| &connect.tls))
    }
}

/// `type` of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CheckType {
    Tcp,
    Http,
    Grpc,
    Redis,
    Script,
    Tls,
    Smtp,
    Ftp,
    Ssh,
    Ldap,
    Udp,
    Dns,
    Mysql,
    Pgsql,
    Exec,
}

impl Word for CheckType {
    const WHAT: &'static str = "a type of check";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tcp", Self::Tcp),
        ("http", Self::Http),
        ("grpc", Self::Grpc),
        ("redis", Self::Redis),
        ("script", Self::Script),
        ("tls", Self::Tls),
        ("smtp", Self::Smtp),
        ("ftp", Self::Ftp),
        ("ssh", Self::Ssh),
        ("ldap", Self::Ldap),
        ("udp", Self::Udp),
        ("dns", Self::Dns),
        ("mysql", Self::Mysql),
        ("pgsql", Self::Pgsql),
        ("exec", Self::Exec),
    ];
}

impl Word for Layer {
    const WHAT: &'static str = "a layer to observe";
    const WORDS: &'static [(&'static str, Self)] = &[("layer4", Self::Connections), ("layer7", Self::Requests)];
}

impl Word for OnError {
    const WHAT: &'static str = "something that errors do";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("fastinter", Self::FastInterval),
        ("fail-check", Self::FailCheck),
        ("sudden-death", Self::SuddenDeath),
        ("mark-down", Self::MarkDown),
    ];
}

impl Word for InitState {
    const WHAT: &'static str = "a state to begin with";
    const WORDS: &'static [(&'static str, Self)] =
        &[("fully-up", Self::FullyUp), ("up", Self::Up), ("down", Self::Down), ("fully-down", Self::FullyDown)];
}

/// The keys of one type of check.
#[derive(Clone, Debug)]
pub(crate) enum OwnKeys {
    Tcp,
    Http(Box<HttpKeys>),
    Grpc(Box<GrpcKeys>),
    Redis(Box<RedisKeys>),
    Script(Box<ScriptKeys>),
    Tls(Box<TlsKeys>),
    Smtp(Box<SmtpKeys>),
    Ftp(Box<FtpKeys>),
    Ssh,
    Ldap(Box<LdapKeys>),
    Udp(Box<UdpKeys>),
    Dns(Box<DnsKeys>),
    Mysql(Box<MysqlKeys>),
    Pgsql(Box<PgsqlKeys>),
    Exec(Box<ExecKeys>),
}

impl CheckType {
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
    }

    /// Its own keys, and what each may hold.
    fn own(self) -> (&'static [KnobDoc], fn() -> Vec<Key>) {
        fn of<T: Table>() -> (&'static [KnobDoc], fn() -> Vec<Key>) {
            (T::KNOBS, || T::layout().keys)
        }
        match self {
            Self::Tcp | Self::Ssh => (&[], Vec::new),
            Self::Http => of::<HttpKeys>(),
            Self::Grpc => of::<GrpcKeys>(),
            Self::Redis => of::<RedisKeys>(),
            Self::Script => of::<ScriptKeys>(),
            Self::Tls => of::<TlsKeys>(),
            Self::Smtp => of::<SmtpKeys>(),
            Self::Ftp => of::<FtpKeys>(),
            Self::Ldap => of::<LdapKeys>(),
            Self::Udp => of::<UdpKeys>(),
            Self::Dns => of::<DnsKeys>(),
            Self::Mysql => of::<MysqlKeys>(),
            Self::Pgsql => of::<PgsqlKeys>(),
            Self::Exec => of::<ExecKeys>(),
        }
    }

    fn knobs(self) -> &'static [KnobDoc] {
        self.own().0
    }
}

/// Reports keys that checks of that type do not have; of those that others have, it says which.
fn refuse_unknown(table: &DeTable<'_>, r#type: CheckType, reader: &mut Reader<'_>) {
    let (what, types) = (format!("a check of type `{}`", r#type.word()), || CheckType::WORDS.iter().map(|(_, of)| *of));
    let known = || CheckKeys::KNOBS.iter().chain(r#type.knobs());
    let of_others = || types().flat_map(CheckType::knobs).filter(|other| known().all(|own| own.key != other.key));
    reader.refuse_unknown(table, &what, &known().chain(of_others().filter(|other| table.contains_key(other.key))));
    for key in table.keys().filter(|key| of_others().any(|other| other.key == key.get_ref())) {
        let has = |of: &CheckType| of.knobs().iter().any(|knob| knob.key == key.get_ref());
        let help = format!("checks have it whose type is: {}", listed(types().filter(has).map(CheckType::word)));
        let error = Diagnostic::error(reader.span(key), format!("`{}` has no meaning in {what}", key.get_ref()));
        reader.error(error.help(help));
    }
}

impl FromToml for Check {
    fn shape() -> Shape {
        let kinds = CheckType::WORDS.iter().map(|(word, r#type)| (*word, (r#type.own().1)())).collect();
        Shape::Table(TableShape { name: "Check", kinds, ..CheckKeys::layout() })
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.table("a table (a check)", value)?;
        let keys = CheckKeys::read(table, reader);
        let Some(r#type) = keys.r#type.value().copied() else { return Some(Self { keys, own: None }) };
        refuse_unknown(table, r#type, reader);
        let own = match r#type {
            CheckType::Tcp => OwnKeys::Tcp,
            CheckType::Http => OwnKeys::Http(Box::new(HttpKeys::read(table, reader))),
            CheckType::Grpc => OwnKeys::Grpc(Box::new(GrpcKeys::read(table, reader))),
            CheckType::Redis => OwnKeys::Redis(Box::new(RedisKeys::read(table, reader))),
            CheckType::Script => OwnKeys::Script(Box::new(ScriptKeys::read(table, reader))),
            CheckType::Tls => OwnKeys::Tls(Box::new(TlsKeys::read(table, reader))),
            CheckType::Smtp => OwnKeys::Smtp(Box::new(SmtpKeys::read(table, reader))),
            CheckType::Ftp => OwnKeys::Ftp(Box::new(FtpKeys::read(table, reader))),
            CheckType::Ssh => OwnKeys::Ssh,
            CheckType::Ldap => OwnKeys::Ldap(Box::new(LdapKeys::read(table, reader))),
            CheckType::Udp => OwnKeys::Udp(Box::new(UdpKeys::read(table, reader))),
            CheckType::Dns => OwnKeys::Dns(Box::new(DnsKeys::read(table, reader))),
            CheckType::Mysql => OwnKeys::Mysql(Box::new(MysqlKeys::read(table, reader))),
            CheckType::Pgsql => OwnKeys::Pgsql(Box::new(PgsqlKeys::read(table, reader))),
            CheckType::Exec => OwnKeys::Exec(Box::new(ExecKeys::read(table, reader))),
        };
        Some(Self { keys, own: Some(own) })
    }
}
