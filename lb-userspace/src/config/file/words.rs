//! The words of the configuration that stand for one of a few things.

use crate::{
    config::read::Word,
    model::{
        CIPHERS, CIPHERSUITES, CURVES, Cipher, CipherSuite, Curve, DaemonDown, Family, Fragments, HeaderCase,
        MetricNames, OnEmpty, OnStop, Ping, Proto, QuorumDown, RetryOn, Reuse, SendProxy, TlsVersion, Track,
        acl::expression::Moment,
    },
};
use lb_common::{Forward, Protocol};

/// `mode`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    L4,
    Tcp,
    Http,
}

impl Mode {
    /// As typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::L4 => "l4",
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }
}

impl Word for Mode {
    const WHAT: &'static str = "a mode";
    const WORDS: &'static [(&'static str, Self)] = &[("l4", Self::L4), ("tcp", Self::Tcp), ("http", Self::Http)];
}

impl Word for Protocol {
    const WHAT: &'static str = "a protocol";
    const WORDS: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("udp", Self::Udp)];
    const LATER: &'static [&'static str] = &["quic", "sctp"];
}

impl Word for Forward {
    const WHAT: &'static str = "a way to forward";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("direct", Self::Direct),
        ("nat", Self::Nat),
        ("ipip", Self::Ipip),
        ("gue", Self::Gue),
        ("fullnat", Self::FullNat),
    ];
}

/// HAProxy's words.
impl Word for Proto {
    const WHAT: &'static str = "what servers speak";
    const WORDS: &'static [(&'static str, Self)] = &[("h1", Self::Http1), ("h2", Self::Http2)];
    const LATER: &'static [&'static str] = &["fcgi"];
}

impl Word for Reuse {
    const WHAT: &'static str = "a way to reuse connections";
    const WORDS: &'static [(&'static str, Self)] =
        &[("never", Self::Never), ("safe", Self::Safe), ("aggressive", Self::Aggressive), ("always", Self::Always)];
}

impl Word for SendProxy {
    const WHAT: &'static str = "a version of the PROXY protocol";
    const WORDS: &'static [(&'static str, Self)] = &[("v1", Self::V1), ("v2", Self::V2)];
}

impl Word for HeaderCase {
    const WHAT: &'static str = "a way to write names";
    const WORDS: &'static [(&'static str, Self)] = &[("lower", Self::Lower), ("as-sent", Self::AsSent)];
}

impl Word for Track {
    const WHAT: &'static str = "a way to track";
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("full", Self::Full)];
}

/// HAProxy's words.
impl Word for Family {
    const WHAT: &'static str = "a family of addresses";
    const WORDS: &'static [(&'static str, Self)] = &[("ipv4", Self::V4), ("ipv6", Self::V6)];
}

/// `resolve_opts`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResolveOpts {
    PreventDupIp,
    AllowDupIp,
}

/// HAProxy's words.
impl Word for ResolveOpts {
    const WHAT: &'static str = "a way to share addresses";
    const WORDS: &'static [(&'static str, Self)] =
        &[("prevent-dup-ip", Self::PreventDupIp), ("allow-dup-ip", Self::AllowDupIp)];
    const LATER: &'static [&'static str] = &["ignore-weight"];
}

impl Word for Fragments {
    const WHAT: &'static str = "a way to treat fragments";
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("track", Self::Track), ("hash", Self::Hash)];
}

impl Word for Ping {
    const WHAT: &'static str = "a way to answer pings";
    const WORDS: &'static [(&'static str, Self)] = &[("always", Self::Always), ("up", Self::Up), ("host", Self::Host)];
}

impl Word for QuorumDown {
    const WHAT: &'static str = "what becomes of traffic without a quorum";
    const WORDS: &'static [(&'static str, Self)] = &[("serve", Self::Serve), ("withdraw", Self::Withdraw)];
}

impl Word for DaemonDown {
    const WHAT: &'static str = "what becomes of traffic without a daemon";
    const WORDS: &'static [(&'static str, Self)] = &[("forward", Self::Forward), ("withdraw", Self::Withdraw)];
}

impl Word for OnStop {
    const WHAT: &'static str = "a way to stop";
    const WORDS: &'static [(&'static str, Self)] = &[("detach", Self::Detach), ("keep", Self::Keep)];
}

impl Word for MetricNames {
    const WHAT: &'static str = "whose names metrics may have";
    const WORDS: &'static [(&'static str, Self)] = &[("sluice", Self::Sluice), ("haproxy", Self::Haproxy)];
}

/// `on` of a rule.
impl Word for Moment {
    const WHAT: &'static str = "something that rules look at";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connection", Self::Connection),
        ("content", Self::Content),
        ("request", Self::Request),
        ("response", Self::Response),
    ];
}

impl Word for OnEmpty {
    const WHAT: &'static str = "what a backend without servers does";
    const WORDS: &'static [(&'static str, Self)] =
        &[("error", Self::Error), ("reset", Self::Reset), ("fail-open", Self::FailOpen)];
}

/// `on_marked_down`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Marked {
    Move,
    Keep,
    Shutdown,
}

impl Word for Marked {
    const WHAT: &'static str = "what becomes of connections";
    const WORDS: &'static [(&'static str, Self)] =
        &[("keep", Self::Keep), ("shutdown-sessions", Self::Shutdown), ("move", Self::Move)];
}

/// `on_marked_up`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MarkedUp {
    Keep,
    ShutdownBackups,
}

impl Word for MarkedUp {
    const WHAT: &'static str = "what becomes of connections to backups";
    const WORDS: &'static [(&'static str, Self)] =
        &[("keep", Self::Keep), ("shutdown-backup-sessions", Self::ShutdownBackups)];
}

/// One of `retry_on`: the failures that it stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RetryWord(pub(crate) &'static [RetryOn]);

impl Word for RetryWord {
    const WHAT: &'static str = "a failure to retry on";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self(&[])),
        ("conn-failure", Self(&[RetryOn::ConnFailure])),
        ("empty-response", Self(&[RetryOn::EmptyResponse])),
        ("junk-response", Self(&[RetryOn::JunkResponse])),
        ("response-timeout", Self(&[RetryOn::ResponseTimeout])),
        ("401", Self(&[RetryOn::Status(401)])),
        ("403", Self(&[RetryOn::Status(403)])),
        ("404", Self(&[RetryOn::Status(404)])),
        ("408", Self(&[RetryOn::Status(408)])),
        ("421", Self(&[RetryOn::Status(421)])),
        ("425", Self(&[RetryOn::Status(425)])),
        ("429", Self(&[RetryOn::Status(429)])),
        ("500", Self(&[RetryOn::Status(500)])),
        ("501", Self(&[RetryOn::Status(501)])),
        ("502", Self(&[RetryOn::Status(502)])),
        ("503", Self(&[RetryOn::Status(503)])),
        ("504", Self(&[RetryOn::Status(504)])),
        (
            "all-retryable-errors",
            Self(&[
                RetryOn::ConnFailure,
                RetryOn::EmptyResponse,
                RetryOn::JunkResponse,
                RetryOn::ResponseTimeout,
                RetryOn::Status(500),
                RetryOn::Status(502),
                RetryOn::Status(503),
                RetryOn::Status(504),
            ]),
        ),
    ];
    const LATER: &'static [&'static str] = &["0rtt-rejected"];
}

impl Word for TlsVersion {
    const WHAT: &'static str = "a version of TLS that we speak";
    const WORDS: &'static [(&'static str, Self)] = &[("TLSv1.2", Self::V12), ("TLSv1.3", Self::V13)];
}

impl Word for Cipher {
    const WHAT: &'static str = "a cipher suite of TLS 1.2 that we have";
    const WORDS: &'static [(&'static str, Self)] = CIPHERS;
}

impl Word for CipherSuite {
    const WHAT: &'static str = "a cipher suite of TLS 1.3 that we have";
    const WORDS: &'static [(&'static str, Self)] = CIPHERSUITES;
}

impl Word for Curve {
    const WHAT: &'static str = "a group that we have";
    const WORDS: &'static [(&'static str, Self)] = CURVES;
}

/// What is demanded of clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verify {
    None,
    Optional,
    Required,
}

impl Word for Verify {
    const WHAT: &'static str = "a way to verify";
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("optional", Self::Optional), ("required", Self::Required)];
}

/// What is demanded of servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ServerVerify {
    None,
    Required,
}

impl Word for ServerVerify {
    const WHAT: &'static str = "a way to verify a server";
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("required", Self::Required)];
}
