//! What `sluice top` shows: a row for each frontend, backend and server, both halves added up, with what came since the look before.

use crate::admin::{
    kernel::{CountersReport, KernelReport},
    status::{BackendStatus, FrontendStatus, ServerStatus, Status},
};
use serde::Serialize;
use std::time::Duration;

/// How things stood at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Since the beginning.
    pub(crate) at: Duration,
    /// What the daemon says.
    pub(crate) status: Status,
    /// What the kernel half has counted; `None`: it cannot be read.
    pub(crate) kernel: Option<KernelReport>,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A frontend.
    #[default]
    Frontend,
    /// A backend.
    Backend,
    /// A server.
    Server,
}

/// Which row.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Id {
    /// What it is about.
    pub(crate) kind: Kind,
    /// Of a server: its backend's name.
    pub(crate) backend: Option<String>,
    /// Its name.
    pub(crate) name: String,
}

/// A frontend, backend or server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Which: its fields stand in the place of this one.
    #[serde(flatten)]
    pub(crate) id: Id,
    /// How it stands, in a word or two.
    pub(crate) state: String,
    /// Whether it takes new traffic.
    pub(crate) takes: bool,
    /// A server's weight as it is now.
    pub(crate) weight: Option<u16>,
    /// A server's part of its backend's ring in the kernel half: 0 to 1.
    pub(crate) share: Option<f64>,
    /// Open now in the proxy.
    pub(crate) open: u64,
    /// What is counted, a second.
    pub(crate) rates: Rates,
    /// What a server's check found last.
    pub(crate) check: String,
}

/// What came, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// Connections; of a server and backend of mode `http`, requests.
    pub(crate) connections: f64,
    /// Requests of a frontend.
    pub(crate) requests: f64,
    /// What failed, or was refused.
    pub(crate) errors: f64,
    /// Bytes from clients.
    pub(crate) bytes_in: f64,
    /// Bytes to clients, as far as they pass.
    pub(crate) bytes_out: f64,
    /// Packets of the kernel half, both ways.
    pub(crate) packets: f64,
}

/// What was ever counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    connections: u64,
    requests: u64,
    errors: u64,
    bytes_in: u64,
    bytes_out: u64,
    packets: u64,
}

impl Counts {
    fn with_kernel<'a>(self, all: impl Iterator<Item = &'a CountersReport>) -> Self {
        all.fold(self, |sum, counted| Self {
            connections: sum.connections + counted.connections,
            bytes_in: sum.bytes_in + counted.bytes,
            bytes_out: sum.bytes_out + counted.return_bytes,
            packets: sum.packets + counted.packets + counted.return_packets,
            errors: sum.errors + counted.resets,
            requests: sum.requests,
        })
    }

    fn since(self, before: Option<Self>, seconds: f64) -> Rates {
        let Some(before) = before.filter(|_| seconds > 0.0) else { return Rates::default() };
        // Counters of a daemon that was started anew begin at zero.
        let rate = |of: fn(&Self) -> u64| float(of(&self).saturating_sub(of(&before))) / seconds;
        Rates {
            connections: rate(|counts| counts.connections),
            requests: rate(|counts| counts.requests),
            errors: rate(|counts| counts.errors),
            bytes_in: rate(|counts| counts.bytes_in),
            bytes_out: rate(|counts| counts.bytes_out),
            packets: rate(|counts| counts.packets),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
const fn float(number: u64) -> f64 {
    number as f64
}

impl Sample {
    /// All rows, in the order of the configuration: frontends, then each backend with its servers.
    pub(crate) fn rows(&self, before: Option<&Self>) -> Vec<Row> {
        // With what the kernel half has counted and without it are two things.
        let before = before.filter(|before| before.kernel.is_some() == self.kernel.is_some());
        let seconds = before.map_or(0.0, |before| self.at.saturating_sub(before.at).as_secs_f64());
        let frontends = self.status.frontends.iter().map(|frontend| {
            let old = before.and_then(|before| Some(before.of_frontend(before.frontend(&frontend.name)?)));
            of_frontend(frontend, self.of_frontend(frontend).since(old, seconds))
        });
        let mut rows: Vec<_> = frontends.collect();
        for backend in &self.status.backends {
            let old = before.and_then(|before| before.backend(&backend.name).map(|old| (before, old)));
            let counted = old.map(|(before, old)| before.of_backend(old));
            rows.push(of_backend(backend, self.of_backend(backend).since(counted, seconds)));
            for server in &backend.servers {
                let old = old.and_then(|(before, old)| {
                    let old = old.servers.iter().find(|old| old.name == server.name)?;
                    Some(before.of_server(old))
                });
                let rates = self.of_server(server).since(old, seconds);
                rows.push(self.server(backend, server, rates));
            }
        }
        rows
    }

    fn frontend(&self, name: &str) -> Option<&FrontendStatus> {
        self.status.frontends.iter().find(|frontend| frontend.name == name)
    }

    fn backend(&self, name: &str) -> Option<&BackendStatus> {
        self.status.backends.iter().find(|backend| backend.name == name)
    }

    fn of_frontend(&self, frontend: &FrontendStatus) -> Counts {
        let totals = &frontend.totals;
        let counts = Counts {
            connections: totals.connections,
            requests: totals.requests,
            errors: totals.request_errors + totals.tls_errors + totals.denied_connections + totals.denied_requests,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            packets: 0,
        };
        let vips = self.kernel.iter().flat_map(|kernel| &kernel.vips);
        let own = vips.filter(|vip| vip.frontend.as_ref() == Some(&frontend.name));
        counts.with_kernel(own.map(|vip| &vip.counters))
    }

    fn of_backend(&self, backend: &BackendStatus) -> Counts {
        let totals = &backend.totals;
        let errors = totals.connect_errors + totals.response_errors + backend.no_server;
        let counts = Counts { connections: totals.total, errors, ..Counts::default() };
        counts.with_kernel(backend.servers.iter().flat_map(|server| self.counters(server)))
    }

    fn of_server(&self, server: &ServerStatus) -> Counts {
        let errors = server.connect_errors + server.totals.response_errors;
        let counts = Counts { connections: server.total, errors, ..Counts::default() };
        counts.with_kernel(self.counters(server))
    }

    /// What the kernel half counted for a server.
    fn counters(&self, server: &ServerStatus) -> impl Iterator<Item = &CountersReport> {
        let rows = self.kernel.iter().flat_map(|kernel| &kernel.servers);
        rows.filter(|row| row.id == server.id && row.name.as_ref() == Some(&server.name)).map(|row| &row.counters)
    }

    fn server(&self, backend: &BackendStatus, server: &ServerStatus, rates: Rates) -> Row {
        let mut rings = self.kernel.iter().flat_map(|kernel| &kernel.rings);
        let ring = rings.find(|ring| ring.backend.as_ref() == Some(&backend.name));
        let share = ring.map(|ring| ring.share_of(&server.name));
        let backup = if server.backup { " (backup)" } else { "" };
        Row {
            id: Id { kind: Kind::Server, backend: Some(backend.name.clone()), name: server.name.clone() },
            state: format!("{}{backup}", if server.drained { "drained" } else { &server.state }),
            takes: server.available,
            weight: Some(server.current_weight),
            share,
            open: server.connections,
            rates,
            check: server.check.as_ref().and_then(|check| check.last.clone()).unwrap_or_default(),
        }
    }
}

fn of_frontend(frontend: &FrontendStatus, rates: Rates) -> Row {
    let state = match (frontend.withdrawn, frontend.has_quorum || frontend.backend.is_none()) {
        (true, _) => "withdrawn".to_owned(),
        (false, false) => "no quorum".to_owned(),
        (false, true) => frontend.mode.clone(),
    };
    Row {
        id: Id { kind: Kind::Frontend, backend: None, name: frontend.name.clone() },
        state,
        takes: !frontend.withdrawn,
        open: frontend.connections,
        rates,
        ..Row::default()
    }
}

fn of_backend(backend: &BackendStatus, rates: Rates) -> Row {
    let available = backend.servers.iter().filter(|server| server.available).count();
    Row {
        id: Id { kind: Kind::Backend, backend: None, name: backend.name.clone() },
        state: format!("{available} of {}", backend.servers.len()),
        takes: available > 0,
        open: backend.servers.iter().map(|server| server.connections).sum(),
        rates,
        ..Row::default()
    }
}

/// A number with three digits and its size: `7`, `0.3`, `12.4k`, `1.2M`.
pub(crate) fn short(number: f64) -> String {
    const SIZES: [&str; 5] = ["", "k", "M", "G", "T"];
    let (mut number, mut sizes) = (number, SIZES.iter().peekable());
    let mut size = "";
    while let Some(next) = sizes.next() {
        size = next;
        if number < 999.5 || sizes.peek().is_none() {
            break;
        }
        number /= 1_000.0;
    }
    let digits = if number < 99.95 { format!("{number:.1}") } else { format!("{number:.0}") };
    format!("{}{size}", digits.strip_suffix(".0").unwrap_or(&digits))
}
