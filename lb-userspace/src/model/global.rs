//! `[global]`: what concerns the process, not the traffic.

use super::log::EventLog;
use super::{StatsPage, StatsSocket};
use lb_common::hash::HashKey;
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// The usual place of the control socket.
pub const CONTROL_SOCKET: &str = "/run/sluice/sluice.sock";

/// What concerns the process. `Debug` keeps the hash key to itself.
#[derive(Clone, Eq, PartialEq)]
pub struct Global {
    /// Network interfaces that the kernel half is attached to. Not empty when an `l4` frontend exists.
    pub interfaces: Vec<String>,
    /// Key of the flow hash, equal on all balancers of a group. Default: 0, 0.
    pub hash_key: HashKey,
    /// User of the worker process. Default: `sluice` where it exists, else `nobody`.
    pub user: Option<String>,
    /// Whether programs may be run to check servers. Default: no.
    pub exec_checks: bool,
    /// User of the process that runs them, not that of the worker. Default: `sluice-exec` where it exists, else `nobody`.
    pub exec_user: Option<String>,
    /// The control socket. Default: [`CONTROL_SOCKET`].
    pub control_socket: PathBuf,
    /// Sockets of the runtime API beside it. Default: none.
    pub stats_sockets: Vec<StatsSocket>,
    /// Statistics pages, by name. Default: none.
    pub stats_pages: Vec<StatsPage>,
    /// Where maps and links are pinned, a directory below a BPF file system. Default: `/sys/fs/bpf/sluice`.
    pub pin_dir: PathBuf,
    /// Threads that serve connections. Default: one a CPU.
    pub threads: usize,
    /// Most connections of clients open at once, over all `tcp` and `http` frontends. Default: what the descriptors allow.
    pub max_connections: Option<u32>,
    /// Memory that the worker may use, in bytes. Default: what its cgroup allows.
    pub max_memory: Option<u64>,
    /// What a stop leaves behind. Default: detach.
    pub on_stop: OnStop,
    /// How long connections may go on after a stop was asked for. Default: 30 s.
    pub stop_timeout: Duration,
    /// How long they may go on after another binary has taken over. Default: for ever.
    pub hard_stop_after: Option<Duration>,
    /// Where `/metrics` is served, without TLS. Default: nowhere.
    pub metrics: Option<SocketAddr>,
    /// By which names; not empty. Default: our own.
    pub metrics_names: Vec<MetricNames>,
    /// Where events go. Default: nowhere.
    pub event_logs: Vec<EventLog>,
    /// How long an idle TCP flow is remembered by the kernel half. Default: 1 h.
    pub flow_timeout_tcp: Duration,
    /// How long an idle UDP flow is remembered by the kernel half. Default: 3 min.
    pub flow_timeout_udp: Duration,
    /// Flows that the kernel half may begin to remember, each second and on each CPU. Default: 20,000.
    pub track_budget: u32,
    /// Silence after which the kernel half takes the daemon for dead. Default: 10 s.
    pub heartbeat_timeout: Duration,
}

impl fmt::Debug for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            interfaces,
            hash_key: _,
            user,
            exec_checks,
            exec_user,
            control_socket,
            stats_sockets,
            stats_pages,
            pin_dir,
            threads,
            max_connections,
            max_memory,
            on_stop,
            stop_timeout,
            hard_stop_after,
            metrics,
            metrics_names,
            event_logs,
            flow_timeout_tcp,
            flow_timeout_udp,
            track_budget,
            heartbeat_timeout,
        } = self;
        f.debug_struct("Global")
            .field("interfaces", interfaces)
            .field("user", user)
            .field("exec_checks", exec_checks)
            .field("exec_user", exec_user)
            .field("control_socket", control_socket)
            .field("stats_sockets", stats_sockets)
            .field("stats_pages", stats_pages)
            .field("pin_dir", pin_dir)
            .field("threads", threads)
            .field("max_connections", max_connections)
            .field("max_memory", max_memory)
            .field("on_stop", on_stop)
            .field("stop_timeout", stop_timeout)
            .field("hard_stop_after", hard_stop_after)
            .field("metrics", metrics)
            .field("metrics_names", metrics_names)
            .field("event_logs", event_logs)
            .field("flow_timeout_tcp", flow_timeout_tcp)
            .field("flow_timeout_udp", flow_timeout_udp)
            .field("track_budget", track_budget)
            .field("heartbeat_timeout", heartbeat_timeout)
            .finish_non_exhaustive()
    }
}

/// What a stop leaves behind in the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnStop {
    /// Nothing: the program is detached and the pins are removed.
    #[default]
    Detach,
    /// The program and its maps: packets go on being forwarded as they were.
    Keep,
}

/// By which names metrics are exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricNames {
    /// Ours, `sluice_*`: all there is, one series a thing.
    Sluice,
    /// Those of HAProxy's own exporter, `haproxy_*`, with its labels: of what the proxy half has.
    Haproxy,
}
