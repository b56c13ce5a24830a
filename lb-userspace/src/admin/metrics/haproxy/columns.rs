//! Which columns of `show stat` HAProxy's exporter has, of which rows, and by which names.

use crate::admin::rows::Column;

/// A column as a metric.
pub(super) struct Metric {
    pub(super) column: Column,
    /// Without what it is of, and without `_total`.
    pub(super) name: &'static str,
    pub(super) is: As,
    /// The letters of the kinds of rows that HAProxy has it of.
    pub(super) on: &'static str,
    pub(super) help: &'static str,
}

/// What a number is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum As {
    Counter,
    Gauge,
    /// A gauge that is no number where nothing is known.
    Known,
    /// Milliseconds, which are exported as seconds.
    Seconds,
}

const fn of(column: Column, name: &'static str, is: As, on: &'static str, help: &'static str) -> Metric {
    Metric { column, name, is, on, help }
}

pub(super) const METRICS: &[Metric] = &[
    of(Column::Qcur, "current_queue", As::Gauge, "BS", "Number of current queued connections"),
    of(
        Column::Qmax,
        "max_queue",
        As::Gauge,
        "BS",
        "Highest value of queued connections encountered since process started",
    ),
    of(
        Column::Scur,
        "current_sessions",
        As::Gauge,
        "FBS",
        "Number of current sessions on the frontend, backend or server",
    ),
    of(
        Column::Smax,
        "max_sessions",
        As::Gauge,
        "FBS",
        "Highest value of current sessions encountered since process started",
    ),
    of(Column::Slim, "limit_sessions", As::Known, "FBS", "Frontend/listener/server's maxconn, backend's fullconn"),
    of(Column::Stot, "sessions", As::Counter, "FBS", "Total number of sessions since process started"),
    of(Column::Bin, "bytes_in", As::Counter, "FBS", "Total number of request bytes since process started"),
    of(Column::Bout, "bytes_out", As::Counter, "FBS", "Total number of response bytes since process started"),
    of(Column::Dreq, "requests_denied", As::Counter, "FB", "Total number of denied requests since process started"),
    of(Column::Dresp, "responses_denied", As::Counter, "FBS", "Total number of denied responses since process started"),
    of(Column::Ereq, "request_errors", As::Counter, "F", "Total number of invalid requests since process started"),
    of(
        Column::Econ,
        "connection_errors",
        As::Counter,
        "BS",
        "Total number of failed connections to server since process started",
    ),
    of(Column::Eresp, "response_errors", As::Counter, "BS", "Total number of invalid responses since process started"),
    of(
        Column::Wretr,
        "retry_warnings",
        As::Counter,
        "BS",
        "Total number of server connection retries since process started",
    ),
    of(
        Column::Wredis,
        "redispatch_warnings",
        As::Counter,
        "BS",
        "Total number of server redispatches since process started",
    ),
    of(
        Column::Weight,
        "weight",
        As::Gauge,
        "BS",
        "Server's effective weight, or sum of active servers' effective weights for a backend",
    ),
    of(Column::Act, "active_servers", As::Gauge, "B", "Total number of active UP servers with a non-zero weight"),
    of(Column::Bck, "backup_servers", As::Gauge, "B", "Total number of backup UP servers with a non-zero weight"),
    of(
        Column::Chkfail,
        "check_failures",
        As::Counter,
        "S",
        "Total number of failed individual health checks per server/backend, since the worker process started",
    ),
    of(
        Column::Chkdown,
        "check_up_down",
        As::Counter,
        "BS",
        "Total number of failed checks causing UP to DOWN server transitions, per server/backend, since the worker process started",
    ),
    of(
        Column::Lastchg,
        "check_last_change_seconds",
        As::Gauge,
        "BS",
        "How long ago the last server state changed, in seconds",
    ),
    of(
        Column::Downtime,
        "downtime_seconds",
        As::Counter,
        "BS",
        "Total time spent in DOWN state, for server or backend",
    ),
    of(
        Column::Qlimit,
        "queue_limit",
        As::Gauge,
        "S",
        "Limit on the number of connections in queue, for servers only (maxqueue argument)",
    ),
    of(
        Column::Throttle,
        "current_throttle",
        As::Known,
        "S",
        "Throttling ratio applied to a server's maxconn and weight during the slowstart period (0 to 100%)",
    ),
    of(
        Column::Lbtot,
        "loadbalanced",
        As::Counter,
        "BS",
        "Total number of requests routed by load balancing since process started",
    ),
    of(
        Column::RateLim,
        "limit_session_rate",
        As::Gauge,
        "F",
        "Limit on the number of sessions accepted in a second (frontend only, 'rate-limit sessions' setting)",
    ),
    of(
        Column::RateMax,
        "max_session_rate",
        As::Gauge,
        "FBS",
        "Highest value of sessions per second observed since the worker process started",
    ),
    of(Column::CheckCode, "check_code", As::Gauge, "S", "layer5-7 code, if available of the last health check"),
    of(
        Column::CheckDuration,
        "check_duration_seconds",
        As::Seconds,
        "S",
        "Total duration of the latest server health check, in seconds",
    ),
    of(
        Column::ReqRateMax,
        "http_requests_rate_max",
        As::Gauge,
        "F",
        "Highest value of http requests observed since the worker process started",
    ),
    of(Column::ReqTot, "http_requests", As::Counter, "FB", "Total number of HTTP requests processed by this object"),
    of(
        Column::CliAbrt,
        "client_aborts",
        As::Counter,
        "BS",
        "Total number of requests or connections aborted by the client since the worker process started",
    ),
    of(
        Column::SrvAbrt,
        "server_aborts",
        As::Counter,
        "BS",
        "Total number of requests or connections aborted by the server since the worker process started",
    ),
    of(
        Column::Lastsess,
        "last_session_seconds",
        As::Gauge,
        "BS",
        "How long ago some traffic was seen on this object on this worker process, in seconds",
    ),
    of(
        Column::Qtime,
        "queue_time_average_seconds",
        As::Seconds,
        "BS",
        "Avg. queue time for last 1024 successful connections",
    ),
    of(
        Column::Ctime,
        "connect_time_average_seconds",
        As::Seconds,
        "BS",
        "Avg. connect time for last 1024 successful connections",
    ),
    of(
        Column::Rtime,
        "response_time_average_seconds",
        As::Seconds,
        "BS",
        "Avg. response time for last 1024 successful connections",
    ),
    of(
        Column::Ttime,
        "total_time_average_seconds",
        As::Seconds,
        "BS",
        "Avg. total time for last 1024 successful connections",
    ),
    of(
        Column::ConnRateMax,
        "connections_rate_max",
        As::Gauge,
        "F",
        "Highest value of connections per second observed since the worker process started",
    ),
    of(
        Column::ConnTot,
        "connections",
        As::Counter,
        "F",
        "Total number of new connections accepted on this frontend since the worker process started",
    ),
    of(
        Column::Dcon,
        "denied_connections",
        As::Counter,
        "F",
        "Total number of incoming connections blocked on a listener/frontend by a tcp-request connection rule since the worker process started",
    ),
    of(
        Column::Connect,
        "connection_attempts",
        As::Counter,
        "BS",
        "Total number of outgoing connection attempts on this backend/server since the worker process started",
    ),
    of(
        Column::Reuse,
        "connection_reuses",
        As::Counter,
        "BS",
        "Total number of reused connection on this backend/server since the worker process started",
    ),
    of(Column::UsedConnCur, "used_connections_current", As::Gauge, "S", "Current number of connections in use"),
    of(
        Column::Uweight,
        "uweight",
        As::Gauge,
        "BS",
        "Server's user weight, or sum of active servers' user weights for a backend",
    ),
];
