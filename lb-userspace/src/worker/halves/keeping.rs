//! A flow on a living server never changes servers, whatever happens to its backend: random histories of both halves over
//! maps in memory, with a model of what the packet path does with them.

use super::*;
use crate::{
    dataplane::memory::MemoryMaps,
    model::Server,
    plan::{
        testing::{backend, bind, model, server},
        transition::TRIES,
    },
    servers::{Admin, Health, Standing},
};
use lb_common::{Protocol, SLOTS, Slot, slots::next_slot};
use proptest::{collection::vec, prelude::*};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

const TRANSITION: Duration = Duration::from_mins(1);
/// Of a scan's way: every flow sends at least one packet in this time, which is less than a transition.
const SILENCE: Duration = Duration::from_secs(50);
const RING: RingId = 1;

/// A flow that a client has open.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    slot: usize,
    port: u32,
}

/// Where a flow is, and since when it is silent.
#[derive(Clone, Copy, Debug)]
struct Open {
    server: u64,
    last: Instant,
}

/// The maps, the flow table of the packet path, and the clients.
struct Inside {
    maps: MemoryMaps,
    now: Instant,
    table: BTreeMap<Key, ServerId>,
    /// Whether the table takes flows.
    takes: bool,
    open: BTreeMap<Key, Open>,
    /// Servers of the configuration, by identity.
    configured: BTreeSet<u64>,
    ports: u32,
    random: fastrand::Rng,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Inside>>);

impl Inside {
    fn slots(&self) -> Option<plan::tables::Slots> {
        self.maps.tables().rings.get(&RING).map(|ring| Arc::clone(&ring.slots))
    }

    fn state(&self, id: ServerId) -> ServerState {
        self.maps.server(id).map_or(ServerState::Free, |row| ServerState::from_byte(row.state))
    }

    fn forwards(&self, id: ServerId) -> bool {
        self.state(id).forwards()
    }

    /// What the packet path does: `lb_ebpf::select::server`.
    fn select(&mut self, slots: &[Slot; SLOTS], key: Key, opens: bool) -> Option<ServerId> {
        let slot = slots[key.slot];
        if !slot.is_tracked() && !slot.changes_hands() && self.forwards(slot.current()) {
            return Some(slot.current());
        }
        let known = self.table.get(&key).copied();
        if let Some(known) = known.filter(|known| self.forwards(*known))
            && !(opens && self.state(known) == ServerState::Drain)
        {
            return Some(known);
        }
        let owner = if opens { slot.current() } else { slot.previous };
        let chain = || std::iter::successors(Some(key.slot), |slot| Some(next_slot(*slot))).take(TRIES);
        let chosen = if self.forwards(owner) {
            owner
        } else {
            chain().map(|slot| slots[slot].current()).find(|id| self.forwards(*id))?
        };
        let settled = !slot.changes_hands() && chosen == slot.current();
        if settled && known.is_none() {
            return Some(chosen);
        }
        if self.takes || known.is_some() {
            self.table.insert(key, chosen);
        } else {
            self.maps.refuse_flow();
            if opens && self.forwards(slot.previous) {
                return Some(slot.previous);
            }
        }
        Some(chosen)
    }

    /// A client opens a flow.
    fn open(&mut self, slots: &[Slot; SLOTS]) {
        self.ports += 1;
        let key = Key { slot: self.random.usize(..SLOTS), port: self.ports };
        if let Some(id) = self.select(slots, key, true) {
            let server = self.maps.server(id).expect("a packet goes to a server").identity;
            self.open.insert(key, Open { server, last: self.now });
        }
    }

    /// A packet of an open flow; it must go where the flow is.
    fn send(&mut self, slots: &[Slot; SLOTS], key: Key) {
        let Some(Open { server, .. }) = self.open.get(&key).copied() else { return };
        let id = self.select(slots, key, false);
        let went = id.and_then(|id| self.maps.server(id)).map(|row| row.identity);
        assert_eq!(went, Some(server), "{key:?} at {:?}: {:?}", self.now, slots[key.slot]);
        self.open.insert(key, Open { server, last: self.now });
    }

    /// What clients do between two writes of the daemon: some packets, some new flows. Flows whose server has gone or fails
    /// are over.
    fn traffic(&mut self, packets: usize) {
        let living: BTreeSet<_> = (self.maps.tables().servers.values())
            .filter(|row| ServerState::from_byte(row.state).forwards())
            .map(|row| row.identity)
            .filter(|identity| self.configured.contains(identity))
            .collect();
        self.open.retain(|_, open| living.contains(&open.server));
        let Some(slots) = self.slots() else { return };
        let keys: Vec<_> = self.open.keys().copied().collect();
        for _ in 0..packets.min(keys.len()) {
            let key = keys[self.random.usize(..keys.len())];
            self.send(&slots, key);
        }
        (0..packets / 4).for_each(|_| self.open(&slots));
    }

    /// Lets everybody who was silent for too long speak.
    fn speak(&mut self) {
        self.traffic(0);
        let Some(slots) = self.slots() else { return };
        let silent = |open: &Open, now| now - open.last + Duration::from_secs(5) > SILENCE;
        let due: Vec<_> = self.open.iter().filter(|(_, open)| silent(open, self.now)).map(|(key, _)| *key).collect();
        for key in due {
            self.send(&slots, key);
        }
    }
}

impl MapWriter for Shared {
    fn read(&mut self) -> Result<Tables, WriteError> {
        Ok(self.0.borrow().maps.tables())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let mut inside = self.0.borrow_mut();
        for write in writes {
            if let Write::ForgetFlows(id) = write {
                inside.table.retain(|_, server| server != id);
            }
            inside.maps.apply(std::slice::from_ref(write))?;
            inside.traffic(8);
        }
        Ok(())
    }

    fn refused(&self) -> Result<u64, WriteError> {
        self.0.borrow().maps.refused()
    }

    fn has_ring(&self, _: RingId) -> bool {
        true
    }

    fn add_ring(&mut self, _: RingId, _: OwnedFd) -> Result<(), WriteError> {
        Ok(())
    }
}

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Health(usize, bool),
    Admin(usize, u8),
    /// Which servers there are, by weight; 0: it is not configured.
    Servers([u16; 6]),
    Restart,
    Pass(u16),
    Scan,
    /// A scan that was begun before the step that comes next.
    SlowScan,
    Table(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..6, any::<bool>()).prop_map(|(server, up)| Step::Health(server, up)),
        3 => (0_usize..6, 0_u8..3).prop_map(|(server, admin)| Step::Admin(server, admin)),
        2 => proptest::array::uniform6(0_u16..4).prop_map(Step::Servers),
        1 => Just(Step::Restart),
        4 => (0_u16..900).prop_map(Step::Pass),
        2 => Just(Step::Scan),
        2 => Just(Step::SlowScan),
        1 => any::<bool>().prop_map(Step::Table),
    ]
}

struct History {
    inside: Shared,
    halves: Halves,
    servers: Vec<Server>,
}

impl History {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let inside = Inside {
            maps: MemoryMaps::default(),
            now,
            table: BTreeMap::new(),
            takes: true,
            open: BTreeMap::new(),
            configured: BTreeSet::new(),
            ports: 0,
            random: fastrand::Rng::with_seed(seed),
        };
        let inside = Shared(Rc::new(RefCell::new(inside)));
        let halves = Halves::new(Box::new(MemoryMaps::default()), Arc::new(model(vec![], vec![])));
        let mut history = Self { inside, halves, servers: Vec::new() };
        history.start([1; 6]);
        history
    }

    fn now(&self) -> Instant {
        self.inside.0.borrow().now
    }

    /// A daemon starts over what the last one left.
    fn start(&mut self, weights: [u16; 6]) {
        let tables = self.inside.0.borrow().maps.tables();
        self.halves = Halves::new(Box::new(MemoryMaps::default()), Arc::new(model(vec![], vec![])));
        self.halves.registry = self.halves.registry.take_over(&tables);
        self.halves.adopt(Box::new(self.inside.clone()), tables);
        self.configure(weights);
    }

    fn configure(&mut self, weights: [u16; 6]) {
        let named = (1..).zip(weights).filter(|(_, weight)| *weight > 0);
        let one = |(number, weight): (u8, u16)| Server {
            weight,
            ..server(&format!("s{number}"), &format!("10.0.0.{number}:80"))
        };
        self.servers = named.map(one).collect();
        if self.servers.is_empty() {
            self.servers.push(one((1, 1)));
        }
        let mut web = backend("web", self.servers.clone());
        web.transition = TRANSITION;
        self.inside.0.borrow_mut().configured = self.servers.iter().map(|server| server.identity("web")).collect();
        let model = Arc::new(model(vec![web], vec![(bind("192.0.2.10:80", Protocol::Tcp), "web")]));
        let mut registry = self.halves.registry.clone();
        registry.update(&model).unwrap();
        let live = Arc::new(self.halves.live.for_model(&model));
        self.halves.configure(model, registry, live);
        self.halves.set_next_hops((1..).zip(self.halves.needed_next_hops()).map(|(row, hop)| (hop, row)).collect());
        self.halves.rebuild(self.now());
        assert!(self.halves.settled());
    }

    fn stands(&mut self, server: usize, change: impl Fn(&mut Registry, u64) -> bool) {
        let Some(server) = self.servers.get(server) else { return };
        if change(&mut self.halves.registry, server.identity("web")) {
            let model = Arc::clone(&self.halves.model);
            self.halves.standing_changed(&model.backends[0], self.now());
        }
    }

    /// Time goes by, with traffic, and the daemon does what is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            {
                let mut inside = self.inside.0.borrow_mut();
                inside.now = end.min(inside.now + Duration::from_secs(2));
                inside.speak();
                inside.traffic(2);
            }
            let now = self.now();
            if self.halves.due().is_some_and(|due| due <= now) {
                self.halves.rebuild(now);
            }
            self.halves.note_refused(now);
        }
    }

    fn count(&self) -> (Census, Instant, BTreeSet<ServerId>) {
        let resting = self.halves.resting(self.now());
        let mut inside = self.inside.0.borrow_mut();
        inside.table.retain(|_, server| !resting.contains(server));
        let mut census = Census::default();
        for (key, server) in &inside.table {
            // Flows that are over are found to be idle, sooner or later.
            if inside.open.contains_key(key) {
                census.count_flow(RING, u16::try_from(key.slot).unwrap(), *server);
            }
        }
        (census, inside.now, resting)
    }

    /// What was counted arrives.
    fn counted(&mut self, (census, begun, resting): (Census, Instant, BTreeSet<ServerId>)) {
        let mut inside = self.inside.0.borrow_mut();
        // Only what was idle then and still is.
        let Inside { table, open, .. } = &mut *inside;
        table.retain(|key, _| open.contains_key(key));
        drop(inside);
        self.halves.counted(census, begun, &resting, self.now());
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Health(server, up) => {
                if up && !self.takes() {
                    self.follow();
                }
                let health = if up { Health::Up } else { Health::Down };
                self.stands(server, |registry, identity| registry.set_health(identity, health));
            }
            Step::Admin(server, admin) => {
                if admin != 2 && !self.takes() {
                    self.follow();
                }
                let admin = [Admin::Ready, Admin::Drain, Admin::Maint][usize::from(admin)];
                self.stands(server, |registry, identity| registry.set_admin(identity, admin));
            }
            Step::Servers(weights) => self.configure(weights),
            Step::Restart => {
                let weights = self.weights();
                self.start(weights);
            }
            Step::Pass(tenths) => self.pass(Duration::from_millis(100) * tenths.into()),
            Step::Scan | Step::SlowScan => {
                let counted = self.count();
                self.counted(counted);
            }
            Step::Table(takes) => {
                self.follow();
                self.inside.0.borrow_mut().takes = takes;
            }
        }
        self.inside.0.borrow_mut().traffic(16);
    }

    /// Lets the ring follow what has happened. While the table takes nothing, a server that fails does not return before
    /// that: new flows that went elsewhere for that tenth of a second are known to nobody.
    fn follow(&mut self) {
        self.pass(Duration::from_secs(1));
    }

    fn takes(&self) -> bool {
        self.inside.0.borrow().takes
    }

    fn weights(&self) -> [u16; 6] {
        let weight = |number: usize| {
            let name = format!("s{number}");
            self.servers.iter().find(|server| server.name == name).map_or(0, |server| server.weight)
        };
        [1, 2, 3, 4, 5, 6].map(weight)
    }

    fn run(&mut self, steps: &[Step]) {
        self.inside.0.borrow_mut().traffic(200);
        let mut slow = None;
        for step in steps {
            if matches!(step, Step::SlowScan) {
                slow = Some(self.count());
                continue;
            }
            self.step(step);
            if let Some(counted) = slow.take() {
                self.counted(counted);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_flow_on_a_living_server_never_changes_servers(steps in vec(any_step(), 1..40), seed: u64) {
        History::new(seed).run(&steps);
    }
}

/// The names of servers that slots of the ring name, as owner or for their flows of before.
fn named(history: &History) -> BTreeSet<String> {
    let of = |server: &Server| history.halves.registry.server_id(server.identity("web")).unwrap();
    let named = history.servers.iter().filter(|server| history.halves.is_named(of(server)));
    named.map(|server| server.name.clone()).collect()
}

#[test]
fn all_transitions_end_and_a_drained_server_is_left_with_nothing() {
    let mut history = History::new(7);
    history.inside.0.borrow_mut().traffic(2_000);
    history.step(&Step::Admin(0, 1));
    history.pass(Duration::from_secs(2));
    assert!(named(&history).contains("s1"), "its flows are still there");
    history.pass(TRANSITION + Duration::from_secs(2));
    assert!(!named(&history).contains("s1"));
    let id = history.halves.registry.server_id(history.servers[0].identity("web")).unwrap();
    let standing = history.halves.registry.standing(history.servers[0].identity("web"));
    assert_eq!(standing, Standing { admin: Admin::Drain, health: Health::Unknown });
    let (census, ..) = history.count();
    assert!(census.held_by(id).flows > 10, "{:?}", census.held_by(id));

    // The clients go, one after the other, and then nothing is tracked any more.
    history.inside.0.borrow_mut().open.clear();
    history.pass(Duration::from_secs(2));
    history.step(&Step::Scan);
    history.pass(Duration::from_secs(1));
    assert!(!history.halves.in_transition() && history.count().0 == Census::default());
}
