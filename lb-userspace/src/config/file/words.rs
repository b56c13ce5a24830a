//! The words of the configuration that stand for one of a few things.

use crate::{
    config::read::Word,
    model::{Affinity, Balance, Fragments, HeaderCase, OnStop, Ping, Proto, SendProxy, Track},
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

/// HAProxy's one word says how and by what.
impl Word for (Balance, Affinity) {
    const WHAT: &'static str = "a way to balance";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("roundrobin", (Balance::RoundRobin, Affinity::None)),
        ("maglev", (Balance::Maglev, Affinity::None)),
        ("source", (Balance::Maglev, Affinity::Source)),
    ];
    const LATER: &'static [&'static str] =
        &["leastconn", "static-rr", "random", "first", "uri", "url_param", "hdr", "hash", "rdp-cookie"];
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

impl Word for Fragments {
    const WHAT: &'static str = "a way to treat fragments";
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("track", Self::Track), ("hash", Self::Hash)];
}

impl Word for Ping {
    const WHAT: &'static str = "a way to answer pings";
    const WORDS: &'static [(&'static str, Self)] = &[("always", Self::Always), ("up", Self::Up), ("host", Self::Host)];
}

impl Word for OnStop {
    const WHAT: &'static str = "a way to stop";
    const WORDS: &'static [(&'static str, Self)] = &[("detach", Self::Detach), ("keep", Self::Keep)];
}

/// `type` of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CheckType {
    Tcp,
    Http,
}

impl Word for CheckType {
    const WHAT: &'static str = "a type of check";
    const WORDS: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("http", Self::Http)];
    const LATER: &'static [&'static str] =
        &["mysql", "pgsql", "redis", "smtp", "ftp", "ssh", "ldap", "tls", "grpc", "script", "exec", "agent"];
}
