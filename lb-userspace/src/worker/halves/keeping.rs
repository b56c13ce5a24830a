//! A flow on a living server never changes servers, whatever happens to its backend: random histories of both halves over
//! maps in memory, in which the packet path itself chooses the server of each packet.

use super::*;
use crate::{
    dataplane::memory::MemoryMaps,
    model::Server,
    plan::{
        testing::{backend, bind, model, server},
        transition,
    },
    servers::{Admin, Health},
};
use lb_common::{Be16, Be32, Ends, Family as _, Flow, FlowKey4, Note, Protocol, RingHead, V4, Vip};
use lb_ebpf::{
    parse::L4,
    select::{self, Signs},
    testing::{MemoryRing, MemoryTables},
};
use proptest::{collection::vec, prelude::*};
use std::{cell::RefCell, collections::BTreeMap, net::Ipv4Addr, rc::Rc};

const TRANSITION: Duration = Duration::from_mins(1);
/// Every flow sends at least one packet in this time, which is less than a transition.
const SILENCE: Duration = Duration::from_secs(50);
const RING: RingId = 1;
const BUDGET: u32 = 20_000;

/// Where a flow is, and since when it is silent.
#[derive(Clone, Copy, Debug)]
struct Open {
    ends: Ends<V4>,
    server: u64,
    last: Instant,
}

/// The maps as the daemon writes them and as the packet path reads them, and the clients.
struct Inside {
    maps: MemoryMaps,
    path: MemoryTables,
    now: Instant,
    /// Flows that clients have open.
    open: BTreeMap<FlowKey4, Open>,
    /// Servers of the configuration, by identity.
    configured: BTreeSet<u64>,
    clients: u32,
    random: fastrand::Rng,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Inside>>);

impl Inside {
    /// One write of the daemon.
    fn write(&mut self, write: &Write) -> Result<(), WriteError> {
        if let Write::ForgetFlows(id) = write {
            self.path.v4.flows.borrow_mut().retain(|_, flow| flow.server != *id);
        }
        self.maps.apply(std::slice::from_ref(write))?;
        let Tables { servers, rings, .. } = self.maps.tables();
        self.path.servers = servers;
        let ring = |(id, ring): (RingId, plan::Ring)| {
            let head = RingHead { identity: ring.identity, half: 0, reserved: 0 };
            (id, MemoryRing { head, halves: [Arc::clone(&ring.slots), ring.slots] })
        };
        self.path.rings = rings.into_iter().map(ring).collect();
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.path.now.set(self.path.now.get() + u64::try_from(time.as_nanos()).unwrap());
    }

    /// The server that a packet goes to; `None`: nobody is up.
    fn select(&self, ends: &Ends<V4>, opens: bool) -> Option<u64> {
        let vip = Vip { ring: RING, ..Vip::default() };
        let (signs, checksum) = (Signs { opens, ..Signs::default() }, Be16::new(0));
        let l4 = L4 { ends: *ends, checksum, opens, agrees: opens, closes: false };
        let settled = select::settled(&self.path, &l4, &vip).expect("the tables are whole");
        let chosen = settled.map_or_else(|| select::server(&self.path, ends, signs, &vip).ok(), Some)?;
        Some(chosen.server.identity)
    }

    /// A client opens a flow.
    fn open(&mut self) {
        self.clients += 1;
        let ends = Ends {
            source: Be32::from(Ipv4Addr::from_bits(self.clients)),
            destination: Be32::from(Ipv4Addr::new(192, 0, 2, 10)),
            source_port: Be16::new(self.random.u16(1_024..)),
            destination_port: Be16::new(80),
            protocol: Protocol::Tcp,
        };
        if let Some(server) = self.select(&ends, true) {
            self.open.insert(V4::flow_key(&ends), Open { ends, server, last: self.now });
        }
    }

    /// A packet of an open flow; it must go where the flow is.
    fn send(&mut self, key: &FlowKey4) {
        let Some(&Open { ends, server, .. }) = self.open.get(key) else { return };
        let went = self.select(&ends, false);
        assert_eq!(went, Some(server), "{ends:?} at {:?}", self.now);
        self.open.insert(*key, Open { ends, server, last: self.now });
    }

    /// What clients do between two writes of the daemon: some packets, some new flows. Flows whose server has gone or fails
    /// are over.
    fn traffic(&mut self, packets: usize) {
        let living: BTreeSet<_> = (self.path.servers.values())
            .filter(|row| ServerState::from_byte(row.state).forwards())
            .map(|row| row.identity)
            .filter(|identity| self.configured.contains(identity))
            .collect();
        self.open.retain(|_, open| living.contains(&open.server));
        if self.path.rings.is_empty() {
            return;
        }
        let keys: Vec<_> = self.open.keys().copied().collect();
        for _ in 0..packets.min(keys.len()) {
            let key = keys[self.random.usize(..keys.len())];
            self.send(&key);
        }
        (0..packets / 4).for_each(|_| self.open());
    }

    /// Lets everybody speak who was silent for almost too long.
    fn speak(&mut self) {
        self.traffic(0);
        let silent = |open: &Open| self.now - open.last + Duration::from_secs(5) > SILENCE;
        let due: Vec<_> = self.open.iter().filter(|(_, open)| silent(open)).map(|(key, _)| *key).collect();
        for key in due {
            self.send(&key);
        }
    }

    /// The flow table without what is over: that is found to be idle, sooner or later.
    fn expire(&mut self, resting: &BTreeSet<ServerId>) {
        let open = &self.open;
        let keep = |key: &FlowKey4, flow: &mut Flow| open.contains_key(key) && !resting.contains(&flow.server);
        self.path.v4.flows.borrow_mut().retain(keep);
    }
}

impl MapWriter for Shared {
    fn read(&mut self) -> Result<Tables, WriteError> {
        Ok(self.0.borrow().maps.tables())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let mut inside = self.0.borrow_mut();
        writes.iter().try_for_each(|write| {
            inside.write(write)?;
            // Whom the table refuses after the plan was made and before it is carried out, nobody can know of.
            if inside.path.track_budget > 0 {
                inside.traffic(8);
            }
            Ok(())
        })
    }

    fn refused(&self) -> Result<u64, WriteError> {
        let inside = self.0.borrow();
        let counted = inside.path.counted.borrow();
        let notes = [Note::FlowsFull, Note::BudgetSpent].map(|note| counted.notes.get(&(note as u32)).copied());
        Ok(notes.into_iter().flatten().sum())
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
            path: MemoryTables::default(),
            now,
            open: BTreeMap::new(),
            configured: BTreeSet::new(),
            clients: 0,
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
                let time = (end - inside.now).min(Duration::from_secs(2));
                inside.pass(time);
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
        inside.expire(&resting);
        let mut census = Census::default();
        for flow in inside.path.v4.flows.borrow().values() {
            census.count_flow(flow.ring, flow.slot, flow.server);
        }
        (census, inside.now, resting)
    }

    /// What was counted arrives.
    fn counted(&mut self, (census, begun, resting): (Census, Instant, BTreeSet<ServerId>)) {
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
                self.inside.0.borrow_mut().path.track_budget = if takes { BUDGET } else { 0 };
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
        self.inside.0.borrow().path.track_budget > 0
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
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_flow_on_a_living_server_never_changes_servers(steps in vec(any_step(), 1..40), seed: u64) {
        History::new(seed).run(&steps);
    }
}

#[test]
fn the_planner_looks_as_far_along_the_chain_as_the_packet_path() {
    assert_eq!(transition::TRIES, select::TRIES);
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
    let (census, ..) = history.count();
    assert!(census.held_by(id).flows > 10, "{:?}", census.held_by(id));

    // The clients go, one after the other, and then nothing is tracked any more.
    history.inside.0.borrow_mut().open.clear();
    history.pass(Duration::from_secs(2));
    history.step(&Step::Scan);
    history.pass(Duration::from_secs(1));
    assert!(!history.halves.in_transition() && history.count().0 == Census::default());
}
