//! Scans of what the packet path remembers of single flows, now and then and only while there is something to look at. Each
//! runs on a thread of its own, because it may take tenths of a second; what it counted comes back to the control loop.

use crate::{
    dataplane::flows::{FlowTables, Timeouts},
    model::{Backend, Model, Track, backend},
    plan::{Census, census::Held},
    servers::Admin,
};
use lb_common::{Forward, RingId, ServerId};
use std::{collections::BTreeSet, io, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use tracing::{error, info};

use super::halves::Halves;

/// From one scan to the next.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long connections are counted for one who asked: longer than a scraper waits until it asks again.
const INTEREST: Duration = Duration::from_mins(2);

/// What there is to look at, and what was seen.
pub(super) struct Scans {
    tables: Arc<FlowTables>,
    /// The right to write them, for as long as a scan takes.
    writing: Arc<OwnedFd>,
    is_running: bool,
    begun: Option<Instant>,
    /// Until when connections are counted, because somebody asks for them now and then.
    asked: Option<Instant>,
    /// Servers of the kernel half that are in `drain`.
    draining: Vec<Draining>,
}

/// A server in `drain`.
#[derive(Clone, Debug)]
struct Draining {
    backend: String,
    server: String,
    identity: u64,
    id: ServerId,
    /// Those that may name it: its backend's, and those of backends that fall back to that.
    rings: Vec<RingId>,
    /// Whether the packet path remembers every flow of its backend.
    is_tracked: bool,
    /// Whether the kernel half has no flow of it left.
    is_drained: bool,
}

/// What a scan found.
pub(super) struct Counted {
    census: io::Result<Census>,
    begun: Instant,
    /// Rows of servers that are gone, of whom nothing is remembered now.
    forgotten: BTreeSet<ServerId>,
    /// Servers in `drain` that no slot named when the scan began.
    unnamed: BTreeSet<ServerId>,
}

impl Scans {
    pub(super) fn new(tables: FlowTables, writing: Arc<OwnedFd>) -> Self {
        Self { tables: Arc::new(tables), writing, is_running: false, begun: None, asked: None, draining: Vec::new() }
    }

    /// When the next scan is due. `None`: never, as there is nothing to look at.
    pub(super) fn due(&self, halves: &Halves) -> Option<Instant> {
        let is_wanted = !self.is_running
            && (self.is_asked(Instant::now())
                || halves.in_transition()
                || halves.registry.resting().next().is_some()
                || halves.registry.has_resting_rings()
                || halves.leaving().is_some()
                || halves.census().is_none_or(|(census, _)| census.flows != [0, 0])
                || self.draining.iter().any(|server| !server.is_drained));
        is_wanted.then(|| self.begun.map_or_else(Instant::now, |begun| begun + INTERVAL))
    }

    /// Somebody asks for what is remembered: for a while connections are counted too, if there may be any.
    pub(super) fn ask(&mut self, model: &Model) {
        self.asked = model.kernel_backends().any(is_tracked).then(|| Instant::now() + INTEREST);
    }

    fn is_asked(&self, now: Instant) -> bool {
        self.asked.is_some_and(|until| now < until)
    }

    /// Whether one is under way.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Begins a scan; `counted` gets what it finds.
    pub(super) fn begin(&mut self, halves: &mut Halves, counted: &mpsc::Sender<Counted>) {
        let begun = Instant::now();
        halves.note_refused(begun);
        let (tables, writing, counted) = (Arc::clone(&self.tables), Arc::clone(&self.writing), counted.clone());
        let timeouts =
            Timeouts { tcp: halves.model.global.flow_timeout_tcp, udp: halves.model.global.flow_timeout_udp };
        let forgotten = halves.resting(begun);
        let connections = self.is_asked(begun)
            || self.draining.iter().any(|server| server.is_tracked)
            || halves.leaving() == Some(true);
        let unnamed = self.draining.iter().filter(|server| !server.is_named(halves));
        let unnamed = unnamed.map(|server| server.id).collect();
        (self.is_running, self.begun) = (true, Some(begun));
        tokio::task::spawn_blocking(move || {
            let census = tables.scan(timeouts, &forgotten, connections);
            drop(writing);
            // A worker that ends does not wait for it.
            _ = counted.blocking_send(Counted { census, begun, forgotten, unnamed });
        });
    }

    /// Takes what a scan found.
    pub(super) fn take(&mut self, halves: &mut Halves, counted: Counted) {
        self.is_running = false;
        let Counted { census, begun, forgotten, unnamed } = counted;
        let census = match census {
            Ok(census) => census,
            Err(error) => return error!(%error, "cannot look at the flows that the kernel half remembers"),
        };
        for draining in &mut self.draining {
            let held = census.held_by(draining.id);
            let is_unnamed = unnamed.contains(&draining.id) && !draining.is_named(halves);
            let was_drained = std::mem::replace(&mut draining.is_drained, is_unnamed && held == Held::default());
            let Draining { backend, server, is_drained, .. } = draining;
            if *is_drained && !was_drained {
                info!(event = "drained", backend, server, "drained: no flow of it is left in the kernel half");
            }
        }
        halves.counted(census, begun, &forgotten, Instant::now());
    }

    /// Sees which servers are in `drain` now; to be called when that may have changed.
    pub(super) fn look(&mut self, halves: &Halves) {
        let before = std::mem::take(&mut self.draining);
        for backend in halves.model.kernel_backends() {
            let rings = rings(halves, backend);
            for server in &backend.servers {
                let identity = server.identity(&backend.name);
                if let (Admin::Drain, Some(id)) =
                    (halves.registry.standing(identity).admin, halves.registry.server_id(identity))
                {
                    let known = before.iter().find(|known| known.identity == identity);
                    self.draining.push(Draining {
                        backend: backend.name.clone(),
                        server: server.name.clone(),
                        identity,
                        id,
                        rings: rings.clone(),
                        is_tracked: is_tracked(backend),
                        is_drained: known.is_some_and(|known| known.is_drained),
                    });
                }
            }
        }
    }

    /// Whether the kernel half may have flows of a server in `drain`.
    pub(super) fn has_flows(&self, identity: u64) -> bool {
        self.draining.iter().any(|server| server.identity == identity && !server.is_drained)
    }
}

impl Draining {
    /// Whether a slot names it, be it for the flows that it had before.
    fn is_named(&self, halves: &Halves) -> bool {
        self.rings.iter().any(|ring| halves.is_named(*ring, self.id))
    }
}

/// The rings that may name servers of `backend`.
fn rings(halves: &Halves, backend: &Backend) -> Vec<RingId> {
    let chain = |index| halves.model.with_fallbacks(index).map(|(_, backend)| &backend.name);
    let users = halves.model.backends.iter().enumerate();
    let users = users.filter(|(index, _)| chain(*index).any(|name| *name == backend.name));
    users.filter_map(|(_, user)| halves.registry.ring_id(backend::identity(&user.name))).collect()
}

/// Whether the packet path remembers every flow of a backend.
fn is_tracked(backend: &Backend) -> bool {
    backend.track == Track::Full || backend.forward == Forward::FullNat
}
