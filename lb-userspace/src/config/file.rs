//! The configuration as typed by the operator: every knob with its meaning, unit, default and source. Nothing here is
//! checked beyond its type; `validate` does that. The doc comments are the reference.

mod agent;
mod amount;
mod backend;
mod bind;
mod check;
mod cookie;
mod event_log;
mod frontend;
mod log;
mod resolvers;
mod rule;
mod size;
mod stats_page;
mod stats_socket;
mod tls;
mod words;

pub(crate) use agent::Agent;
pub(crate) use amount::Amount;
pub(crate) use backend::{Backend, Server};
pub(crate) use bind::{Bind, BindForm};
pub(crate) use check::{
    Check, CheckKeys, ConnectKeys, DnsKeys, ExecKeys, ExpectHeader, ExpectKeys, Expectation, FtpKeys, GrpcKeys,
    HeaderMatch, HttpKeys, HttpStepKeys, LdapKeys, MysqlDepth, MysqlKeys, OwnKeys, PgsqlDepth, PgsqlKeys, RedisKeys,
    ScriptKeys, SmtpKeys, Statuses, StepKeys, TlsKeys, UdpKeys,
};
pub(crate) use cookie::Cookie;
pub(crate) use event_log::{EventLog, EventLogForm};
pub(crate) use frontend::Frontend;
pub(crate) use log::{Capture, CaptureForm, Facility, FramingWord, Level, Log, LogForm, LogSkip, UniqueIdForm};
pub(crate) use resolvers::Resolvers;
pub(crate) use rule::{Auth, NameValue, Redirect, Replace, Return, Rule, User, Userlist};
pub(crate) use size::Size;
pub(crate) use stats_page::StatsPage;
pub(crate) use stats_socket::{StatsSocket, StatsSocketForm};
pub(crate) use tls::{ServerTls, Tls};
pub(crate) use words::{Marked, MarkedUp, Mode, ResolveOpts, RetryWord, ServerVerify, Verify};

use super::{
    error::Diagnostic,
    read::{Knob, Named, OneOrMany, Table, table},
    shape::TableShape,
    text::Text,
};
use crate::model::{MetricNames, OnStop};
use std::{net::SocketAddr, time::Duration};

table! {
    /// A whole file, or several merged.
    struct File, "the configuration" {
        /// What concerns the process, not the traffic.
        global: Global,
        /// What frontends and backends use where they do not say otherwise.
        defaults: Defaults,
        /// Who is asked for the addresses of host names.
        resolvers: Resolvers,
        /// Where clients connect, by name.
        frontend: Named<Frontend>,
        /// Where requests and packets go, by name.
        backend: Named<Backend>,
        /// Who may authenticate, by name.
        userlist: Named<Userlist>,
        /// How things stand, for people with a browser, by name.
        stats_page: Named<StatsPage>,
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
        /// Whether programs may be run to check servers (checks of type `exec`), as HAProxy's `external-check` and
        /// `insecure-fork-wanted`: by a process of its own, which there is only for them. Default: false.
        exec_checks: bool,
        /// User of that process and of the programs, another one than the worker's. A daemon that was not started by root runs
        /// them as its own. Default: `sluice-exec` where it exists, else `nobody`.
        exec_user: Text,
        /// The control socket, as HAProxy's `stats socket`. Default: "/run/sluice/sluice.sock".
        control_socket: Text,
        /// Sockets of the runtime API beside it, for those who may not do everything: a path, a table, or some of them; HAProxy's
        /// `stats socket`. Default: none.
        stats_socket: OneOrMany<StatsSocketForm>,
        /// Where maps and links are pinned, a directory below a BPF file system. Default: "/sys/fs/bpf/sluice".
        pin_dir: Text,
        /// Threads that serve connections, 1 to 1024, as HAProxy's `nbthread`. Default: one a CPU.
        threads: i64,
        /// Most connections of clients open at once, over all `tcp` and `http` frontends, 1 to 10000000; at the limit nothing
        /// is accepted, and clients wait in the kernel until one ends. HAProxy's global `maxconn`. Each needs two descriptors:
        /// where fewer are allowed, what fits is taken. Default: what the descriptors allow.
        max_connections: i64,
        /// Memory that the part of the daemon that faces the network may use, from 64MiB on. At nine tenths of it, and of what the
        /// daemon's cgroup may use (`MemoryMax=`), clients wait in the kernel, those that have nothing under way are sent away,
        /// and unused connections to servers are closed; at eight tenths, or with few clients left, all is as before. Where that
        /// does not help for ten seconds, each thread lets in ten clients a second. Files that the kernel keeps in memory do not
        /// count. HAProxy's `-m` lets allocations fail instead. Default: what the cgroup allows, if it has a limit; that always
        /// counts.
        max_memory: Size,
        /// What a stop leaves behind in the kernel: `detach` (nothing) or `keep` (packets go on being forwarded).
        /// Default: `detach`.
        on_stop: OnStop,
        /// How long connections may go on after a stop was asked for. Default: 30s.
        stop_timeout: Duration,
        /// How long connections may go on in the old process after another binary has taken over (`sluice upgrade`), as HAProxy's
        /// `hard-stop-after`. Default: until they end by themselves.
        hard_stop_after: Duration,
        /// Where `/metrics` is served, without TLS: an address that clients do not reach. Default: nowhere.
        metrics: SocketAddr,
        /// By which names, one or an array: `sluice`, ours, of everything, one series a thing; `haproxy`, those of HAProxy's own
        /// exporter (`haproxy_frontend_*`, `haproxy_backend_*`, `haproxy_server_*`, `haproxy_process_*`), of what the proxy half
        /// has, for dashboards that are there; their states are a series each. Default: `sluice`.
        metrics_names: OneOrMany<MetricNames>,
        /// Where events go: changes of servers, what operators ask for, reloads, upgrades, the kernel half. One or an array; a text is the
        /// `to` of a table. The daemon's own log has them as well. Default: nowhere.
        event_log: OneOrMany<EventLogForm>,
        /// How long the kernel half remembers a TCP flow that is silent, 1s to 7d. It remembers flows of slots that change
        /// hands (see `transition`), and all flows of `track = "full"` and `forward = "fullnat"`. Default: 1h.
        flow_timeout_tcp: Duration,
        /// The same of a UDP flow, 1s to 7d. Default: 3m, that of a UDP stream in Linux' connection tracking.
        flow_timeout_udp: Duration,
        /// Flows that the kernel half may begin to remember because their slot changes hands, each second and on each CPU,
        /// 1 to 1000000: so that a flood cannot fill the table. Flows beyond it stay with the server that the slot had
        /// before. Default: 20000.
        track_budget: i64,
        /// Silence of the daemon, 3s to 1h, after which the kernel half takes it for dead (see `daemon_down` of a frontend). It
        /// says once a second that it lives; time in which the machine sleeps does not count. Default: 10s.
        heartbeat_timeout: Duration,
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
        /// See `frontend` and `backend`.
        drain_timeout: Duration,
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

/// What a file may have, as a whole: for editors and for the reference.
pub fn layout() -> TableShape {
    File::layout()
}

impl File {
    /// Takes what another file says. `[global]`, `[defaults]` and `[resolvers]` may be spread over files key by key; two
    /// frontends of one name are left for `validate` to refuse.
    pub(crate) fn absorb(&mut self, later: Self, out: &mut Vec<Diagnostic>) {
        absorb_table(&mut self.global, later.global, out);
        absorb_table(&mut self.defaults, later.defaults, out);
        absorb_table(&mut self.resolvers, later.resolvers, out);
        absorb_named(&mut self.frontend, later.frontend);
        absorb_named(&mut self.backend, later.backend);
        absorb_named(&mut self.userlist, later.userlist);
        absorb_named(&mut self.stats_page, later.stats_page);
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
