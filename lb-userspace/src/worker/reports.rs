//! What the worker tells about itself: a [`Status`], and the metrics made of it.

use super::{halves::Halves, naming::Naming, running::Running};
use crate::{
    admin::{
        kernel::KernelReport,
        metrics,
        protocol::{Answer, Events, Request},
        ready::{FrontendReady, Ready},
        rows::Rows,
        status::{
            AgentStatus, BackendStatus, BindStatus, CheckStatus, EventStatus, FrontendStatus, HostStatus,
            LeavingStatus, LogStatus, ServerStatus, Status, TableStatus,
        },
    },
    dataplane::heartbeat::Pulse,
    events::journal,
    health::{
        Report,
        verdicts::{AgentRecord, Record},
    },
    l7::log::SinkReport,
    model::{Backend, Frontend, MetricNames, Model, QuorumDown, Server, backend},
    plan::{Census, Connections, census::Held},
    servers::{
        Admin, By, FrontendTotals, Leaving, ServerTotals, Throttle,
        live::{Removed, RemovedWhat},
    },
};
use lb_common::maps::{MAX_CONNECTIONS4, MAX_CONNECTIONS6, MAX_FLOWS4, MAX_FLOWS6, MAX_HALF_OPEN};
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};
use tokio::time::Instant;

impl Running {
    /// How things stand now.
    pub(super) fn status(&self, naming: &Naming) -> Status {
        let model = &self.halves.model;
        let hosts = naming.report(Instant::now());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: self.source.supervisor,
            worker_pid: std::process::id(),
            generation: self.confirmed,
            ring_rebuilds: self.halves.rebuilds(),
            interfaces: self.source.interfaces.clone(),
            frontends: model.frontends.iter().map(|frontend| self.frontend_status(model, frontend)).collect(),
            backends: model.backends.iter().map(|backend| self.backend_status(backend, &hosts)).collect(),
            connections: self.threads.connections(),
            max_connections: self.halves.live.room.limit(),
            tables: self.halves.census().map(|(census, _)| table_status(census)).unwrap_or_default(),
            failovers: self.failovers.iter().cloned().collect(),
            logs: self.sinks.report().into_iter().map(log_status).collect(),
            leaving: self.leaving(Instant::now()),
            sandbox: self.sandbox,
            started_at: self.started_at,
            threads: model.global.threads,
            events: journal().counts().map(|(event, count)| EventStatus { event: event.to_owned(), count }).to_vec(),
        }
    }

    /// Servers that can serve, and all.
    pub(super) fn count_servers(&self) -> (usize, usize) {
        let Halves { model, registry, .. } = &self.halves;
        let identities = model
            .backends
            .iter()
            .flat_map(|backend| backend.servers.iter().map(|server| server.identity(&backend.name)));
        identities.fold((0, 0), |(up, all), identity| {
            (up + usize::from(registry.standing(identity).health.serves()), all + 1)
        })
    }

    /// What reloads have removed and has something left.
    fn leaving(&self, now: Instant) -> Vec<LeavingStatus> {
        let mut all: BTreeMap<(String, Option<String>), LeavingStatus> = BTreeMap::new();
        for Removed { what, until, .. } in self.halves.live.removed() {
            let (kind, name, address) = match what {
                RemovedWhat::Frontend { name, .. } => ("frontend", name.clone(), None),
                RemovedWhat::Server { backend, name, address, .. } => {
                    ("server", format!("{backend}/{name}"), Some(address.clone()))
                }
            };
            let within = until.saturating_duration_since(now).as_secs();
            let (kind, connections) = (kind.to_owned(), what.connections());
            let status = LeavingStatus { name, kind, address, connections, flows: 0, within };
            all.insert((status.name.clone(), status.address.clone()), status);
        }
        for (_, id, leaving) in self.halves.registry.leaving() {
            let Leaving { backend, server, address, until, .. } = leaving;
            let name = if server.is_empty() { String::new() } else { format!("{backend}/{server}") };
            let address = Some(address.to_string());
            let held = self.halves.census().map_or_else(Held::default, |(census, _)| census.held_by(id));
            let entry = all.entry((name.clone(), address.clone())).or_default();
            (entry.name, entry.kind, entry.address) = (name, "server".to_owned(), address);
            entry.flows = u64::from(held.flows) + u64::from(held.connections);
            entry.within = entry.within.max(self.halves.leaves_within(*until, now).as_secs());
        }
        for (vip, leaving) in self.halves.registry.leaving_vips() {
            let within = self.halves.leaves_within(leaving.until, now).as_secs();
            let (name, kind, address) = (leaving.frontend.clone(), "vip".to_owned(), Some(vip.socket().to_string()));
            let status = LeavingStatus { name, kind, address, connections: 0, flows: 0, within };
            all.insert((status.name.clone(), status.address.clone()), status);
        }
        all.into_values().collect()
    }

    /// Whether these frontends are ready to be sent traffic; all, if there are none of these.
    pub(super) fn ready(&self, asked: &[String]) -> Ready {
        let frontends = &self.halves.model.frontends;
        let is_asked = |frontend: &&Frontend| asked.is_empty() || asked.contains(&frontend.name);
        let unknown = asked.iter().filter(|name| frontends.iter().all(|frontend| frontend.name != **name));
        let found = frontends.iter().filter(is_asked).map(|frontend| self.frontend_ready(frontend)).collect();
        Ready::new(&self.source.interfaces, found, unknown.cloned().collect())
    }

    fn frontend_ready(&self, frontend: &Frontend) -> FrontendReady {
        let Halves { model, registry, .. } = &self.halves;
        let backend = frontend.default_backend().and_then(|index| model.backends.get(index));
        let found: Vec<_> = backend.into_iter().flat_map(|backend| self.checked(backend)).collect();
        let (servers, checked) = (found.len(), found.iter().filter(|checked| **checked).count());
        FrontendReady {
            name: frontend.name.clone(),
            mode: frontend.mode().to_owned(),
            backend: backend.map(|backend| backend.name.clone()),
            servers,
            checked,
            quorum: backend.map_or(0, |_| frontend.quorum.servers),
            has_quorum: registry.has_quorum(&frontend.name),
            by_checked: backend.is_none() || self.proven.is_met(frontend, checked),
        }
    }

    /// The text that a scraper reads.
    pub(super) fn metrics(&mut self, naming: &Naming) -> Answer {
        let status = self.status(naming);
        // What the operator has cleared is not cleared here: counters of metrics never fall.
        let is_wanted = self.halves.model.global.metrics_names.contains(&MetricNames::Haproxy);
        let rows = if is_wanted { self.rows_ever(Instant::now()) } else { Rows::default() };
        let kernel = match self.counters.as_ref().map(|counters| counters.totals(self.halves.tables())).transpose() {
            // Who answers here lives.
            Ok(totals) => {
                totals.map(|totals| KernelReport::new(self.halves.tables(), &totals, Pulse::default(), Some(&status)))
            }
            Err(error) => return Answer::Error(format!("cannot read the kernel's counters: {error}")),
        };
        Answer::Ok(serde_json::Value::String(metrics::text(
            (status, rows),
            kernel,
            &self.probe_to_map,
            &self.halves.model.global.metrics_names,
        )))
    }

    fn frontend_status(&self, model: &Model, frontend: &Frontend) -> FrontendStatus {
        let backend = frontend.default_backend().and_then(|index| model.backends.get(index));
        let has_quorum = self.halves.registry.has_quorum(&frontend.name);
        let live = self.halves.live.frontend(&frontend.name);
        let binds =
            frontend.binds.iter().map(|bind| BindStatus { address: bind.shown(), protocol: bind.protocol.to_string() });
        FrontendStatus {
            name: frontend.name.clone(),
            mode: frontend.mode().to_owned(),
            binds: binds.collect(),
            backend: backend.map(|backend| backend.name.clone()),
            connections: live.map_or(0, |live| live.connections()),
            maxconn: live.map_or(0, |live| live.room.limit()),
            servers: backend.map_or(0, |backend| self.halves.registry.takers(backend).count()),
            quorum: backend.map_or(0, |_| frontend.quorum.servers),
            has_quorum,
            withdrawn: !has_quorum && frontend.quorum.down == QuorumDown::Withdraw,
            totals: live.map(|live| FrontendTotals::from(&**live)).unwrap_or_default(),
        }
    }

    fn backend_status(&self, backend: &Backend, hosts: &BTreeMap<(&str, &str), HostStatus>) -> BackendStatus {
        let live = self.halves.live.backend(&backend.name);
        let (available, now) = (live.map(|live| live.available.load_full()), Instant::now());
        let servers = backend.servers.iter().enumerate().map(|(index, server)| {
            let identity = server.identity(&backend.name);
            let standing = self.halves.registry.standing(identity);
            let mut status = ServerStatus {
                name: server.name.clone(),
                address: shown(server),
                host: hosts.get(&(&*backend.name, &*server.name)).cloned(),
                id: self.halves.registry.server_id(identity).unwrap_or_default(),
                state: standing.to_string(),
                available: available.as_ref().is_some_and(|available| available.contains(index)),
                admin: standing.admin,
                health: standing.health,
                check: self.verdicts.known(identity).map(check_status),
                agent: self
                    .verdicts
                    .agent(identity)
                    .map(|agent| agent_status(agent, self.halves.registry.admin_by(identity) == By::Agent)),
                weight: server.weight,
                current_weight: self.halves.registry.weight(identity, server.weight),
                maxconn: self.halves.registry.maxconn(identity, server.limits.maxconn),
                throttle: self.halves.throttle(identity, now).map(Throttle::percent),
                backup: server.backup,
                ..ServerStatus::default()
            };
            if let Some(live) = live.and_then(|live| live.servers.get(index)) {
                status.connections = live.connections();
                status.totals = ServerTotals::from(&**live);
                (status.total, status.connect_errors) = (status.totals.total, status.totals.connect_errors);
                status.queued = live.load.0.queued.load(Relaxed) as u64;
            }
            if let Some(spell) = self.history.server(identity) {
                (status.changed, status.downtime) = (spell.age(now).into(), spell.down_seconds(now).into());
            }
            if let Some((census, _)) = self.halves.census() {
                let held = census.held_by(status.id);
                status.flows = u64::from(held.flows) + u64::from(held.connections);
            }
            let has_flows = self.scans.as_ref().is_some_and(|scans| scans.has_flows(identity));
            status.drained = standing.admin == Admin::Drain && !has_flows && status.connections == 0;
            status
        });
        BackendStatus {
            name: backend.name.clone(),
            identity: backend::identity(&backend.name),
            servers: servers.collect(),
            totals: live.map(|live| live.totals()).unwrap_or_default(),
            queued: live.map_or(0, |live| live.gate.waiting() as u64),
            no_server: live.map_or(0, |live| live.no_server.0.value()),
        }
    }
}

fn check_status(Record { last, failures, downs, health }: Record<'_>) -> CheckStatus {
    CheckStatus {
        last: last.map(Report::to_string),
        code: last.map(|report| report.finding.code.name().to_owned()),
        took_us: last.map(|report| u64::try_from(report.took.as_micros()).unwrap_or(u64::MAX)),
        failures,
        downs,
        health,
    }
}

fn agent_status(AgentRecord { last, silences, is_down }: AgentRecord<'_>, admin: bool) -> AgentStatus {
    AgentStatus {
        last: last.map(|last| last.words.clone()).filter(|words| !words.is_empty()),
        code: last.map(|last| last.code.to_owned()),
        took_us: last.map(|last| u64::try_from(last.took.as_micros()).unwrap_or(u64::MAX)),
        silences,
        down: is_down,
        admin,
    }
}

/// The last events.
pub(super) fn events(after: u64, most: usize) -> serde_json::Result<Answer> {
    let newest = *journal().newest().borrow();
    // Who knows of later ones knows another worker's.
    let events = journal().after(if after > newest { 0 } else { after }, most);
    Ok(Answer::Ok(serde_json::to_value(Events { events, newest })?))
}

/// What is answered before the first configuration has taken effect.
pub(super) fn starting(request: &Request) -> serde_json::Result<Answer> {
    const WHY: &str = "the daemon is starting";
    let not_ready = || Ready { reasons: vec![WHY.to_owned()], ..Ready::default() };
    Ok(match request {
        Request::Ready { .. } => Answer::Ok(serde_json::to_value(not_ready())?),
        Request::Events { after, most } => events(*after, *most)?,
        Request::Status
        | Request::Outline
        | Request::Metrics
        | Request::Reload { .. }
        | Request::Try { .. }
        | Request::Confirm
        | Request::Upgrade { .. }
        | Request::Server { .. }
        | Request::Runtime { .. }
        | Request::Weight { .. } => Answer::Error(WHY.to_owned()),
    })
}

/// What somebody is told who has confirmed a configuration.
pub(super) fn confirmed(was_on_trial: bool) -> Answer {
    if was_on_trial {
        Answer::Ok("confirmed: the configuration stays".into())
    } else {
        Answer::Error("nothing is on trial: what runs was confirmed already, or has gone back".to_owned())
    }
}

/// Where a server is, as far as that is known.
fn shown(server: &Server) -> String {
    match &server.host {
        Some(host) if !server.is_resolved() => format!("{}:{}", host.name, server.address.port()),
        Some(_) | None => server.address.to_string(),
    }
}

fn log_status(SinkReport { target, written, lost, failing }: SinkReport) -> LogStatus {
    LogStatus { target, written, lost, failing }
}

fn table_status(census: &Census) -> Vec<TableStatus> {
    let status = |table: &str, entries: [usize; 2], capacity: [u32; 2]| {
        let families = [4, 6].into_iter().zip(entries.into_iter().zip(capacity));
        let one = |(family, (entries, capacity))| {
            let table = table.to_owned();
            TableStatus { table, family, entries, capacity: usize::try_from(capacity).unwrap_or(usize::MAX) }
        };
        families.map(one).collect::<Vec<_>>()
    };
    let connections = census.connections.map(|Connections { established, half_open }| {
        let established = status("connections", established, [MAX_CONNECTIONS4, MAX_CONNECTIONS6]);
        [established, status("half_open", half_open, [MAX_HALF_OPEN; 2])].concat()
    });
    [status("flows", census.flows, [MAX_FLOWS4, MAX_FLOWS6]), connections.unwrap_or_default()].concat()
}
