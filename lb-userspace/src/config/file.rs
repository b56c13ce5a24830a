//! The configuration as typed by the operator: every knob with its meaning, unit, default and source. Nothing here is
//! checked beyond its type; `validate` does that. The doc comments are the reference.

mod bind;
mod check;
mod cookie;
mod log;
mod rule;
mod tls;
mod words;

pub(crate) use bind::{Bind, BindForm};
pub(crate) use check::{Check, Statuses};
pub(crate) use cookie::Cookie;
pub(crate) use log::{Capture, CaptureForm, FramingWord, Log, LogForm, LogSkip, UniqueId, UniqueIdForm};
pub(crate) use rule::{Auth, NameValue, Redirect, Replace, ReplacePath, Return, Rule, User, Userlist};
pub(crate) use tls::{ServerTls, Tls};
pub(crate) use words::{CheckType, Mode, RetryWord, ServerVerify, Verify};

use super::{
    address::ServerAddress,
    balance::Balancing,
    error::Diagnostic,
    read::{Knob, KnobDoc, Named, OneOrMany, Table, table},
    source::At,
    text::Text,
};
use crate::model::{Fragments, HeaderCase, OnStop, Ping, Proto, Reuse, SendProxy, Track, balance::HashType};
use lb_common::Forward;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

table! {
    /// A whole file, or several merged.
    struct File, "the configuration" {
        /// What concerns the process, not the traffic.
        global: Global,
        /// What frontends and backends use where they do not say otherwise.
        defaults: Defaults,
        /// Where clients connect, by name.
        frontend: Named<Frontend>,
        /// Where requests and packets go, by name.
        backend: Named<Backend>,
        /// Who may authenticate, by name.
        userlist: Named<Userlist>,
    }
}

table! {
    /// `[global]`.
    struct Global, "`[global]`" {
        /// Network interfaces that the kernel half is attached to. Needed by `l4` frontends. Default: none.
        interfaces: OneOrMany<Text>,
        /// Key of the flow hash: 32 hexadecimal digits, equal on all balancers of a group, secret from clients.
        /// Default: zeros.
        hash_key: Text,
        /// User of the worker process. Default: `sluice` where it exists, else `nobody`.
        user: Text,
        /// The control socket, as HAProxy's `stats socket`. Default: "/run/sluice/sluice.sock".
        control_socket: Text,
        /// Where maps and links are pinned, a directory below a BPF file system. Default: "/sys/fs/bpf/sluice".
        pin_dir: Text,
        /// Threads that serve connections, 1 to 1024, as HAProxy's `nbthread`. Default: one a CPU.
        threads: i64,
        /// Most connections of clients open at once, over all `tcp` and `http` frontends, 1 to 10000000; at the limit nothing
        /// is accepted, and clients wait in the kernel until one ends. HAProxy's global `maxconn`. Each needs two descriptors:
        /// where fewer are allowed, what fits is taken. Default: what the descriptors allow.
        max_connections: i64,
        /// What a stop leaves behind in the kernel: `detach` (nothing) or `keep` (packets go on being forwarded).
        /// Default: `detach`.
        on_stop: OnStop,
        /// How long connections may go on after a stop was asked for, as HAProxy's `hard-stop-after`. Default: 30s.
        stop_timeout: Duration,
        /// Where `/metrics` is served, without TLS: an address that clients do not reach. Default: nowhere.
        metrics: SocketAddr,
        /// How long the kernel half remembers a TCP flow that is silent, 1s to 7d. It remembers flows of slots that change
        /// hands (see `transition`), and all flows of `track = "full"` and `forward = "fullnat"`. Default: 1h.
        flow_timeout_tcp: Duration,
        /// The same of a UDP flow, 1s to 7d. Default: 3m, that of a UDP stream in Linux' connection tracking.
        flow_timeout_udp: Duration,
        /// Flows that the kernel half may begin to remember because their slot changes hands, each second and on each CPU,
        /// 1 to 1000000: so that a flood cannot fill the table. Flows beyond it stay with the server that the slot had
        /// before. Default: 20000.
        track_budget: i64,
    }
}

table! {
    /// `[defaults]`: as in HAProxy, inherited by frontends and backends.
    struct Defaults, "`[defaults]`" {
        /// See `frontend`.
        timeout_client: Duration,
        /// See `frontend`.
        timeout_http_request: Duration,
        /// See `frontend`.
        timeout_http_keep_alive: Duration,
        /// See `frontend`.
        timeout_client_fin: Duration,
        /// See `frontend`.
        timeout_tarpit: Duration,
        /// See `backend`.
        timeout_queue: Duration,
        /// See `backend`.
        timeout_connect: Duration,
        /// See `backend`.
        timeout_server: Duration,
        /// See `backend`.
        timeout_tunnel: Duration,
        /// See `backend`.
        timeout_server_fin: Duration,
        /// See `frontend`.
        maxconn: i64,
        /// See `frontend` and `backend`; those of other statuses there come on top.
        errorfile: Named<Text>,
        /// See `frontend`.
        log: OneOrMany<LogForm>,
        /// See `frontend`.
        log_skip: OneOrMany<LogSkip>,
    }
}

table! {
    /// `[frontend.NAME]`.
    struct Frontend, "a frontend" {
        /// `l4` (packets, in the kernel), `tcp` (bytes) or `http` (requests). Required: HAProxy's default differs from
        /// what most want.
        mode: Mode,
        /// Where it listens: "address:port", or a table of [`Bind`]; one or an array. Required.
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
        /// "file:/var/log/sluice.log", "stdout", or a table of [`Log`]; one or an array; an empty one: nowhere. A target that
        /// is slow or gone never delays anybody: lines wait a little, then are lost, and counted. Default: that of
        /// `[defaults]`, else nowhere.
        log: OneOrMany<LogForm>,
        /// What is not logged (`tcp`, `http`): `null`: connections that close without having sent a byte, as HAProxy's
        /// `option dontlognull`; `normal`: what went as it should, as `option dontlog-normal`; or both in an array.
        /// Default: that of `[defaults]`, else everything is logged.
        log_skip: OneOrMany<LogSkip>,
        /// Header fields of requests that lines show (%hr, %hrl; `json`), as they came: a name, or a table of [`Capture`];
        /// one or an array. HAProxy's `capture request header`. `http` only. Default: none.
        capture_request: OneOrMany<CaptureForm>,
        /// The same of responses (%hs, %hsl). HAProxy's `capture response header`. `http` only. Default: none.
        capture_response: OneOrMany<CaptureForm>,
        /// Gives each request an id: the header field that carries it, or a table of [`UniqueId`]. Lines show it (%ID,
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
        /// How long `tarpit` holds a client (`http`), HAProxy's `timeout tarpit`. Default: the `timeout_connect` of the default
        /// backend, else 5s.
        timeout_tarpit: Duration,
        /// What becomes of fragments of IP packets (`l4`): `drop`; `track`: later ones follow the first, which must come
        /// before them; `hash`: all packets go by their addresses and protocol alone, so that fragments need no ports, and
        /// all flows of a client to a VIP address share a server. Default: `track`.
        fragments: Fragments,
        /// What becomes of echo requests to the VIP's address (`l4`): `always`: the kernel half answers; `up`: it answers
        /// while a server of one of the address' frontends can take traffic, and drops them otherwise, so that whoever
        /// watches the VIP sees it go; `host`: they are left to this machine. Default: `always`.
        ping: Ping,
        /// Largest segment in bytes that TCP connections may agree on (`l4`), 88 to 9000, as HAProxy's `mss` of a bind.
        /// Written into what clients say, and into what servers say whose replies pass here (`nat`, `fullnat`): how much
        /// clients may send to servers that answer by themselves, these say (Linux: `advmss` of a route). Default: what
        /// both ends say.
        mss: i64,
    }
}

table! {
    /// `[backend.NAME]`.
    struct Backend, "a backend" {
        /// `tcp` or `http`, if frontends of another mode must not use it. Default: that of its frontends.
        mode: Mode,
        /// How a server is picked, in HAProxy's words. By turns: `roundrobin`, smoothly by weight, over all threads together;
        /// `static-rr`, by a map that is made once servers come or go. By load: `leastconn`, the fewest connections (`tcp`) or
        /// requests (`http`) for its weight; `random(N)`, the least loaded of N drawn by weight (1 to 16, 2 if not said);
        /// `first`, the first of the file with room below its `maxconn`. By a hash: `maglev`, of the flow, so that every
        /// balancer of a group picks the same server; `source`, of the client's address, so that all its connections meet at
        /// one server, as those of FTP must (as `maglev`; with a `hash_type` as HAProxy). Of requests (`http`) also: `uri`,
        /// the target up to the query, with `whole` also that, with `path_only` without an authority, with `len N` its first
        /// N bytes, with `depth N` its first N directories; `url_param(NAME)`, a parameter of the query; `hdr(NAME)`, a
        /// field's first value, with `use_domain_only` only `example` of `www.example.com`. `hash EXPRESSION`: what an ACL could
        /// look at, with converters (`hash req.cook(user)`, `hash path,lower`); in `tcp` what a connection knows, and what its
        /// rules have waited for. Where there is no such key, by turns. `l4` frontends balance by `maglev` or `source`, and by
        /// `maglev` if nothing is said; else the default is `roundrobin`.
        balance: Balancing,
        /// How `source`, `uri`, `url_param`, `hdr` and `hash` pick by their key, as HAProxy's `hash-type`: `map-based` (most
        /// keys move when a server comes or goes) or `consistent` (only its own do); then `sdbm`, `djb2`, `wt6`, `crc32` or
        /// `none` (the key is a number); then `avalanche`, mixed once more. Default: "map-based sdbm"; of "consistent":
        /// "consistent sdbm avalanche".
        hash_type: HashType,
        /// How packets of `l4` frontends reach the servers. `direct`: on the same link, as they are; servers own the VIP and
        /// answer clients themselves. `nat`: address and port are rewritten; replies must pass here, so the servers' route
        /// to the clients leads here. `ipip`: in a tunnel (protocol 4 or 41), through any routers; servers own the VIP and
        /// answer clients themselves. `gue`: the same in UDP, which spreads over the servers' queues. `fullnat`: the client's
        /// address is rewritten too, so that servers need no route here, but do not see the client. Ports are mapped by
        /// `nat` and `fullnat` alone; servers of the other family are reached by `ipip` and `gue` alone. Required by `l4`
        /// frontends.
        forward: Forward,
        /// UDP port that the servers take tunnelled packets on (`gue`), 1 to 65535. Default: 6080 (IANA).
        gue_port: i64,
        /// Addresses of this machine's that servers answer to (`fullnat`), one or an array, of each family that the VIPs
        /// have; each gives room for some 64,000 connections to a server and port. Backends may share them; VIPs, servers
        /// and this machine's own packets have others. As HAProxy's `source`. Required by `fullnat`.
        source: OneOrMany<IpAddr>,
        /// Which flows the kernel half remembers: `auto`: those of slots that change hands; `full`: all, in a table that
        /// forgets the oldest when it is full. `full` is needed where the source of a `nat` server's reply does not tell
        /// its VIP; `fullnat` remembers all by itself. Default: `auto`.
        track: Track,
        /// How long a slot of the ring changes hands when servers come, go or drain, 1s to 24h: flows that send a packet
        /// within that time stay with their server. Default: 5m.
        transition: Duration,
        /// What its servers speak to `http` frontends: `h1`, or `h2`, also in clear text as gRPC servers do; HAProxy's `proto`
        /// of a server. Default: `h1`.
        proto: Proto,
        /// Which requests may go on a connection to a server that another client has used (`http`), HAProxy's `http-reuse`.
        /// `never`: none; `safe`: not the first one of a client, but those that can be repeated; `aggressive`: also a first one,
        /// on a connection that several requests have used; `always`: all. A server may close a kept connection just when it is
        /// used: then what cannot be repeated gets 502. Default: `safe`.
        http_reuse: Reuse,
        /// Servers are told who the client is by a header of the PROXY protocol, `v1` (a line of text) or `v2` (binary), before
        /// the client's first byte; checks say that they speak for themselves. HAProxy's `send-proxy` and `send-proxy-v2` of a
        /// server. Connections belong to their client then, as with `http_reuse = "never"`. Default: they are not told.
        send_proxy: SendProxy,
        /// TLS to the servers that say nothing else, as HAProxy's `default-server ssl`. Not for `l4`. Default: clear text.
        tls: ServerTls,
        /// How servers are checked. Default: not at all, they count as up.
        check: Check,
        /// `[[backend.NAME.server]]`: at least one.
        server: Vec<At<Server>>,
        /// Whether all backup servers share the traffic once no other server can take it, by `balance` and their weights, as
        /// HAProxy's `option allbackups`. Default: false, the first of them that can takes it alone.
        allbackups: bool,
        /// `acl.NAME`: as in a frontend, for the rules of this backend.
        acl: Named<OneOrMany<Text>>,
        /// `[[backend.NAME.rule]]`: what becomes of requests once they have come here, after the rules of their frontend, and of
        /// responses, before those. `http` only.
        rule: Vec<At<Rule>>,
        /// How a client is brought back to its server (`http`). Default: not at all.
        cookie: Cookie,
        /// What the values of a cookie with `dynamic` are made with, HAProxy's `dynamic-cookie-key`: whoever knows it can tell
        /// the servers' addresses by them. Required by `dynamic`.
        dynamic_cookie_key: Text,
        /// Whether a client stays with the server that its cookie names even if that is down, HAProxy's `option persist`.
        /// Default: false.
        persist: bool,
        /// Load of the backend, in requests or connections, from which servers with a `minconn` have their `maxconn`.
        /// Default: the sum of its servers' `maxconn`; HAProxy's is a tenth of what its frontends take.
        fullconn: i64,
        /// Attempts to reach a server after the first, 0 to 100. Unlike HAProxy's they come at once, and at another server if
        /// there is one. Default: 3, as HAProxy.
        retries: i64,
        /// Whether these may go to another server than the one that a cookie names, HAProxy's `option redispatch`. Default:
        /// true; HAProxy's is false.
        redispatch: bool,
        /// After which failures: `none`, `conn-failure`, `empty-response`, `junk-response`, `response-timeout`, a status of
        /// 401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504, `all-retryable-errors`; one or an array, as HAProxy's
        /// `retry-on`. After the first two words only requests are sent again of which nothing was, or which were kept whole
        /// (`http`). Default: "conn-failure".
        retry_on: OneOrMany<RetryWord>,
        /// `errorfile.STATUS`: as that of a frontend (`http`), before which it comes once a request has gone to this backend.
        errorfile: Named<Text>,
        /// Longest wait for a place at a server, HAProxy's `timeout queue`. Default: `timeout_connect`.
        timeout_queue: Duration,
        /// Longest wait for a connection to a server, HAProxy's `timeout connect`. Default: 5s.
        timeout_connect: Duration,
        /// Longest silence of a server, HAProxy's `timeout server`. Default: 60s.
        timeout_server: Duration,
        /// Longest silence of both ends once a connection only carries bytes: of a `tcp` frontend, or after a change of
        /// protocol (WebSocket); HAProxy's `timeout tunnel`. Default: the shorter one of `timeout_client` and
        /// `timeout_server`.
        timeout_tunnel: Duration,
        /// Longest silence of a server whose client has ended its half of such a connection, HAProxy's `timeout server-fin`.
        /// Default: as while both halves were open.
        timeout_server_fin: Duration,
    }
}

table! {
    /// `[[backend.NAME.server]]`.
    struct Server, "a server" {
        /// Unique in its backend. Required.
        name: Text,
        /// "address:port"; without a port: the one that the client connected to, as in HAProxy. Of a client that a header
        /// of the PROXY protocol tells of, that is the one that the header names. Required.
        address: ServerAddress,
        /// Share of the traffic relative to the other servers, 1 to 256. Default: 1, as HAProxy.
        weight: i64,
        /// Takes traffic only when no other server can; of several the first alone, unless `allbackups`. Default: false.
        backup: bool,
        /// Value of the backend's cookie for this server. Default: if that is `dynamic`, one that is made, else none: the cookie
        /// is taken away again.
        cookie: Text,
        /// Most requests (`http`) or connections (`tcp`) that it has at once, 0 to 1000000; more of them wait. Default: 0,
        /// any number, as HAProxy.
        maxconn: i64,
        /// Most of them while the backend has little to do: from here the limit rises to `maxconn` as the load rises to
        /// `fullconn`, 0 to `maxconn`. Default: 0, always `maxconn`.
        minconn: i64,
        /// Most that wait for this server alone, because a cookie or a hash names it; more go to another server. Default: 0,
        /// any number, as HAProxy.
        maxqueue: i64,
        /// Most connections that are kept while nobody uses them (`http`), a thread, 0 to 1000000; HAProxy's `pool-max-conn`.
        /// Default: 64; HAProxy's is any number.
        pool_max_conn: i64,
        /// How long one of them is kept, HAProxy's `pool-purge-delay`. Default: 4500ms, below the keep-alive time of common
        /// servers; HAProxy's is 5s.
        pool_purge_delay: Duration,
        /// How long its weight (with `roundrobin`, `leastconn`, `random` and consistent hashes) and `maxconn` rise from a
        /// hundredth to what they are once it comes back from failed checks or maintenance, 1ms to 1d; not at the start of
        /// the process, nor by a reload. `tcp` and `http`. Default: no time, as HAProxy.
        slowstart: Duration,
        /// TLS to this server; nothing of the backend's `tls` is then used. Default: that of the backend.
        tls: ServerTls,
    }
}

/// Every table with its keys, for the reference.
pub const TABLES: &[(&str, &[KnobDoc])] = &[
    ("global", Global::KNOBS),
    ("defaults", Defaults::KNOBS),
    ("frontend.NAME", Frontend::KNOBS),
    ("frontend.NAME.bind", Bind::KNOBS),
    ("frontend.NAME.bind.tls", Tls::KNOBS),
    ("frontend.NAME.rule", Rule::KNOBS),
    ("frontend.NAME.log", Log::KNOBS),
    ("frontend.NAME.capture_request", Capture::KNOBS),
    ("frontend.NAME.unique_id", UniqueId::KNOBS),
    ("frontend.NAME.rule.return", Return::KNOBS),
    ("frontend.NAME.rule.redirect", Redirect::KNOBS),
    ("frontend.NAME.rule.set_header", NameValue::KNOBS),
    ("frontend.NAME.rule.replace_header", Replace::KNOBS),
    ("frontend.NAME.rule.replace_path", ReplacePath::KNOBS),
    ("frontend.NAME.rule.auth", Auth::KNOBS),
    ("backend.NAME.rule", Rule::KNOBS),
    ("userlist.NAME", Userlist::KNOBS),
    ("userlist.NAME.user", User::KNOBS),
    ("backend.NAME", Backend::KNOBS),
    ("backend.NAME.tls", ServerTls::KNOBS),
    ("backend.NAME.check", Check::KNOBS),
    ("backend.NAME.cookie", Cookie::KNOBS),
    ("backend.NAME.server", Server::KNOBS),
    ("backend.NAME.server.tls", ServerTls::KNOBS),
];

impl File {
    /// Takes what another file says. `[global]` and `[defaults]` may be spread over files key by key; two frontends of
    /// one name are left for `validate` to refuse.
    pub(crate) fn absorb(&mut self, later: Self, out: &mut Vec<Diagnostic>) {
        absorb_table(&mut self.global, later.global, out);
        absorb_table(&mut self.defaults, later.defaults, out);
        absorb_named(&mut self.frontend, later.frontend);
        absorb_named(&mut self.backend, later.backend);
        absorb_named(&mut self.userlist, later.userlist);
    }
}

fn absorb_table<T: Table>(first: &mut Knob<T>, later: Knob<T>, out: &mut Vec<Diagnostic>) {
    match (first, later) {
        (Knob::Given(first), Knob::Given(later)) => first.value.merge(later.value, out),
        (first @ (Knob::Absent | Knob::Faulty), later) => *first = later,
        (Knob::Given(_), Knob::Absent | Knob::Faulty) => {}
    }
}

fn absorb_named<T>(first: &mut Knob<Named<T>>, later: Knob<Named<T>>) {
    match (first, later) {
        (Knob::Given(first), Knob::Given(later)) => first.value.0.extend(later.value.0),
        (first @ (Knob::Absent | Knob::Faulty), later) => *first = later,
        (Knob::Given(_), Knob::Absent | Knob::Faulty) => {}
    }
}
