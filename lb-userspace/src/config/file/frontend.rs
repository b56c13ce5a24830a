//! Frontends as they are typed.

use super::{Amount, BindForm, CaptureForm, LogForm, LogSkip, Mode, Rule, UniqueIdForm};
use crate::{
    config::{
        read::{Named, OneOrMany, table},
        source::At,
        text::Text,
    },
    model::{DaemonDown, Fragments, HeaderCase, Ping, QuorumDown},
};
use std::time::Duration;

table! {
    /// `[frontend.NAME]`.
    struct Frontend, "a frontend" {
        /// `l4` (packets, in the kernel), `tcp` (bytes) or `http` (requests). Required: HAProxy's default differs from
        /// what most want.
        mode: Mode,
        /// Where it listens: "address:port", or a table of [`super::Bind`]; one or an array. Required.
        bind: OneOrMany<BindForm>,
        /// `acl.NAME`: HAProxy's ACL expression; in an array any may hold (`tcp`, `http`).
        acl: Named<OneOrMany<Text>>,
        /// `[[frontend.NAME.rule]]`: those that look at the same are applied in order, then those with `use`, of which the
        /// first that holds decides (`tcp`, `http`).
        rule: Vec<At<Rule>>,
        /// The backend of whatever no rule takes. Required, but for frontends with rules: `http` answers 503, `tcp` closes.
        default_backend: Text,
        /// Longest wait for the first bytes of a connection that rules ask for (`tcp`), HAProxy's `tcp-request inspect-delay`;
        /// after it they are judged by what has come. Default: 5s; HAProxy's is none.
        inspect_delay: Duration,
        /// A path (with its query, if it has one) that this frontend answers itself, before any rule: 200, or what
        /// `monitor_fail` says; HAProxy's `monitor-uri`. `http` only. Default: none.
        monitor_uri: Text,
        /// A condition under which `monitor_uri` is answered by 503, HAProxy's `monitor fail if`: `{ nbsrv(web) lt 2 }`.
        /// Default: never.
        monitor_fail: Text,
        /// Add the client's address to X-Forwarded-For, as HAProxy's `option forwardfor`. `http` only. Default: true.
        forwarded_for: bool,
        /// How names of header fields are written in HTTP/1, to clients and servers: `lower`; `as-sent`, for programs that want
        /// to see the names that others wrote (HAProxy: `h1-case-adjust`). `http` only. Default: `lower`.
        header_case: HeaderCase,
        /// A client that closes its sending half before it has its answer counts as gone, and what it asked for is given up, as
        /// with HAProxy's `option abortonclose`. `http` only. Default: true; `false` is for clients that say so that they
        /// send no more, and wait (`nc -N`).
        abort_on_close: bool,
        /// Where lines about requests (`http`) or connections (`tcp`) go: "udp:192.0.2.1:514", "unix:/dev/log",
        /// "file:/var/log/sluice.log", "stdout", or a table of [`super::Log`]; one or an array; an empty one: nowhere. A target that
        /// is slow or gone never delays anybody: lines wait a little, then are lost, and counted. Default: that of
        /// `[defaults]`, else nowhere.
        log: OneOrMany<LogForm>,
        /// What is not logged (`tcp`, `http`): `null`: connections that close without having sent a byte, as HAProxy's
        /// `option dontlognull`; `normal`: what went as it should, as `option dontlog-normal`; or both in an array.
        /// Default: that of `[defaults]`, else everything is logged.
        log_skip: OneOrMany<LogSkip>,
        /// Header fields of requests that lines show (%hr, %hrl; `json`), as they came: a name, or a table of [`super::Capture`];
        /// one or an array. HAProxy's `capture request header`. `http` only. Default: none.
        capture_request: OneOrMany<CaptureForm>,
        /// The same of responses (%hs, %hsl). HAProxy's `capture response header`. `http` only. Default: none.
        capture_response: OneOrMany<CaptureForm>,
        /// Gives each request an id: the header field that carries it, or a table of [`super::log::UniqueId`]. Lines show it (%ID,
        /// `json`). `http` only. Default: none.
        unique_id: UniqueIdForm,
        /// Most connections open at once (`tcp`, `http`), 0 to 10000000; at the limit nothing is accepted, and clients wait in
        /// the kernel until one ends. Default: that of `[defaults]`, else 0, any number.
        maxconn: i64,
        /// `errorfile.STATUS`: a file with a whole answer, head and body, that is sent in place of the one with that status that
        /// the proxy would make (`http`), up to 64 KiB; relative to this file. An empty one, or "/dev/null": nothing is sent.
        /// HAProxy's `errorfile`, with its statuses. Default: HAProxy's pages.
        errorfile: Named<Text>,
        /// Longest silence of a client (`tcp`, `http`), HAProxy's `timeout client`. Default: 60s.
        timeout_client: Duration,
        /// Longest time from the first byte of a request to the end of its headers (`http`), HAProxy's
        /// `timeout http-request`. Default: 10s.
        timeout_http_request: Duration,
        /// Longest wait for the next request on a kept connection (`http`), HAProxy's `timeout http-keep-alive`.
        /// Default: 60s.
        timeout_http_keep_alive: Duration,
        /// Longest silence of a client whose server has ended its half of a connection that only carries bytes (`tcp`, `http`),
        /// HAProxy's `timeout client-fin`. Default: as while both halves were open.
        timeout_client_fin: Duration,
        /// How long its connections may go on once a reload has removed it, 1s to 7d (`tcp`, `http`): those of `http` end after the
        /// exchange that runs, and what is left then, tunnels too, is cut. Default: 1h.
        drain_timeout: Duration,
        /// How long `tarpit` holds a client (`http`), HAProxy's `timeout tarpit`. Default: the `timeout_connect` of the default
        /// backend, else 5s.
        timeout_tarpit: Duration,
        /// What becomes of fragments of IP packets (`l4`): `drop`; `track`: later ones follow the first, which must come
        /// before them; `hash`: all packets go by their addresses and protocol alone, so that fragments need no ports, and
        /// all flows of a client to a VIP address share a server. Default: `track`.
        fragments: Fragments,
        /// What becomes of echo requests to the VIP's address (`l4`): `always`: the kernel half answers; `up`: it answers
        /// while one of the address' frontends has its `quorum`, and drops them otherwise, so that whoever watches the VIP
        /// sees it go; `host`: they are left to this machine. Default: `always`.
        ping: Ping,
        /// How many servers of `default_backend` must take new traffic for the frontend to be of use, as keepalived's `quorum`: a
        /// number, or a percentage of those that are no backups, rounded up. A backup counts while it stands in, as in `nbsrv`.
        /// Without its quorum a frontend is not ready (`sluice ready`). Default: 1.
        quorum: Amount,
        /// The quorum is lost with so many servers fewer, and had again with so many more, as keepalived's `hysteresis`; less than
        /// `quorum`, in the same units. A daemon that starts goes by the quorum itself. Default: 0.
        hysteresis: Amount,
        /// What becomes of new traffic while the quorum is lost (`l4`): `serve`: those servers have it that are left; `withdraw`: the
        /// VIP is silent, as if it had moved: what opens a TCP connection is dropped, and so are echo requests, but with
        /// `ping = "host"`. What is open goes on, and so does UDP, where nothing says what is new. Default: `serve`.
        quorum_down: QuorumDown,
        /// What becomes of new traffic while no daemon lives (`l4`; `heartbeat_timeout` says since when): `forward`: it goes where
        /// the last daemon left it; `withdraw`: what opens a TCP connection is dropped, as by `quorum_down`, so that clients try
        /// again elsewhere. What is open goes on, and so do UDP and the answers to pings. Default: `forward`.
        daemon_down: DaemonDown,
        /// Largest segment in bytes that TCP connections may agree on (`l4`), 88 to 9000, as HAProxy's `mss` of a bind.
        /// Written into what clients say, and into what servers say whose replies pass here (`nat`, `fullnat`): how much
        /// clients may send to servers that answer by themselves, these say (Linux: `advmss` of a route). Default: what
        /// both ends say.
        mss: i64,
    }
}
