//! What holds of any chain of plans: reloads, verdicts and restarts in any order, with so few ids that they change
//! hands all the time.

use super::{
    Moment, Planner, Ring, Tables, desired, diff,
    tables::Slots,
    testing::{backend, bind, model, server},
};
use crate::{
    dataplane::{memory::MemoryMaps, writer::MapWriter},
    model::{Backend, Endpoint, Model, backend},
    servers::{Admin, By, Health, Registry, Standing},
};
use lb_common::{Forward, Protocol, RingId, ServerId, Slot, Vip};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// A configuration, how its servers stand, and the next hops that are known.
#[derive(Clone, Debug)]
struct World {
    model: Model,
    standings: BTreeMap<u64, Standing>,
    next_hops: BTreeMap<IpAddr, u16>,
}

impl World {
    fn empty() -> Self {
        Self { model: model(vec![], vec![]), standings: BTreeMap::new(), next_hops: BTreeMap::new() }
    }

    fn enter(&self, registry: &mut Registry) {
        let resting = registry.resting().collect();
        registry.release(&resting);
        registry.release_rings(|_| true);
        registry.update(&self.model).unwrap();
        for (identity, standing) in &self.standings {
            registry.set_admin(*identity, standing.admin, By::Operator);
            registry.set_health(*identity, standing.health);
        }
    }

    /// What maps should hold that hold `current`.
    fn plan(&self, planner: &mut Planner, registry: &Registry, current: &Tables) -> Tables {
        planner.desired(&self.model, registry, &self.next_hops, current, Moment::default())
    }

    fn backend(&self, identity: u64) -> Option<&Backend> {
        self.model.backends.iter().find(|backend| backend::identity(&backend.name) == identity)
    }

    /// The identities of the servers of a backend that may take new traffic.
    fn available(&self, backend: &Backend) -> BTreeSet<u64> {
        let mut registry = tight(std::slice::from_ref(self), &Tables::default());
        self.enter(&mut registry);
        identities(backend)
            .into_iter()
            .zip(registry.stands(backend).into_iter().map(|stand| stand.takes))
            .filter_map(|(identity, takes)| takes.then_some(identity))
            .collect()
    }
}

fn any_world() -> impl Strategy<Value = World> {
    let server = (0_u8..5, 0_u8..2, 1_u16..4, any::<Index>(), proptest::bool::weighted(0.2));
    let one_backend = (vec(server, 0..5), 0_usize..3, 1_u8..4);
    (vec(one_backend, 3), vec(proptest::option::of(any::<Index>()), VIPS.len()), any::<u8>()).prop_map(
        |(backends, vips, hops)| {
            let mut standings = BTreeMap::new();
            let mut of_model = Vec::new();
            for ((servers, forward, pool), name) in backends.into_iter().zip(["api", "dns", "web"]) {
                let mut of_backend = BTreeMap::new();
                for (number, place, weight, standing, backup) in servers {
                    let mut server = server_at(name, number, place);
                    (server.weight, server.backup) = (weight, backup);
                    standings.insert(server.identity(name), *standing.get(&STANDINGS));
                    of_backend.insert(number, server);
                }
                let forward = [Forward::Direct, Forward::Nat, Forward::FullNat][forward];
                let sources = (1..=pool).map(|last| IpAddr::from([192, 0, last, name.as_bytes()[0]])).collect();
                // In the order of the file, which is not that of the names.
                let servers: Vec<_> = of_backend.into_values().rev().collect();
                if !servers.is_empty() {
                    let allbackups = pool == 1;
                    of_model.push(Backend { forward, allbackups, sources, ..backend(name, servers) });
                }
            }
            let names: Vec<_> = of_model.iter().map(|backend| backend.name.clone()).collect();
            let served = VIPS.into_iter().zip(vips).filter(|_| !names.is_empty());
            let frontends = served.filter_map(|((address, protocol), index)| {
                Some((bind(address, protocol), index?.get(&names).as_str()))
            });
            let model = model(of_model, frontends.collect());
            let servers = model.backends.iter().flat_map(|backend| &backend.servers);
            let next_hops =
                servers.zip(1..).map(|(server, row)| (server.address.ip(), row * u16::from(hops))).collect();
            World { model, standings, next_hops }
        },
    )
}

const VIPS: [(&str, Protocol); 6] = [
    ("192.0.2.1:80", Protocol::Tcp),
    ("192.0.2.1:53", Protocol::Udp),
    ("192.0.2.2:80", Protocol::Tcp),
    ("192.0.2.2:443", Protocol::Tcp),
    ("[2001:db8::80]:80", Protocol::Tcp),
    ("[2001:db8::80]:53", Protocol::Udp),
];

const STANDINGS: [Standing; 5] = [
    Standing { admin: Admin::Ready, health: Health::Up, weightless: false },
    Standing { admin: Admin::Ready, health: Health::Unknown, weightless: false },
    Standing { admin: Admin::Ready, health: Health::Down, weightless: false },
    Standing { admin: Admin::Drain, health: Health::Up, weightless: false },
    Standing { admin: Admin::Maint, health: Health::Up, weightless: false },
];

fn server_at(backend: &str, number: u8, place: u8) -> crate::model::Server {
    server(
        &format!("s{number}"),
        &format!("10.{}.{place}.{number}:80", backend.len() + usize::from(backend.as_bytes()[0])),
    )
}

/// Just as many ids as the largest of these worlds needs, so that every change makes some change hands.
fn tight(worlds: &[World], tables: &Tables) -> Registry {
    let most = |count: &dyn Fn(&Model) -> usize| {
        let most = worlds.iter().map(|world| count(&world.model)).max().unwrap_or(0);
        u32::try_from(most).unwrap() + 1
    };
    let servers = most(&|model| model.backends.iter().map(|backend| backend.servers.len()).sum());
    let rings = most(&|model| model.kernel_backends().count());
    Registry::with_rows(tables, [servers, rings, most(&|model| model.vips().len())], 99)
}

/// A change from one world to the next, and what every packet on the way must find.
struct Change<'a> {
    before: &'a World,
    after: &'a World,
    /// Which servers the slots of a ring name, as scanning them takes long.
    named: Vec<(Slots, BTreeSet<ServerId>)>,
}

impl<'a> Change<'a> {
    fn new(before: &'a World, after: &'a World) -> Self {
        Self { before, after, named: Vec::new() }
    }

    fn check(&mut self, tables: &Tables) {
        for (key, vip) in tables.vips.iter().filter(|(key, _)| !key.is_address_entry()) {
            self.check_vip(tables, *key, vip.ring);
            self.check_pool(tables, vip);
        }
        for ring in tables.rings.values() {
            self.check_ring(tables, ring);
        }
        for (source, entry) in &tables.returns {
            let address = tables.servers.get(&entry.server).map(|row| row.addr.ip());
            assert_eq!(address, Some(source.address), "{source:?} names a stranger");
        }
    }

    fn check_vip(&self, tables: &Tables, key: Endpoint, ring: RingId) {
        let entry = Endpoint::address_entry(key.address);
        assert!(tables.vips.contains_key(&entry), "{key:?} has no address entry");
        let ring = tables.rings.get(&ring).unwrap_or_else(|| panic!("{key:?} has no ring"));
        let backend = |world: &World| {
            Some(backend::identity(&world.model.backends[world.model.vips().get(&key)?.frontend.backend].name))
        };
        let meant = [self.before, self.after].map(backend);
        assert!(meant.contains(&Some(ring.identity)), "{key:?} has a stranger's ring");
    }

    /// The addresses that servers answer to are those of the backend, before or after.
    fn check_pool(&self, tables: &Tables, vip: &Vip) {
        let ring = tables.rings[&vip.ring].identity;
        let rows = vip.sources_first..vip.sources_first + vip.sources_count;
        let named: Vec<_> = rows.map(|row| tables.sources.get(&row).copied()).collect();
        let pools = [self.before, self.after].map(|world| world.backend(ring).map(|backend| backend.sources.clone()));
        let meant = |pool: &Vec<IpAddr>| pool.iter().copied().map(Some).eq(named.iter().copied());
        assert!(named.is_empty() || pools.iter().flatten().any(meant), "{named:?} is the pool of nobody");
    }

    fn check_ring(&mut self, tables: &Tables, ring: &Ring) {
        let backends = [self.before, self.after].map(|world| world.backend(ring.identity));
        let [could, can] = [(self.before, backends[0]), (self.after, backends[1])]
            .map(|(world, backend)| backend.map(|backend| world.available(backend)).unwrap_or_default());
        let members: BTreeSet<_> = backends.into_iter().flatten().flat_map(identities).collect();
        // A frontend may have had another backend.
        let before: BTreeSet<_> =
            self.before.model.backends.iter().flat_map(identities).chain(members.clone()).collect();
        for server in ring.slots.iter().map(|slot| slot.previous).collect::<BTreeSet<_>>() {
            let row = tables.servers.get(&server).map(|row| row.identity);
            assert!(server == 0 || row.is_some_and(|row| before.contains(&row)), "flows belong to stranger {server}");
        }
        for server in self.named(&ring.slots) {
            if server == 0 {
                assert!(
                    could.is_disjoint(&can),
                    "a slot has nobody, though {could:?} could take it before and {can:?} after"
                );
            } else {
                let row =
                    tables.servers.get(&server).unwrap_or_else(|| panic!("a slot names server {server}, who is gone"));
                assert!(members.contains(&row.identity), "a slot names server {server}, who is a stranger");
            }
        }
    }

    fn named(&mut self, slots: &Slots) -> BTreeSet<ServerId> {
        if let Some((_, ids)) = self.named.iter().find(|(known, _)| Arc::ptr_eq(known, slots)) {
            return ids.clone();
        }
        let ids: BTreeSet<_> = slots.iter().map(|slot| slot.current()).collect();
        self.named.push((Arc::clone(slots), ids.clone()));
        ids
    }
}

fn identities(backend: &Backend) -> Vec<u64> {
    backend.servers.iter().map(|server| server.identity(&backend.name)).collect()
}

/// Tables with names in place of ids.
fn without_ids(tables: &Tables) -> impl PartialEq + std::fmt::Debug + use<> {
    let name = |id: &ServerId| tables.servers.get(id).map(|entry| entry.identity);
    let servers: BTreeMap<_, _> = tables.servers.values().map(|entry| (entry.identity, *entry)).collect();
    let slot = |slot: &Slot| (name(&slot.current()), name(&slot.previous), slot.is_tracked());
    let ring = |ring: &Ring| (ring.identity, ring.slots.iter().map(slot).collect::<Vec<_>>());
    let rings: BTreeMap<_, _> = tables.rings.values().map(ring).collect();
    let vip = |id: u16| tables.rings.get(&id).map(|ring| ring.identity);
    let pool = |vip: &Vip| {
        let rows = vip.sources_first..vip.sources_first + vip.sources_count;
        rows.map(|row| tables.sources.get(&row).copied()).collect::<Vec<_>>()
    };
    let vips: BTreeMap<_, _> =
        tables.vips.iter().map(|(key, entry)| (*key, (entry.forward, vip(entry.ring), pool(entry)))).collect();
    let returns: BTreeMap<_, _> =
        tables.returns.iter().map(|(key, entry)| (*key, (entry.address, entry.port, name(&entry.server)))).collect();
    (servers, rings, vips, returns)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_moment_of_every_change_is_safe(worlds in vec(any_world(), 2..4)) {
        let mut maps = MemoryMaps::default();
        let mut registry = tight(&worlds, &Tables::default());
        let mut planner = Planner::default();
        let mut before = World::empty();
        for world in worlds {
            let mut change = Change::new(&before, &world);
            world.enter(&mut registry);
            let wanted = world.plan(&mut planner, &registry, &maps.tables());
            for write in diff(&maps.tables(), &wanted) {
                maps.apply(&[write]).unwrap();
                change.check(&maps.tables());
            }
            prop_assert!(maps.tables() == wanted, "the writes do not lead where they should");
            prop_assert_eq!(diff(&wanted, &wanted), []);
            before = world;
        }
    }

    #[test]
    fn what_a_failed_write_left_undone_the_next_plan_does(first in any_world(), second in any_world(), done: Index) {
        let mut maps = MemoryMaps::default();
        let mut registry = tight(&[first.clone(), second.clone()], &Tables::default());
        first.enter(&mut registry);
        let mut planner = Planner::default();
        maps.apply(&diff(&Tables::default(), &first.plan(&mut planner, &registry, &Tables::default()))).unwrap();

        second.enter(&mut registry);
        let writes = diff(&maps.tables(), &second.plan(&mut planner, &registry, &maps.tables()));
        prop_assume!(!writes.is_empty());
        maps.fail_after(Some(done.index(writes.len())));
        prop_assert!(maps.apply(&writes).is_err());
        maps.fail_after(None);
        let mut change = Change::new(&first, &second);
        let left = maps.read().unwrap();
        let wanted = second.plan(&mut planner, &registry, &left);
        for write in diff(&left, &wanted) {
            maps.apply(&[write]).unwrap();
            change.check(&maps.tables());
        }
        prop_assert!(maps.tables() == wanted);
    }

    #[test]
    fn a_restart_is_a_reload(worlds in vec(any_world(), 2..4)) {
        let mut kept = tight(&worlds, &Tables::default());
        let mut planner = Planner::default();
        let mut last = Tables::default();
        for world in &worlds {
            let mut restarted = tight(&worlds, &last);
            for registry in [&mut kept, &mut restarted] {
                world.enter(registry);
            }
            let wanted = world.plan(&mut planner, &kept, &last);
            let after_restart = world.plan(&mut Planner::default(), &restarted, &last);
            prop_assert!(without_ids(&wanted) == without_ids(&after_restart), "another plan after a restart");

            // The same model once more, all that was known being read back from the maps: ids and standings too.
            let mut restarted = tight(&worlds, &wanted);
            restarted.update(&world.model).unwrap();
            let again = world.plan(&mut Planner::default(), &restarted, &wanted);
            prop_assert!(again == wanted, "a restart changes the maps");
            last = wanted;
        }
    }

    #[test]
    fn the_order_in_the_file_does_not_count(world in any_world()) {
        let plan = |world: &World| {
            let mut registry = Registry::default();
            world.enter(&mut registry);
            desired(&world.model, &registry, &world.next_hops)
        };
        // But the first backup server is the first in the file.
        let mut world = world;
        world.model.backends.iter_mut().flat_map(|backend| &mut backend.servers).for_each(|server| server.backup = false);
        let mut turned = world.clone();
        turned.model.backends.iter_mut().for_each(|backend| backend.servers.reverse());
        prop_assert!(plan(&world) == plan(&turned));
    }
}

proptest! {
    // Each looks at every write of a change.
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn a_daemon_that_dies_after_any_write_leaves_one_generation_or_the_other_a_vip(
        first in any_world(), second in any_world(), back: bool,
    ) {
        let worlds = [first.clone(), second.clone()];
        let mut registry = tight(&worlds, &Tables::default());
        let (mut planner, mut before) = (Planner::default(), MemoryMaps::default());
        first.enter(&mut registry);
        before.apply(&diff(&Tables::default(), &first.plan(&mut planner, &registry, &Tables::default()))).unwrap();
        second.enter(&mut registry);
        let writes = diff(&before.tables(), &second.plan(&mut planner, &registry, &before.tables()));
        let mut change = Change::new(&first, &second);
        for done in 0..=writes.len() {
            let mut maps = before.clone();
            maps.apply(&writes[..done]).unwrap();
            change.check(&maps.tables());
            // The next daemon knows nothing but what it reads, and has the old configuration or the new one.
            let next = if back { &first } else { &second };
            let left = maps.tables();
            let mut registry = tight(&worlds, &left);
            next.enter(&mut registry);
            let wanted = next.plan(&mut Planner::default(), &registry, &left);
            for write in diff(&left, &wanted) {
                maps.apply(&[write]).unwrap();
                change.check(&maps.tables());
            }
            prop_assert!(maps.tables() == wanted, "after {} writes", done);
        }
    }
}
