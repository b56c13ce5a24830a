//! Ids stay, standings survive, and a full map is an error that changes nothing.

mod leaving;
mod leaving_vips;

use super::*;
use crate::{
    model::{Agent, Check, ServerName},
    plan::{
        desired,
        testing::{backend, bind, model, server, servers},
    },
};
use lb_common::Protocol;

fn web(names: &[&str]) -> Model {
    let servers = names.iter().map(|name| server(name, "10.0.0.1:80")).collect();
    model(vec![backend("web", servers)], vec![(bind("192.0.2.10:80", Protocol::Tcp), "web")])
}

fn ids(registry: &Registry, model: &Model) -> Vec<u16> {
    let backend = &model.backends[0];
    backend.servers.iter().map(|server| registry.server_id(server.identity(&backend.name)).unwrap()).collect()
}

/// A registry with this many ids for servers.
fn with_servers(room: u32) -> Registry {
    Registry::with_rows(&Tables::default(), [room + 1, 9, 9], 9)
}

#[test]
fn what_exists_keeps_its_id_and_the_last_freed_comes_last() {
    let mut registry = with_servers(4);
    let mut ids_of = |names: &[&str]| {
        let model = web(names);
        let resting = registry.resting().collect();
        registry.release(&resting);
        registry.update(&model).unwrap();
        ids(&registry, &model)
    };
    assert_eq!(ids_of(&["a", "b", "c"]), [1, 2, 3]);
    assert_eq!(ids_of(&["c", "d"]), [3, 4]);
    assert_eq!(ids_of(&["d"]), [4]);
    assert_eq!(ids_of(&["a", "b", "c", "d"]), [1, 2, 3, 4], "1 and 2 were freed before 3");
    assert_eq!(ids_of(&["e", "f"]), [1, 2]);
}

#[test]
fn the_id_of_a_server_rests_until_nothing_is_remembered_of_it() {
    let mut registry = with_servers(3);
    registry.update(&web(&["a", "b"])).unwrap();
    registry.update(&web(&["b"])).unwrap();
    assert_eq!(registry.resting().collect::<Vec<_>>(), [1]);
    registry.update(&web(&["b", "c"])).unwrap();
    assert_eq!(ids(&registry, &web(&["b", "c"])), [2, 3]);
    let error = RegistryError { rows: Rows::Servers, wanted: 3, room: 2 };
    assert_eq!(registry.update(&web(&["b", "c", "d"])), Err(error));
    registry.release(&[1].into());
    registry.update(&web(&["b", "c", "d"])).unwrap();
    assert_eq!(ids(&registry, &web(&["d"])), [1]);
}

#[test]
fn ids_do_not_follow_the_order_of_the_file() {
    let mut registry = with_servers(4);
    let model = web(&["c", "a", "b"]);
    registry.update(&model).unwrap();
    assert_eq!(ids(&registry, &model), [3, 1, 2]);
}

#[test]
fn a_server_at_another_address_is_another_server() {
    let mut registry = with_servers(4);
    registry.update(&web(&["a"])).unwrap();
    let moved = model(vec![backend("web", vec![server("a", "10.0.0.2:80")])], vec![]);
    registry.update(&moved).unwrap();
    assert_eq!(ids(&registry, &moved), [2]);
}

#[test]
fn a_full_map_is_an_error_and_changes_nothing() {
    let mut registry = with_servers(2);
    let small = web(&["a", "b"]);
    registry.update(&small).unwrap();
    registry.set_health(small.backends[0].servers[0].identity("web"), Health::Down);
    let before = desired(&small, &registry, &BTreeMap::new());
    assert_eq!(registry.update(&web(&["c", "d", "e"])), Err(RegistryError { rows: Rows::Servers, wanted: 3, room: 2 }));
    assert_eq!(desired(&small, &registry, &BTreeMap::new()), before);
    assert!(registry.update(&web(&["c", "d"])).is_ok(), "all of them may change hands");
}

#[test]
fn addresses_of_vips_need_room_too() {
    let mut registry = Registry::with_rows(&Tables::default(), [9, 9, 9], 3);
    let vips = |addresses: [&str; 2]| {
        let frontends = addresses.map(|address| (bind(address, Protocol::Tcp), "web"));
        model(vec![backend("web", servers(1))], frontends.into())
    };
    assert!(registry.update(&vips(["192.0.2.1:80", "192.0.2.1:81"])).is_ok());
    let error = registry.update(&vips(["192.0.2.1:80", "192.0.2.2:80"]));
    assert_eq!(error, Err(RegistryError { rows: Rows::VipEntries, wanted: 4, room: 3 }));
}

#[test]
fn the_kernel_has_room_for_all_rows_but_row_0() {
    let registry = Registry::default();
    let room = [registry.servers.room(), registry.rings.room(), registry.vips.room()];
    assert_eq!(room, [MAX_SERVERS, MAX_RINGS, MAX_VIPS].map(|rows| rows as usize - 1));
    assert!(!registry.servers.free.contains(&0));
}

#[test]
fn backends_that_come_and_go_take_the_rings_of_those_before_them_once_no_flow_names_them() {
    let mut registry = Registry::default();
    for turn in 0_u16..20 {
        let name = format!("backend {turn}");
        let stays = (bind("192.0.2.1:80", Protocol::Tcp), "stays");
        let goes = (bind("192.0.2.2:80", Protocol::Tcp), name.as_str());
        let both = model(vec![backend("stays", servers(1)), backend(&name, servers(1))], vec![stays, goes]);
        registry.update(&both).unwrap();
        let ring = |name: &str| registry.ring_id(backend::identity(name)).unwrap();
        let rings = [ring("stays"), ring(&name)];
        if turn < 5 {
            assert_eq!(rings.iter().max(), Some(&(turn + 2)), "flows name all of them");
            continue;
        }
        // A ring that was freed in the same change is another backend's only in the next one.
        assert!(rings.iter().all(|ring| *ring <= 7), "turn {turn}: {rings:?}");
        assert!(registry.has_resting_rings());
        if turn % 5 == 0 {
            registry = Registry::adopt(&desired(&both, &registry, &BTreeMap::new()));
            registry.rest_rings(&[1, 3].into());
            registry.release_rings(|ring| ring != 3);
            assert_eq!(registry.has_resting_rings(), !rings.contains(&3));
        }
        registry.release_rings(|_| true);
    }
}

#[test]
fn standings_survive_reload_and_restart() {
    let model = web(&["a", "b", "c"]);
    let [a, b, c] = ["a", "b", "c"].map(|name| server(name, "10.0.0.1:80").identity("web"));
    let mut registry = Registry::default();
    registry.update(&model).unwrap();
    assert!(registry.set_health(a, Health::Down));
    assert!(registry.set_admin(b, Admin::Drain, By::Operator));
    assert!(registry.set_health(b, Health::Up));
    let expected = [(Admin::Ready, Health::Down), (Admin::Drain, Health::Up), (Admin::Ready, Health::Unknown)];
    let expected = expected.map(|(admin, health)| Standing { admin, health, weightless: false });

    let mut restarted = Registry::adopt(&desired(&model, &registry, &BTreeMap::new()));
    for registry in [&mut registry, &mut restarted] {
        registry.update(&model).unwrap();
        assert_eq!([a, b, c].map(|identity| registry.standing(identity)), expected);
    }
}

#[test]
fn only_a_change_is_a_change() {
    let mut registry = Registry::default();
    registry.update(&web(&["a"])).unwrap();
    let a = server("a", "10.0.0.1:80").identity("web");
    let changes = [Health::Up, Health::Up, Health::Down].map(|health| registry.set_health(a, health));
    assert_eq!(changes, [true, false, true]);
    assert_eq!([Admin::Ready, Admin::Maint].map(|admin| registry.set_admin(a, admin, By::Operator)), [false, true]);
    assert!(!registry.set_health(1, Health::Down), "nobody has that identity");
}

#[test]
fn a_server_that_is_no_longer_checked_counts_as_up_but_stays_in_maintenance() {
    let mut model = web(&["a"]);
    let a = server("a", "10.0.0.1:80").identity("web");
    let mut registry = Registry::default();
    registry.update(&model).unwrap();
    registry.set_health(a, Health::Down);
    registry.set_admin(a, Admin::Maint, By::Operator);
    model.backends[0].check = None::<Check>;
    registry.update(&model).unwrap();
    assert_eq!(registry.standing(a), Standing { admin: Admin::Maint, health: Health::Unknown, weightless: false });
}

#[test]
fn after_a_restart_ids_above_those_in_use_come_first() {
    let mut ids = Ids::adopt([("a", 1), ("c", 3)].into_iter(), 6);
    ids.assign(&["a", "b", "c", "d", "e"]);
    assert_eq!(["a", "b", "c", "d", "e"].map(|key| ids.id(key)), [1, 4, 3, 5, 2].map(Some));
}

#[test]
fn what_was_said_survives_reload_and_goes_with_the_server_or_the_agent() {
    let mut model = web(&["a", "b"]);
    for server in &mut model.backends[0].servers {
        (server.weight, server.agent) = (10, Some(Agent::default()));
    }
    let [a, b] = [0, 1].map(|index| model.backends[0].servers[index].clone());
    let (of_a, of_b) = (a.identity("web"), b.identity("web"));
    let mut registry = Registry::default();
    registry.update(&model).unwrap();
    assert!(registry.set_weight(of_a, &a, Weight::Percent(50), By::Agent));
    assert!(!registry.set_weight(of_a, &a, Weight::Absolute(5), By::Agent), "the same in other words");
    assert!(registry.set_weight(of_a, &a, Weight::Percent(1), By::Agent));
    assert!(registry.set_maxconn(of_b, &b, 7, By::Agent));
    assert!(registry.set_admin(of_b, Admin::Drain, By::Agent));
    assert!(!registry.set_admin(of_b, Admin::Drain, By::Agent));
    assert!(!registry.set_weight(1, &a, Weight::Percent(50), By::Operator), "nobody has that identity");
    let known = |registry: &Registry| {
        let takes = [of_a, of_b].map(|identity| registry.standing(identity).takes_new());
        (registry.weights(&model.backends[0]), registry.maxconn(of_b, 0), takes, registry.admin_by(of_b))
    };
    let expected = (vec![0, 10], 7, [false, false], By::Agent);
    assert_eq!(known(&registry), expected);
    registry.update(&model).unwrap();
    assert_eq!(known(&registry), expected);

    let mut without = model.clone();
    without.backends[0].servers[1].agent = None;
    registry.update(&without).unwrap();
    assert_eq!(known(&registry), (vec![0, 10], 0, [false, true], By::Operator), "its words go with the agent");
    without.backends[0].servers[0].weight = 200;
    registry.update(&without).unwrap();
    assert_eq!(registry.weight(of_a, 200), 2, "a hundredth of what is configured now");
    assert!(registry.standing(of_a).takes_new());
    registry.update(&web(&["b"])).unwrap();
    registry.update(&model).unwrap();
    assert_eq!(registry.weights(&model.backends[0]), [10, 10], "who was gone comes back as configured");
}

#[test]
fn a_restart_knows_who_wants_an_administrative_state() {
    let mut model = web(&["a", "b"]);
    model.backends[0].servers.iter_mut().for_each(|server| server.agent = Some(Agent::default()));
    let [a, b] = [0, 1].map(|index| model.backends[0].servers[index].identity("web"));
    let mut registry = Registry::default();
    registry.update(&model).unwrap();
    registry.set_admin(a, Admin::Maint, By::Agent);
    registry.set_admin(b, Admin::Drain, By::Operator);
    let tables = desired(&model, &registry, &BTreeMap::new());
    let known = |registry: &Registry| [a, b].map(|it| (registry.standing(it).admin, registry.admin_by(it)));
    let expected = [(Admin::Maint, By::Agent), (Admin::Drain, By::Operator)];
    let mut restarted = Registry::adopt(&tables);
    restarted.update(&model).unwrap();
    assert_eq!(known(&restarted), expected);
    let mut before = Registry::default();
    before.update(&model).unwrap();
    before.set_admin(a, Admin::Maint, By::Operator);
    let mut after = before.take_over(&tables);
    after.update(&model).unwrap();
    let expected = [(Admin::Maint, By::Operator), (Admin::Ready, By::Operator)];
    assert_eq!(known(&after), expected, "who ran without the maps knows better");
    model.backends[0].servers.iter_mut().for_each(|server| server.agent = None);
    restarted.update(&model).unwrap();
    assert_eq!(known(&restarted), [(Admin::Ready, By::Operator), (Admin::Drain, By::Operator)]);
}

#[test]
fn who_tracked_a_server_that_its_agent_took_down_has_nothing_of_its_own_agent_yet() {
    let mut model = web(&["a", "b"]);
    model.backends[0].check = None;
    model.backends[0].servers[0].agent = Some(Agent::default());
    model.backends[0].servers[1].track = Some(ServerName { backend: "web".to_owned(), server: "a".to_owned() });
    let [a, b] = [0, 1].map(|index| model.backends[0].servers[index].identity("web"));
    let mut registry = Registry::default();
    registry.update(&model).unwrap();
    registry.set_health(a, Health::AgentDown);
    registry.update(&model).unwrap();
    assert_eq!(registry.standing(b).health, Health::Down);
    let server = &mut model.backends[0].servers[1];
    (server.track, server.agent) = (None, Some(Agent::default()));
    registry.update(&model).unwrap();
    assert_eq!([a, b].map(|it| registry.standing(it).health), [Health::AgentDown, Health::Unknown]);
}

#[test]
fn what_the_operator_repeats_is_the_operators() {
    let mut model = web(&["a"]);
    model.backends[0].servers[0].agent = Some(Agent::default());
    let a = model.backends[0].servers[0].identity("web");
    let mut registry = Registry::default();
    registry.update(&model).unwrap();
    for (by, is_change, owner) in [
        (By::Agent, true, By::Agent),
        (By::Agent, false, By::Agent),
        (By::Operator, true, By::Operator),
        (By::Agent, false, By::Operator),
    ] {
        assert_eq!(registry.set_admin(a, Admin::Drain, by), is_change);
        assert_eq!(registry.admin_by(a), owner);
    }
    model.backends[0].servers[0].agent = None;
    registry.update(&model).unwrap();
    assert_eq!(registry.standing(a).admin, Admin::Drain);
}

#[test]
fn an_agents_word_about_health_stays_as_long_as_the_agent() {
    let mut model = web(&["a"]);
    model.backends[0].servers[0].agent = Some(Agent::default());
    let a = model.backends[0].servers[0].identity("web");
    for (is_checked, expected) in [(true, Health::Down), (false, Health::Unknown)] {
        let mut model = model.clone();
        if !is_checked {
            model.backends[0].check = None;
        }
        let mut registry = Registry::default();
        registry.update(&model).unwrap();
        registry.set_health(a, Health::AgentDown);
        let mut restarted = Registry::adopt(&desired(&model, &registry, &BTreeMap::new()));
        model.backends[0].servers[0].agent = Some(Agent { port: 9, ..Agent::default() });
        for registry in [&mut registry, &mut restarted] {
            registry.update(&model).unwrap();
            assert_eq!(registry.standing(a).health, Health::AgentDown);
            assert!(!registry.standing(a).keeps_existing());
        }
        model.backends[0].servers[0].agent = None;
        let mut judged = registry.clone();
        judged.end_words(&model, |_| is_checked.then_some(Health::Up));
        judged.update(&model).unwrap();
        assert_eq!(judged.standing(a).health, if is_checked { Health::Up } else { expected }, "as it was checked");
        registry.update(&model).unwrap();
        assert_eq!(registry.standing(a).health, expected);
    }
}
