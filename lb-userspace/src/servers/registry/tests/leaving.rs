//! Who leaves keeps the row, until nothing is left, or the row is needed.

use super::*;
use crate::{
    model::{DownFlows, Failover},
    servers::state::LEAVES,
};
use lb_common::ServerState;
use std::time::Duration;

/// A reload.
fn reload(registry: &mut Registry, before: &Model, next: &Model) {
    registry.follow(before, next);
    registry.update(next).unwrap();
    registry.begin_leaving(Duration::from_secs(10));
}

fn names(registry: &Registry) -> Vec<&str> {
    registry.leaving().map(|(.., leaving)| leaving.server.as_str()).collect()
}

fn next_hops() -> BTreeMap<IpAddr, u16> {
    BTreeMap::from([("10.0.0.1".parse().unwrap(), 7)])
}

#[test]
fn who_leaves_keeps_the_row_and_drains_until_it_has_left() {
    let (both, one) = (web(&["a", "b"]), web(&["b"]));
    let mut registry = with_servers(3);
    registry.update(&both).unwrap();
    let tables = desired(&both, &registry, &next_hops());
    reload(&mut registry, &both, &one);
    assert_eq!((names(&registry), registry.resting().count()), (vec!["a"], 0));
    assert_eq!(registry.leaving_until(), Some(Duration::from_hours(1) + Duration::from_secs(10)));
    let after =
        crate::plan::Planner::default().desired(&one, &registry, &next_hops(), &tables, crate::plan::Moment::default());
    let row = after.servers[&1];
    assert_eq!((row.state, row.admin, row.next_hop), (ServerState::Drain as u8, LEAVES, 7));

    // A daemon that finds the row goes on with it; who comes back is who it was.
    let mut restarted = Registry::adopt(&after);
    reload(&mut restarted, &web(&[]), &one);
    assert_eq!((names(&restarted), restarted.leaving().count()), (vec![""], 1));
    reload(&mut restarted, &one, &both);
    assert_eq!((restarted.leaving().count(), ids(&restarted, &both)), (0, vec![1, 2]));

    let a = both.backends[0].servers[0].identity("web");
    registry.left(&BTreeSet::from([a]), &one);
    assert_eq!((registry.leaving().count(), registry.resting().collect::<Vec<_>>()), (0, vec![1]));
}

#[test]
fn who_has_nothing_to_keep_goes_at_once() {
    for (flows, leaves) in [(DownFlows::Move, 0), (DownFlows::Reset, 0), (DownFlows::Keep, 1)] {
        let mut both = web(&["a", "b"]);
        both.backends[0].failover = Failover { flows, ..Failover::default() };
        let mut registry = with_servers(3);
        registry.update(&both).unwrap();
        registry.set_health(both.backends[0].servers[0].identity("web"), Health::Down);
        reload(&mut registry, &both, &web(&["b"]));
        assert_eq!(registry.leaving().count(), leaves, "{flows:?}");
    }
    // Packets never went to servers that no l4 frontend uses.
    let mut both = web(&["a", "b"]);
    both.frontends.clear();
    let mut registry = with_servers(3);
    registry.update(&both).unwrap();
    reload(&mut registry, &both, &model(vec![], vec![]));
    assert_eq!((registry.leaving().count(), registry.resting().count()), (0, 2));
}

#[test]
fn rows_that_are_needed_are_not_kept_for_who_leaves() {
    let mut registry = with_servers(3);
    registry.update(&web(&["a", "b"])).unwrap();
    reload(&mut registry, &web(&["a", "b"]), &web(&["b"]));
    registry.begin_leaving(Duration::ZERO);
    reload(&mut registry, &web(&["b"]), &web(&["c"]));
    assert_eq!(names(&registry).len(), 2);
    reload(&mut registry, &web(&["c"]), &web(&["c", "d"]));
    assert_eq!((names(&registry).len(), ids(&registry, &web(&["c", "d"])).len()), (1, 2), "one has made room");
    reload(&mut registry, &web(&["c", "d"]), &web(&["c", "d", "e"]));
    assert_eq!(names(&registry).len(), 0);
}

#[test]
fn who_moves_leaves_the_old_address_and_is_another_at_the_new_one() {
    let at = |address: &str| {
        model(vec![backend("web", vec![server("a", address)])], vec![(bind("192.0.2.10:80", Protocol::Tcp), "web")])
    };
    let (before, after) = (at("10.0.0.1:80"), at("10.0.0.2:80"));
    let mut registry = with_servers(3);
    registry.update(&before).unwrap();
    reload(&mut registry, &before, &after);
    let found: Vec<_> = registry.leaving().map(|(_, id, leaving)| (id, leaving.address.to_string())).collect();
    assert_eq!((found, ids(&registry, &after)), (vec![(1, "10.0.0.1:80".to_owned())], vec![2]));
    reload(&mut registry, &after, &before);
    let found: Vec<_> = registry.leaving().map(|(_, id, leaving)| (id, leaving.address.to_string())).collect();
    assert_eq!((found, ids(&registry, &before)), (vec![(2, "10.0.0.2:80".to_owned())], vec![1]));
}

#[test]
fn who_is_found_and_only_left_the_l4_frontend_leaves_too() {
    let both = web(&["a", "b"]);
    let mut registry = with_servers(3);
    registry.update(&both).unwrap();
    let tables = desired(&both, &registry, &next_hops());
    let mut proxied = both.clone();
    proxied.frontends.clear();
    let mut restarted = Registry::adopt(&tables);
    reload(&mut restarted, &proxied, &proxied);
    assert_eq!(names(&restarted).into_iter().collect::<BTreeSet<_>>(), ["a", "b"].into());
    assert_eq!(ids(&restarted, &proxied), [1, 2], "they are servers of the proxy still");
    reload(&mut restarted, &proxied, &both);
    assert_eq!((names(&restarted).len(), ids(&restarted, &both)), (0, vec![1, 2]));
}

#[test]
fn who_comes_back_is_wanted_as_before_but_what_checks_found_is_old() {
    let both = web(&["a", "b", "c"]);
    let [a, b] = [0, 1].map(|index| both.backends[0].servers[index].clone());
    let (of_a, of_b) = (a.identity("web"), b.identity("web"));
    for (was, expected) in [(Health::Up, None), (Health::Down, Some(Health::Pending))] {
        let mut both = both.clone();
        both.backends[0].failover = Failover { flows: DownFlows::Keep, ..Failover::default() };
        let mut fresh = Registry::default();
        fresh.update(&both).unwrap();
        let mut registry = Registry::default();
        registry.update(&both).unwrap();
        registry.set_health(of_a, was);
        registry.set_weight(of_a, &a, Weight::Absolute(3), By::Operator);
        registry.set_admin(of_b, Admin::Drain, By::Agent);
        registry.set_admin(of_a, Admin::Drain, By::Operator);
        let one = Model {
            backends: vec![Backend { servers: both.backends[0].servers[2..].to_vec(), ..both.backends[0].clone() }],
            ..both.clone()
        };
        reload(&mut registry, &both, &one);
        assert_eq!(registry.leaving().count(), 2);
        reload(&mut registry, &one, &both);
        let health = expected.unwrap_or_else(|| fresh.standing(of_a).health);
        assert_eq!(registry.standing(of_a), Standing { admin: Admin::Drain, health, weightless: false });
        assert_eq!((registry.weight(of_a, 1), registry.standing(of_b).admin), (3, Admin::Ready));
    }
}
