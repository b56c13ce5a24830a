//! A flow on a living server never changes servers, whatever happens to its backend: random histories of both halves over
//! maps in memory, in which the packet path itself chooses the server of each packet.

mod clients;
mod crashing;

use super::*;
use crate::{
    dataplane::memory::MemoryMaps,
    model::{DownFlows, Failover, Server},
    plan::{
        Connections,
        testing::{backend, bind, model, server},
        transition,
    },
    servers::{Admin, By, Health, Weight},
};
use clients::{Shared, World};
use lb_common::{
    Protocol,
    vip::flags::{KEEPS, RESETS},
};
use lb_ebpf::select;
use proptest::{collection::vec, prelude::*};
use std::{cell::RefCell, rc::Rc};

const TRANSITION: Duration = Duration::from_mins(1);
const BUDGET: u32 = 20_000;
/// Longer than any history.
const DRAIN: Duration = Duration::from_hours(24);

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Health(usize, bool),
    /// All servers fail or return, but not those of the backend that is fallen back to.
    AllHealth(bool),
    Admin(usize, u8),
    /// In percent of the weight in the configuration.
    Weight(usize, u16),
    /// Which servers there are, by weight; 0: it is not configured.
    Servers([u16; 6]),
    /// One gets another address.
    Move(usize),
    /// The frontend is configured, or is not: then its VIP leaves.
    Frontend(bool),
    Restart,
    /// The daemon dies within the step that comes next, after so many writes, and the one after it has the configuration of before
    /// that step, or of after it.
    Crash(u8, bool),
    Pass(u16),
    Scan,
    /// A scan that was begun before the step that comes next.
    SlowScan,
    Table(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..8, any::<bool>()).prop_map(|(server, up)| Step::Health(server, up)),
        1 => any::<bool>().prop_map(Step::AllHealth),
        3 => (0_usize..8, 0_u8..3).prop_map(|(server, admin)| Step::Admin(server, admin)),
        2 => (0_usize..8, 0_u16..30).prop_map(|(server, tenths)| Step::Weight(server, tenths * 10)),
        2 => proptest::array::uniform6(0_u16..4).prop_map(Step::Servers),
        2 => (0_usize..6).prop_map(Step::Move),
        2 => any::<bool>().prop_map(Step::Frontend),
        1 => Just(Step::Restart),
        2 => (0_u8..24, any::<bool>()).prop_map(|(writes, new)| Step::Crash(writes, new)),
        4 => (0_u16..900).prop_map(Step::Pass),
        2 => Just(Step::Scan),
        2 => Just(Step::SlowScan),
        1 => any::<bool>().prop_map(Step::Table),
    ]
}

struct History {
    world: Shared,
    halves: Halves,
    /// Of the backend, and of the one that it falls back to.
    servers: [Vec<Server>; 2],
    /// How often each of the first six has moved.
    moves: [u8; 6],
    has_frontend: bool,
    choice: DownFlows,
}

/// The backends.
const NAMES: [&str; 2] = ["web", "web_spare"];

impl History {
    fn new(seed: u64) -> Self {
        Self::with(DownFlows::Move, seed)
    }

    /// With a choice of what becomes of flows of a server that is down.
    fn with(choice: DownFlows, seed: u64) -> Self {
        let flags = match choice {
            DownFlows::Move => 0,
            DownFlows::Keep => KEEPS,
            DownFlows::Reset => RESETS,
        };
        let world = World::new(seed, flags);
        let world = Shared(Rc::new(RefCell::new(world)));
        let halves = Halves::new(Box::new(MemoryMaps::default()), Arc::new(model(vec![], vec![])));
        let mut history =
            Self { world, halves, servers: [Vec::new(), Vec::new()], moves: [0; 6], has_frontend: true, choice };
        history.start([1; 6]);
        history
    }

    fn now(&self) -> Instant {
        self.world.0.borrow().now
    }

    /// A daemon starts over what the last one left.
    fn start(&mut self, weights: [u16; 6]) {
        let tables = self.world.0.borrow().maps.tables();
        self.halves = Halves::new(Box::new(MemoryMaps::default()), Arc::new(model(vec![], vec![])));
        self.halves.registry = self.halves.registry.take_over(&tables);
        self.halves.adopt(Box::new(self.world.clone()), tables);
        self.configure(weights);
    }

    fn configure(&mut self, weights: [u16; 6]) {
        let named = (1..).zip(weights).filter(|(_, weight)| *weight > 0);
        let moves = self.moves;
        let one = |(number, weight): (u8, u16)| {
            let place = moves.get(usize::from(number) - 1).copied().unwrap_or_default();
            Server { weight, ..server(&format!("s{number}"), &format!("10.0.{place}.{number}:80")) }
        };
        let mut servers: Vec<_> = named.map(one).collect();
        if servers.is_empty() {
            servers.push(one((1, 1)));
        }
        self.servers = [servers, vec![one((7, 1)), one((8, 2))]];
        let [mut web, mut spare] = [0, 1].map(|index| backend(NAMES[index], self.servers[index].clone()));
        (web.transition, spare.transition) = (TRANSITION, TRANSITION);
        web.failover = Failover { fallback: Some(1), flows: self.choice, ..Failover::default() };
        (web.drain_timeout, spare.drain_timeout) = (DRAIN, DRAIN);
        let bind = self.has_frontend.then(|| (bind("192.0.2.10:80", Protocol::Tcp), "web"));
        let model = Arc::new(model(vec![web, spare], bind.into_iter().collect()));
        let mut registry = self.halves.registry.clone();
        registry.follow(&self.halves.model, &model);
        registry.update(&model).unwrap();
        let live = Arc::new(self.halves.live.for_model(&model));
        self.halves.configure(model, registry, live, self.now());
        self.halves.set_next_hops((1..).zip(self.halves.needed_next_hops()).map(|(row, hop)| (hop, row)).collect());
        self.halves.rebuild(self.now());
        assert!(self.halves.settled() || self.world.0.borrow().writes_left.is_some());
    }

    /// The first six are of the backend, the others of the one that it falls back to.
    fn server(&self, server: usize) -> Option<(usize, &Server)> {
        let (index, server) = if server < 6 { (0, server) } else { (1, server - 6) };
        Some((index, self.servers[index].get(server)?))
    }

    fn stands(&mut self, server: usize, change: impl Fn(&mut Registry, u64) -> bool) {
        let Some((index, server)) = self.server(server) else { return };
        let identity = server.identity(NAMES[index]);
        if change(&mut self.halves.registry, identity) {
            let model = Arc::clone(&self.halves.model);
            self.halves.standings_changed(&[&model.backends[index]], self.now());
        }
    }

    fn set_health(&mut self, server: usize, up: bool) {
        let health = if up { Health::Up } else { Health::Down };
        self.stands(server, |registry, identity| registry.set_health(identity, health));
    }

    /// Time goes by, with traffic, and the daemon does what is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            let step = (end - self.now()).min(Duration::from_secs(2));
            self.pass_with(step, |world| {
                world.speak();
                world.traffic(2);
            });
            self.halves.note_refused(self.now());
        }
    }

    /// Time goes by in which that happens, and then the daemon does what is due.
    fn pass_with(&mut self, time: Duration, happens: impl FnOnce(&mut World)) {
        {
            let mut world = self.world.0.borrow_mut();
            world.pass(time);
            happens(&mut world);
        }
        let now = self.now();
        if self.halves.due().is_some_and(|due| due <= now) {
            self.halves.rebuild(now);
        }
    }

    fn count(&self) -> (Census, Instant, BTreeSet<ServerId>) {
        let resting = self.halves.resting(self.now());
        let mut world = self.world.0.borrow_mut();
        world.expire(&resting);
        let mut census = Census::default();
        for flow in world.path.v4.flows.borrow().values() {
            census.count_flow(flow.ring, flow.slot, flow.server);
        }
        census.connections = Some(Connections::default());
        (census, world.now, resting)
    }

    /// What was counted arrives.
    fn counted(&mut self, (census, begun, resting): (Census, Instant, BTreeSet<ServerId>)) {
        self.halves.counted(census, begun, &resting, self.now());
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Health(server, up) => self.set_health(server, up),
            Step::AllHealth(up) => (0..6).for_each(|server| self.set_health(server, up)),
            Step::Admin(server, admin) => {
                let admin = [Admin::Ready, Admin::Drain, Admin::Maint][usize::from(admin)];
                self.stands(server, |registry, identity| registry.set_admin(identity, admin, By::Operator));
            }
            Step::Weight(server, percent) => {
                let Some((_, known)) = self.server(server) else { return };
                let known = known.clone();
                self.stands(server, |registry, identity| {
                    registry.set_weight(identity, &known, Weight::Percent(percent), By::Agent)
                });
            }
            Step::Servers(weights) => self.configure(weights),
            Step::Frontend(is_configured) => {
                self.has_frontend = is_configured;
                self.configure(self.weights());
            }
            Step::Move(server) => {
                self.moves[server] = self.moves[server].wrapping_add(1);
                self.configure(self.weights());
            }
            Step::Restart => {
                let weights = self.weights();
                self.start(weights);
            }
            Step::Crash(..) => {}
            Step::Pass(tenths) => self.pass(Duration::from_millis(100) * tenths.into()),
            Step::Scan | Step::SlowScan => {
                let counted = self.count();
                self.counted(counted);
            }
            Step::Table(takes) => {
                self.pass(Duration::from_secs(1)); // until the ring has followed what happened
                self.world.0.borrow_mut().path.track_budget = if takes { BUDGET } else { 0 };
            }
        }
        self.world.0.borrow_mut().traffic(16);
    }

    fn weights(&self) -> [u16; 6] {
        let weight = |number: usize| {
            let name = format!("s{number}");
            self.servers[0].iter().find(|server| server.name == name).map_or(0, |server| server.weight)
        };
        [1, 2, 3, 4, 5, 6].map(weight)
    }

    fn run(&mut self, steps: &[Step]) {
        self.world.0.borrow_mut().traffic(200);
        let mut slow = None;
        let mut crash = None;
        for step in steps {
            if matches!(step, Step::SlowScan) {
                slow = Some(self.count());
                continue;
            }
            if let Step::Crash(writes, new) = *step {
                crash = Some((writes.into(), new));
                continue;
            }
            match crash.take() {
                Some((writes, new)) => {
                    self.crash(step, writes, new);
                    slow = None; // Who counted is dead.
                }
                None => self.step(step),
            }
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

    #[test]
    fn nor_does_one_on_a_server_that_is_down_where_flows_are_kept(steps in vec(any_step(), 1..40), seed: u64) {
        History::with(DownFlows::Keep, seed).run(&steps);
    }

    #[test]
    fn where_flows_are_reset_those_of_living_servers_are_not(steps in vec(any_step(), 1..40), seed: u64) {
        History::with(DownFlows::Reset, seed).run(&steps);
    }
}

#[test]
fn the_planner_looks_as_far_along_the_chain_as_the_packet_path() {
    assert_eq!(transition::TRIES, select::TRIES);
}

/// The names of servers that slots of the ring name, as owner or for their flows of before.
fn named(history: &History) -> BTreeSet<String> {
    let of = |server: &Server| history.halves.registry.server_id(server.identity("web")).unwrap();
    let named = history.servers[0].iter().filter(|server| history.halves.is_named(1, of(server)));
    named.map(|server| server.name.clone()).collect()
}

#[test]
fn all_transitions_end_and_a_drained_server_is_left_with_nothing() {
    let mut history = History::new(7);
    history.world.0.borrow_mut().traffic(2_000);
    history.step(&Step::Admin(0, 1));
    history.pass(Duration::from_secs(2));
    assert!(named(&history).contains("s1"), "its flows are still there");
    history.pass(TRANSITION + Duration::from_secs(2));
    assert!(!named(&history).contains("s1"));
    let id = history.halves.registry.server_id(history.servers[0][0].identity("web")).unwrap();
    let (census, ..) = history.count();
    assert!(census.held_by(id).flows > 10, "{:?}", census.held_by(id));

    // The clients go, one after the other, and then nothing is tracked any more.
    history.world.0.borrow_mut().open.clear();
    history.pass(Duration::from_secs(2));
    history.step(&Step::Scan);
    history.pass(Duration::from_secs(1));
    let (mut census, ..) = history.count();
    census.connections = None;
    assert!(!history.halves.in_transition() && census == Census::default());
}

#[test]
fn a_removed_server_keeps_its_flows_until_the_last_has_ended_or_its_time_is_over() {
    for ends in [true, false] {
        let mut history = History::new(13);
        history.world.0.borrow_mut().traffic(2_000);
        let removed = history.servers[0][0].identity("web");
        let has_row = |history: &History| history.halves.tables().servers.values().any(|row| row.identity == removed);
        history.step(&Step::Servers([0, 1, 1, 1, 1, 1]));
        history.pass(TRANSITION * 2);
        history.step(&Step::Scan);
        let flows = history.world.0.borrow().servers().into_iter().filter(|server| *server == removed).count();
        assert!(flows > 10 && has_row(&history) && !history.halves.have_left(), "{flows}");
        if ends {
            history.world.0.borrow_mut().open.clear();
            // A count says nothing that was begun just after a ring was written.
            for _ in 0..5 {
                history.pass(Duration::from_secs(4));
                history.step(&Step::Scan);
            }
        } else {
            history.pass_with(DRAIN, |world| world.open.clear());
        }
        history.pass(Duration::from_secs(1));
        assert!(!has_row(&history) && history.halves.have_left() && history.halves.leaving().is_none());
    }
}

#[test]
fn flows_that_are_silent_while_servers_are_out_of_reach_find_them_again() {
    for (failing, returning) in [(vec![2], vec![2]), (vec![0, 1, 2, 3, 4, 5], vec![3, 1, 0, 5, 2, 4])] {
        let mut history = History::new(9);
        history.world.0.borrow_mut().traffic(2_000);
        let before = history.world.0.borrow().open.clone();
        for (servers, health) in [(failing, Health::Down), (returning, Health::Up)] {
            for server in servers {
                history.set_health(server, health == Health::Up);
                history.pass_with(Duration::from_millis(30), |_| {});
                history.world.0.borrow_mut().traffic(80);
            }
            history.pass_with(Duration::from_secs(1), |_| {});
        }
        let mut world = history.world.0.borrow_mut();
        let opened_meanwhile = world.open.keys().filter(|key| !before.contains_key(key)).count();
        assert!(before.len() > 400 && opened_meanwhile > 40, "{} and {opened_meanwhile} flows", before.len());
        world.open.extend(before);
        world.send_all();
    }
}

#[test]
fn while_all_servers_are_out_new_flows_go_to_the_backend_that_is_fallen_back_to_and_stay_there() {
    let mut history = History::new(11);
    history.world.0.borrow_mut().traffic(400);
    history.step(&Step::AllHealth(false));
    history.pass_with(Duration::from_secs(1), |_| {});
    history.world.0.borrow_mut().traffic(400);
    let spares: BTreeSet<_> = history.servers[1].iter().map(|server| server.identity(NAMES[1])).collect();
    let at = |history: &History| history.world.0.borrow().servers();
    assert!(at(&history).len() > 50 && at(&history).iter().all(|server| spares.contains(server)));
    // The servers are back: what is open stays where it is, what is new goes to them.
    history.step(&Step::AllHealth(true));
    history.pass(TRANSITION * 2);
    history.world.0.borrow_mut().traffic(400);
    let (kept, others): (Vec<_>, Vec<_>) = at(&history).into_iter().partition(|server| spares.contains(server));
    assert!(kept.len() > 50 && others.len() > 50, "{} stayed, {} are new", kept.len(), others.len());
    // With the last of their flows nothing is left that is remembered.
    history.world.0.borrow_mut().open.clear();
    history.pass(Duration::from_secs(2));
    history.step(&Step::Scan);
    history.pass(Duration::from_secs(1));
    assert!(!history.halves.in_transition());
}

#[test]
fn a_removed_vip_keeps_its_flows_takes_no_new_ones_and_leaves_nothing_behind() {
    for restarts in [false, true] {
        let mut history = History::new(15);
        history.world.0.borrow_mut().traffic(2_000);
        history.step(&Step::Frontend(false));
        let before = history.world.0.borrow().open.len();
        history.step(&Step::Servers([1, 0, 3, 1, 1, 1]));
        history.pass(TRANSITION * 2);
        if restarts {
            history.step(&Step::Restart);
        }
        let flows = history.world.0.borrow().open.len();
        assert!(flows > 100 && flows == before, "{flows} of {before}");
        history.world.0.borrow_mut().send_all();
        history.pass_with(DRAIN, |world| world.open.clear());
        history.pass(Duration::from_secs(1));
        let tables = history.halves.tables();
        assert!(tables.vips.is_empty() && tables.rings.is_empty(), "{:?}", tables.vips);
        assert!(history.halves.due().is_none() && history.halves.registry.leaving_vips().next().is_none());
    }
}
