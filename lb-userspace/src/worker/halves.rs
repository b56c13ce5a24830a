//! The one place where a verdict takes effect: the proxy's lists of servers and the kernel's maps, from one standing.
//!
//! A change goes three ways, in this order: the proxy's list of available servers (a pointer swap), the server's state
//! byte in the kernel (one write, never delayed), the ring (at most ten rebuilds a second; after [`QUIET`] of quiet at
//! once). Until the ring follows, the packet path walks past a server that is down.

use crate::{
    dataplane::writer::{MapWriter, WriteError},
    model::{Backend, Balance, Failover, Model, Server, backend},
    plan::{self, Census, Moment, Planner, Tables, Write, desired::NextHops},
    servers::{Available, Live, Registry, Rising, Stand, Throttle},
};
use lb_common::{RingId, ServerEntry, ServerId, ServerState};
use std::{collections::BTreeSet, net::IpAddr, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{error, info};

/// Ring rebuilds keep this distance.
pub const QUIET: Duration = Duration::from_millis(100);
/// After this time no packet is under way any more that read the maps as they were before a write.
const SETTLES: Duration = Duration::from_secs(1);
/// After a failed write the maps are read back and written again.
const RETRY: Duration = Duration::from_secs(1);

/// Both halves and what they are made from.
pub struct Halves {
    /// What is configured.
    pub model: Arc<Model>,
    /// Ids and standings of servers.
    pub registry: Registry,
    /// What the proxy reads.
    pub live: Arc<Live>,
    /// Servers that came up a while ago: the proxy gives them their share step by step.
    rising: Rising,
    next_hops: NextHops,
    planner: Planner,
    writer: Box<dyn MapWriter>,
    /// What the maps hold.
    current: Tables,
    /// From where the planner's times count.
    epoch: Instant,
    /// The last count of the flow table, and when it was begun.
    census: Option<(Census, Instant)>,
    /// When rows of servers were freed last.
    removed: Option<Instant>,
    /// When a ring was written last.
    rebuilt: Option<Instant>,
    /// How often that was.
    rebuilds: u64,
    due: Option<Instant>,
    settled: bool,
    /// Whether servers have left since somebody asked.
    have_left: bool,
    /// Why the last write failed, until all has been written.
    failure: Option<String>,
}

impl Halves {
    /// Over maps that are empty.
    pub fn new(writer: Box<dyn MapWriter>, model: Arc<Model>) -> Self {
        Self {
            registry: Registry::default(),
            live: Arc::new(Live::default()),
            rising: Rising::default(),
            next_hops: NextHops::new(),
            planner: Planner::default(),
            model,
            writer,
            current: Tables::default(),
            epoch: Instant::now(),
            census: None,
            removed: None,
            rebuilt: None,
            rebuilds: 0,
            due: None,
            settled: false,
            have_left: false,
            failure: None,
        }
    }

    /// Goes on with other maps, which hold `tables`. The registry of the next configuration must know of those rows.
    pub fn adopt(&mut self, writer: Box<dyn MapWriter>, tables: Tables) {
        (self.writer, self.current) = (writer, tables);
    }

    /// Changes to another configuration, whose rows `registry` has. The maps follow once [`rebuild`](Self::rebuild)
    /// finds the rings and next hops that it needs.
    pub fn configure(&mut self, model: Arc<Model>, registry: Registry, live: Arc<Live>, now: Instant) {
        (self.model, self.registry, self.live, self.settled) = (model, registry, live, false);
        self.failure = None;
        let since = self.since(now);
        self.registry.begin_leaving(since);
        self.rising.configure(&self.model, |identity| self.registry.standing(identity), since);
        let model = Arc::clone(&self.model);
        for backend in &model.backends {
            self.publish_available(backend, now);
        }
    }

    /// Lets new standings of servers of these backends take effect.
    pub fn standings_changed(&mut self, backends: &[&Backend], now: Instant) {
        let since = self.since(now);
        for backend in backends {
            for frontend in self.registry.count_quorums(&self.model, backend) {
                let (name, has_quorum) = (&frontend.name, self.registry.has_quorum(&frontend.name));
                info!(event = "quorum", frontend = name, backend = backend.name, has_quorum, "quorum changed");
            }
            self.rising.note(backend, |identity| self.registry.standing(identity), since);
            self.publish_available(backend, now);
        }
        match self.rebuilt.map(|rebuilt| rebuilt + QUIET).filter(|again| now < *again) {
            None if self.has_all() => self.rebuild(now),
            None => self.write_servers(backends, now), // The rings wait for what the supervisor was asked for.
            Some(again) => {
                self.write_servers(backends, now);
                self.due.get_or_insert(again);
            }
        }
    }

    /// When [`rise`](Self::rise) wants to be called next; `None` while all servers have their full share.
    pub fn rises(&self) -> Option<Instant> {
        self.rising.due().map(|due| self.epoch + due)
    }

    /// Lets servers that came up take a step towards their full share.
    pub fn rise(&mut self, now: Instant) {
        let stepped = self.rising.step(self.since(now));
        let is_concerned = |backend: &&Backend| {
            let rising = backend.servers.iter().filter(|server| server.slowstart.is_some());
            rising.map(|server| server.identity(&backend.name)).any(|identity| stepped.contains(&identity))
        };
        let model = Arc::clone(&self.model);
        for backend in model.backends.iter().filter(is_concerned) {
            self.publish_available(backend, now);
        }
    }

    /// How far a server has come, if it does not have its full share yet.
    pub fn throttle(&self, identity: u64, now: Instant) -> Option<Throttle> {
        self.rising.throttle(identity, self.since(now))
    }

    /// When [`rebuild`](Self::rebuild) wants to be called next.
    pub fn due(&self) -> Option<Instant> {
        // While something is missing the supervisor was asked for it, and its answer calls.
        let ends = self.planner.transitions().due().filter(|_| self.settled).map(|end| self.epoch + end);
        let ends = ends.map(|end| self.rebuilt.map_or(end, |rebuilt| end.max(rebuilt + QUIET)));
        let left = self.registry.leaving_until().filter(|_| self.settled).map(|until| self.epoch + until);
        [self.due, ends, left].into_iter().flatten().min()
    }

    /// Whether both halves have what is configured.
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Why the kernel's maps cannot be what they should be, if they cannot be written.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What the maps hold.
    pub fn tables(&self) -> &Tables {
        &self.current
    }

    /// Makes the maps what they should be, if all they need is there.
    pub fn rebuild(&mut self, now: Instant) {
        self.due = None;
        self.settled = false;
        if !self.has_all() {
            return; // The supervisor was asked, and its answer calls this again.
        }
        self.note_refused(now);
        self.end_of_time(now);
        let census = self.census.as_ref().map(|(census, begun)| (census, self.since(*begun)));
        let moment = Moment { now: self.since(now), census };
        let wanted = self.planner.desired(&self.model, &self.registry, &self.next_hops, &self.current, moment);
        self.settled = self.change_to(wanted, now);
    }

    /// How often a ring was rebuilt, or several in one step.
    pub fn rebuilds(&self) -> u64 {
        self.rebuilds
    }

    /// Notes whether the flow table refused flows lately; to be called now and then while slots change hands.
    pub fn note_refused(&mut self, now: Instant) {
        let since = self.since(now);
        match self.writer.refused() {
            Ok(total) => self.planner.transitions_mut().note_refused(total, since),
            Err(error) => error!(error = &error as &dyn std::error::Error, "cannot read what the flow table refused"),
        }
    }

    /// Whether slots change hands, or are tracked.
    pub fn in_transition(&self) -> bool {
        self.planner.transitions().any()
    }

    /// Whether a slot of that ring names that server, be it for the flows that it had before.
    pub fn is_named(&self, ring: RingId, server: ServerId) -> bool {
        let slots = self.current.rings.get(&ring).into_iter().flat_map(|ring| ring.slots.iter());
        slots.into_iter().any(|slot| slot.current() == server || slot.previous == server)
    }

    /// Rows that servers had who are gone, and that no packet finds any more: what is remembered of them can be forgotten.
    pub fn resting(&self, now: Instant) -> BTreeSet<ServerId> {
        if self.removed.is_some_and(|removed| now < removed + SETTLES) {
            return BTreeSet::new();
        }
        // Rings of VIPs that leave may name servers that left before.
        let named = if self.registry.leaving_vips().next().is_some() { self.named() } else { BTreeSet::new() };
        let is_over = |id: &ServerId| !self.current.servers.contains_key(id) && !named.contains(id);
        self.registry.resting().filter(is_over).collect()
    }

    /// The flow table was counted, and what was remembered of the servers that had the rows `forgotten` is gone.
    pub fn counted(&mut self, census: Census, begun: Instant, forgotten: &BTreeSet<ServerId>, now: Instant) {
        self.registry.release(forgotten);
        if self.removed.is_none_or(|removed| removed + SETTLES <= begun) {
            let rings = &self.current.rings;
            self.registry.release_rings(|ring| !rings.contains_key(&ring) && !census.names(ring));
        }
        let have_left = self.see_who_has_left(&census, begun);
        self.census = Some((census, begun));
        if self.settled && (have_left || self.in_transition()) {
            let soon = self.rebuilt.map_or(now, |rebuilt| now.max(rebuilt + QUIET));
            self.due.get_or_insert(soon);
        }
    }

    /// The last count of the flow table.
    pub fn census(&self) -> Option<(&Census, Instant)> {
        self.census.as_ref().map(|(census, begun)| (census, *begun))
    }

    /// Rings whose maps the supervisor must make first.
    pub fn missing_rings(&self) -> impl Iterator<Item = RingId> {
        let rings =
            self.model.kernel_backends().filter_map(|backend| self.registry.ring_id(backend::identity(&backend.name)));
        rings.filter(|ring| !self.writer.has_ring(*ring))
    }

    /// Takes the map of a ring.
    pub fn add_ring(&mut self, ring: RingId, map: OwnedFd) -> Result<(), WriteError> {
        self.writer.add_ring(ring, map)
    }

    /// Takes the rows of the servers' next hops.
    pub fn set_next_hops(&mut self, next_hops: NextHops) {
        self.next_hops = next_hops;
    }

    /// Addresses whose next hops the kernel half needs: those of the configured servers and, until the maps follow, of
    /// the servers that are in the maps.
    pub fn needed_next_hops(&self) -> Vec<IpAddr> {
        let mut addresses: BTreeSet<_> = self.configured_addresses().collect();
        if !self.settled {
            addresses.extend(self.next_hops.keys());
            let rows = self.current.servers.values().filter(|row| row.next_hop != 0);
            addresses.extend(rows.map(|row| row.addr.ip()));
        }
        addresses.extend(self.registry.leaving().map(|(.., leaving)| leaving.address.ip()));
        addresses.into_iter().collect()
    }

    /// A configured server that the supervisor has named no next hop for.
    pub fn without_next_hop(&self) -> Option<IpAddr> {
        self.configured_addresses().find(|address| !self.next_hops.contains_key(address))
    }

    /// Whether all is there that rings are made from.
    fn has_all(&self) -> bool {
        self.missing_rings().next().is_none() && self.without_next_hop().is_none()
    }

    fn configured_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let servers = self.model.kernel_backends().flat_map(|backend| &backend.servers);
        servers.filter(|server| server.is_resolved()).map(|server| server.address.ip())
    }

    /// The time since these halves began.
    fn since(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.epoch)
    }

    fn publish_available(&mut self, backend: &Backend, now: Instant) {
        let Some(live) = self.live.backend(&backend.name).map(Arc::clone) else { return };
        let may_be_other = backend.balance == Balance::Maglev && self.registry.says_anything();
        let bases = if may_be_other { self.planner.reweighed(backend, &self.registry) } else { None };
        let stands = self.registry.stands(backend);
        let takes = stands.iter().zip(&backend.servers).enumerate();
        let weights = self.registry.weights(backend);
        let takes =
            takes.zip(weights).filter_map(|((index, (stand, _)), weight)| stand.takes.then_some((index, weight)));
        let keeping = stands.iter().enumerate().filter(|(_, stand)| stand.state.forwards());
        let available = Available::new(takes).keeping(keeping.map(|(index, _)| index));
        let available = available.limited(self.registry.maxconns(backend)).in_ring(bases);
        let slow = backend.servers.iter().enumerate().filter(|(_, server)| server.slowstart.is_some());
        let throttle = |server: &Server| self.throttle(server.identity(&backend.name), now);
        let before = live.available.load_full();
        let had_others = backend.servers.iter().enumerate().any(|(index, it)| !it.backup && before.contains(index));
        live.publish(available.rising(slow.filter_map(|(index, server)| Some((index, throttle(server)?)))));
        // Whoever learns by this that its connection is cut finds the new list already.
        for (_, server) in cut(backend, &stands, had_others).zip(&live.servers).filter(|(cut, _)| *cut) {
            server.cut();
        }
    }

    /// The rows of servers that are in use already; the rings stay as they are. A server that returns waits for its ring:
    /// flows of its slots went elsewhere while it was down, and the ring must say so first.
    fn write_servers(&mut self, backends: &[&Backend], now: Instant) {
        let mut changed = Vec::new();
        for backend in backends {
            for (id, row) in self.planner.servers(backend, &self.registry, &self.next_hops) {
                let Some(known) = self.current.servers.get(&id).filter(|known| known.identity == row.identity) else {
                    continue;
                };
                let next_hop = if row.next_hop == 0 { known.next_hop } else { row.next_hop };
                let is_down = !ServerState::from_byte(known.state).forwards();
                let state = if is_down { known.state } else { row.state };
                let row = ServerEntry { next_hop, state, ..row };
                if row != *known {
                    changed.push((id, row));
                }
            }
        }
        let writes: Vec<_> = changed.iter().map(|(id, row)| Write::PutServer(*id, *row)).collect();
        match self.write(&writes) {
            Ok(()) => self.current.servers.extend(changed),
            Err(error) => self.write_failed(&error, now),
        }
    }

    fn change_to(&mut self, wanted: Tables, now: Instant) -> bool {
        let writes = plan::diff(&self.current, &wanted);
        match self.write(&writes) {
            Ok(()) => {
                if writes.iter().any(|write| matches!(write, Write::FlipRing(..))) {
                    self.rebuilt = Some(now);
                    self.rebuilds += 1;
                }
                if writes.iter().any(|write| matches!(write, Write::RemoveServer(_) | Write::RemoveRing(_))) {
                    self.removed = Some(now);
                }
                self.current = wanted;
                self.failure = None;
                true
            }
            Err(error) => {
                self.write_failed(&error, now);
                false
            }
        }
    }

    /// Nobody knows what was written.
    fn write_failed(&mut self, error: &WriteError, now: Instant) {
        (self.rebuilt, self.removed) = (Some(now), Some(now));
        self.failure = Some(error.chain());
        error!(error = error as &dyn std::error::Error, "cannot write the kernel's maps; trying again");
        self.due = Some(now + RETRY);
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let result = self.writer.apply(writes);
        if result.is_err() {
            self.current = self.writer.read()?;
        }
        result
    }
}

/// Of each server of `backend`, whether connections to it are to be cut. `had_others`: servers that are no backups took new traffic
/// before as well.
fn cut(backend: &Backend, stands: &[Stand], had_others: bool) -> impl Iterator<Item = bool> {
    let Failover { cut_down, cut_backups, .. } = backend.failover;
    let servers = || backend.servers.iter().zip(stands);
    let is_back = !had_others && servers().any(|(server, stand)| !server.backup && stand.takes);
    servers()
        .map(move |(server, stand)| (cut_down && !stand.state.forwards()) || (cut_backups && is_back && server.backup))
}

mod leaving;

#[cfg(test)]
mod keeping;
#[cfg(test)]
mod tests;
