//! `show info`: HAProxy's fields, at HAProxy's places. Those that nothing here is like are left out.

use super::{
    super::{
        history::{Key, small},
        naming::Naming,
    },
    Running,
};
use crate::admin::rows::{Form, Value, typed_fields};
use rustix::process::{Resource, getrlimit};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::{runtime::Handle, time::Instant};

/// Nobody has named a day yet.
const RELEASED: &str = "unreleased";

impl Running {
    pub(super) fn show_info(&mut self, words: &[String], naming: &Naming, now: Instant) -> String {
        if self.history.ask(now) {
            self.look_at_counts(now);
        }
        let uptime = self.history.uptime(now);
        let mut fields: Vec<(usize, &str, &str, Value)> = vec![
            (0, "Name", "POS", "Sluice".into()),
            (1, "Version", "POS", env!("CARGO_PKG_VERSION").into()),
            (2, "Release_date", "POS", RELEASED.into()),
            (3, "Nbthread", "CGS", small(self.halves.model.global.threads as u64).into()),
            (4, "Nbproc", "CGS", 1_u32.into()),
            (5, "Process_num", "KGP", 1_u32.into()),
            (6, "Pid", "SGP", std::process::id().into()),
            (7, "Uptime", "MDP", shown(uptime).into()),
            (8, "Uptime_sec", "MDP", small(uptime.as_secs()).into()),
        ];
        self.of_limits(&mut fields);
        self.of_traffic(&mut fields, naming);
        let started = SystemTime::now().checked_sub(uptime).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        fields.push((66, "Build info", "POS", env!("CARGO_PKG_VERSION").into()));
        if let Some(started) = started {
            fields.push((70, "Start_time_sec", "MDP", small(started.as_secs()).into()));
        }
        typed_fields(&fields, Form::of(words))
    }

    fn of_limits(&self, fields: &mut Vec<(usize, &str, &str, Value)>) {
        let global = &self.halves.model.global;
        if let Some(memory) = global.max_memory {
            fields.push((9, "Memmax_MB", "CLP", small(memory >> 20).into()));
        }
        if let Some(files) = getrlimit(Resource::Nofile).current {
            fields.push((13, "Ulimit-n", "CLP", small(files).into()));
            fields.push((14, "Maxsock", "CLP", small(files).into()));
        }
        let most = small(self.halves.live.room.limit() as u64);
        fields.push((15, "Maxconn", "CLP", most.into()));
        fields.push((16, "Hard_maxconn", "CLP", most.into()));
    }

    fn of_traffic(&self, fields: &mut Vec<(usize, &str, &str, Value)>, naming: &Naming) {
        let live = &self.halves.live;
        let frontends: Vec<_> =
            self.halves.model.frontends.iter().filter_map(|frontend| live.frontend(&frontend.name)).collect();
        let connections: u64 = frontends.iter().map(|live| live.counts.sum(|counts| &counts.opened)).sum();
        let requests: u64 = frontends.iter().map(|live| live.counts.sum(|counts| &counts.requests)).sum();
        let sent: u64 = frontends.iter().map(|live| live.counts.sum(|counts| &counts.bytes_out)).sum();
        fields.push((17, "CurrConns", "MGP", small(live.connections()).into()));
        fields.push((18, "CumConns", "MCP", small(connections).into()));
        fields.push((19, "CumReq", "MCP", small(requests).into()));
        // Nothing is spliced, so there are no pipes.
        fields.push((23, "Maxpipes", "CLP", 0_u32.into()));
        fields.push((24, "PipesUsed", "MGP", 0_u32.into()));
        fields.push((25, "PipesFree", "MGP", 0_u32.into()));
        if let Some(course) = self.history.course(&Key::Process) {
            let (rate, most) = (course.rate, course.most.rate);
            let mut rates = |at: usize, name: [&'static str; 3], tags: &'static str| {
                let [now, limit, highest] = name;
                fields.extend(rate.map(|rate| (at, now, "MRP", Value::from(rate))));
                fields.push((at + 1, limit, "CLP", 0_u32.into()));
                fields.push((at + 2, highest, tags, most.into()));
            };
            rates(26, ["ConnRate", "ConnRateLimit", "MaxConnRate"], "MMP");
            rates(29, ["SessRate", "SessRateLimit", "MaxSessRate"], "MRP");
        }
        let runtime = Handle::current().metrics();
        let tasks = runtime.num_alive_tasks() + self.threads.connections();
        fields.push((47, "Tasks", "MGP", small(tasks as u64).into()));
        fields.push((48, "Run_queue", "MGP", small(runtime.global_queue_depth() as u64).into()));
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        fields.push((50, "node", "COS", node.into()));
        fields.push((52, "Stopping", "MGP", 0_u32.into()));
        fields.push((53, "Jobs", "MGP", small(live.connections()).into()));
        let lost: u64 = self.sinks.report().iter().map(|sink| sink.lost).sum();
        fields.push((58, "DroppedLogs", "MGP", small(lost).into()));
        let failed: u64 = naming.report(Instant::now()).values().map(|host| host.failures).sum();
        fields.push((60, "FailedResolutions", "MGP", small(failed).into()));
        fields.push((61, "TotalBytesOut", "MGP", sent.into()));
    }
}

/// As HAProxy writes it: `0d 1h02m03s`.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    format!("{days}d {hours}h{:02}m{:02}s", seconds / 60 % 60, seconds % 60)
}
