//! When changes of addresses take effect, and what is remembered of them.

use super::*;
use crate::{
    model::{Agent, Family, Host},
    plan::testing::{backend, model, server},
    resolver::{Failure, Found},
    servers::{Admin, By, Health, Registry, Weight},
};
use lb_common::ServerEntry;
use std::{future::Future, net::SocketAddr};
use tokio::task::LocalSet;

fn of(names: &[&str]) -> Model {
    let named = |name: &&str| {
        let host = Host { name: (*name).into(), prefer: Family::V4, allow_dup_ip: false, cookie_key: None };
        Server { host: Some(Arc::new(host)), address: SocketAddr::new(NOWHERE, 80), ..server(name, "192.0.2.1:80") }
    };
    model(vec![backend("web", names.iter().map(named).collect())], vec![])
}

fn answered(name: &str, last: &[u8]) -> Answered {
    let addresses = last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect();
    let question = Question { name: name.into(), first: Family::V4, either: true };
    Answered { question, ended: Ok(Found { addresses, ttl: Duration::from_secs(1) }) }
}

fn failed(name: &str) -> Answered {
    Answered { ended: Err(Failure::Timeout), ..answered(name, &[]) }
}

fn addresses(model: &Model) -> Vec<String> {
    model.backends[0].servers.iter().map(|server| server.address.to_string()).collect()
}

/// Takes up what is chosen now; whether that was new.
fn take_up(naming: &mut Naming, model: &Model, now: Instant) -> bool {
    let (_, chosen) = naming.addressed(model, now);
    let is_new = naming.is_new(&chosen);
    naming.given(chosen, now);
    is_new
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn answers_are_gathered_and_changes_keep_their_distance() {
    local(async {
        let (mut naming, _answers) = Naming::new();
        let (model, begin) = (of(&["a", "b"]), Instant::now());
        naming.ask(&model, None, begin);
        assert!(!naming.is_ready(&model));
        naming.record(answered("a", &[1]), begin);
        assert!(!naming.is_ready(&model));
        naming.record(answered("b", &[2]), begin);
        assert!(naming.is_ready(&model));
        assert_eq!(naming.due(), Some(begin + GATHER), "both in one");
        assert!(take_up(&mut naming, &model, begin));
        assert_eq!(addresses(&naming.addressed(&model, begin).0), ["10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(naming.due(), None);

        naming.record(answered("a", &[1]), begin);
        naming.record(failed("b"), begin);
        assert_eq!(naming.due(), None, "nothing new");
        for step in 1..=100 {
            naming.record(answered("a", &[step]), begin + Duration::from_millis(step.into()));
        }
        assert_eq!(naming.due(), Some(begin + DISTANCE));
        assert!(take_up(&mut naming, &model, begin + DISTANCE));
        assert_eq!(addresses(&naming.addressed(&model, begin).0), ["10.0.0.100:80", "10.0.0.2:80"]);
        naming.record(answered("a", &[7]), begin + DISTANCE * 10);
        assert_eq!(naming.due(), Some(begin + DISTANCE * 10 + GATHER), "after a quiet time at once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_fails_is_known_to_fail_and_waited_for_no_longer() {
    local(async {
        let (mut naming, _answers) = Naming::new();
        let (model, now) = (of(&["a"]), Instant::now());
        naming.ask(&model, None, now);
        naming.record(failed("a"), now);
        assert!(naming.is_ready(&model));
        take_up(&mut naming, &model, now);
        let report = naming.report(now);
        let status = report.get(&("web", "a")).expect("known");
        assert_eq!((status.age, status.failures), (None, 1));
        assert_eq!(status.problem.as_deref(), Some("no name server answers"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_maps_hold_is_where_servers_were() {
    local(async {
        let (mut naming, _answers) = Naming::new();
        let (model, now) = (of(&["a", "b"]), Instant::now());
        let row = |server: &Server, last: u8| {
            let ip = IpAddr::from([10, 0, 0, last]);
            let identity = server.at(Some(ip)).identity("web");
            ServerEntry { identity, addr: ip.into(), health: 2, ..bytemuck::Zeroable::zeroed() }
        };
        let servers = &model.backends[0].servers;
        let mut tables = Tables::default();
        tables.servers.insert(1, row(&servers[0], 5));
        tables.servers.insert(3, ServerEntry { admin: LEAVES, ..row(&servers[0], 4) });
        tables.servers.insert(2, ServerEntry { identity: 99, ..row(&servers[1], 6) });
        naming.ask(&model, None, now);
        naming.remember(&model, &tables);
        assert!(!naming.is_ready(&model), "of b nothing is remembered");
        let (addressed, _) = naming.addressed(&model, now);
        assert_eq!(addresses(&addressed), ["10.0.0.5:80", "0.0.0.0:80"]);
        let mut registry = Registry::adopt(&tables);
        registry.update(&addressed).expect("room");
        let health = |index: usize| registry.standing(addressed.backends[0].servers[index].identity("web")).health;
        assert_eq!(
            [health(0), health(1)],
            [Health::Down, Health::Unresolved],
            "the one was down before, the other is nowhere"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_worker_after_this_one_knows_where_servers_were_and_believes_what_it_hears() {
    local(async {
        let (model, now) = (of(&["a", "b"]), Instant::now());
        let (mut naming, _answers) = Naming::new();
        naming.ask(&model, None, now);
        naming.record(answered("a", &[1]), now);
        take_up(&mut naming, &model, now);
        let told = serde_json::to_string(&naming.memory()).expect("text");

        let (mut after, _answers) = Naming::new();
        after.recall(serde_json::from_str(&told).expect("what was told"));
        after.ask(&model, None, now);
        assert_eq!(addresses(&after.addressed(&model, now).0), ["10.0.0.1:80", "0.0.0.0:80"]);
        after.record(failed("a"), now);
        assert_eq!(addresses(&after.addressed(&model, now).0), ["10.0.0.1:80", "0.0.0.0:80"]);
        after.record(answered("a", &[2]), now);
        assert_eq!(addresses(&after.addressed(&model, now).0), ["10.0.0.2:80", "0.0.0.0:80"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_wants_goes_with_the_server_and_so_does_that_it_was_down() {
    local(async {
        let (mut naming, _answers) = Naming::new();
        let (model, now) = (of(&["a"]), Instant::now());
        naming.ask(&model, None, now);
        let mut registry = Registry::default();
        let (mut before, _) = naming.addressed(&model, now);
        registry.update(&before).expect("room");
        let of = |model: &Model| model.backends[0].servers[0].identity("web");
        registry.set_admin(of(&before), Admin::Maint, By::Operator);
        for (last, health) in [(1, Health::Unknown), (2, Health::Pending)] {
            naming.record(answered("a", &[last]), now);
            let (next, chosen) = naming.addressed(&model, now);
            naming.given(chosen, now);
            registry.follow(&before, &next);
            registry.update(&next).expect("room");
            let standing = registry.standing(of(&next));
            assert_eq!((standing.admin, standing.health), (Admin::Maint, health));
            registry.set_health(of(&next), Health::Down);
            before = next;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_said_stays_with_the_machine_unless_the_agent_is_somewhere_else() {
    local(async {
        for (address, admins, weights, health) in [
            (None, [Admin::Ready, Admin::Maint], [100, 3], Health::Pending),
            (Some([192, 0, 2, 1].into()), [Admin::Drain, Admin::Maint], [50, 3], Health::AgentDown),
        ] {
            let (mut naming, _answers) = Naming::new();
            let (mut model, now) = (of(&["a", "b"]), Instant::now());
            for server in &mut model.backends[0].servers {
                (server.weight, server.agent) = (100, Some(Agent { address, port: 9, ..Agent::default() }));
            }
            naming.ask(&model, None, now);
            for name in ["a", "b"] {
                naming.record(answered(name, &[1]), now);
            }
            let (before, chosen) = naming.addressed(&model, now);
            naming.given(chosen, now);
            let of = |model: &Model, index: usize| model.backends[0].servers[index].identity("web");
            let mut registry = Registry::default();
            registry.update(&before).expect("room");
            let servers = &before.backends[0].servers;
            let [a, b] = [0, 1].map(|index| of(&before, index));
            registry.set_admin(a, Admin::Drain, By::Agent);
            registry.set_weight(a, &servers[0], Weight::Percent(50), By::Agent);
            registry.set_health(a, Health::AgentDown);
            registry.set_admin(b, Admin::Maint, By::Operator);
            registry.set_weight(b, &servers[1], Weight::Absolute(3), By::Operator);
            for name in ["a", "b"] {
                naming.record(answered(name, &[2]), now);
            }
            let (next, _) = naming.addressed(&model, now);
            registry.follow(&before, &next);
            registry.update(&next).expect("room");
            let standings = [0, 1].map(|index| registry.standing(of(&next, index)));
            assert_eq!(standings.map(|standing| standing.admin), admins);
            assert_eq!(standings[0].health, health);
            assert_eq!(registry.weights(&next.backends[0]), weights);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_stands_for_hold_other_while_answers_have_none_that_would_do() {
    local(async {
        let (mut naming, _answers) = Naming::new();
        let (mut model, begin, second) = (of(&["a"]), Instant::now(), Duration::from_secs(1));
        model.resolvers.hold.other = Some(second * 30);
        naming.ask(&model, None, begin);
        naming.record(answered("a", &[1]), begin);
        assert!(take_up(&mut naming, &model, begin));
        let useless = || {
            let found = Found { addresses: [IpAddr::from([224, 0, 0, 1])].into(), ttl: second };
            Answered { ended: Ok(found), ..answered("a", &[]) }
        };
        for at in [10, 20] {
            naming.record(useless(), begin + second * at);
            assert!(!take_up(&mut naming, &model, begin + second * at));
            assert_eq!(naming.due(), Some(begin + second * 40), "from the first of them on");
        }
        assert_eq!(addresses(&naming.addressed(&model, begin + second * 39).0), ["10.0.0.1:80"]);
        assert!(take_up(&mut naming, &model, begin + second * 40));
        assert_eq!(addresses(&naming.addressed(&model, begin + second * 40).0), ["0.0.0.0:80"]);
        assert_eq!(naming.due(), None);
        assert_eq!(naming.memory(), Some(Vec::new()), "the worker after this one is told that there is none any more");
        naming.record(answered("a", &[2]), begin + second * 50);
        assert!(take_up(&mut naming, &model, begin + second * 50));
        naming.record(useless(), begin + second * 60);
        assert!(!take_up(&mut naming, &model, begin + second * 60));
        assert_eq!(naming.due(), Some(begin + second * 90));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_change_nothing_are_not_looked_at_all_the_time_and_without_names_nothing_is_handed_over() {
    local(async {
        let (mut naming, _answers) = Naming::new();
        let (model, begin) = (of(&["a"]), Instant::now());
        assert_eq!(naming.memory(), None);
        naming.ask(&model, None, begin);
        naming.record(answered("a", &[1]), begin);
        take_up(&mut naming, &model, begin);
        let later = begin + DISTANCE * 10;
        naming.record(answered("a", &[1, 2]), later);
        assert_eq!(naming.due(), Some(later + GATHER));
        assert!(!take_up(&mut naming, &model, later + GATHER), "it keeps what it has");
        naming.record(answered("a", &[1, 3]), later + GATHER);
        assert_eq!(naming.due(), Some(later + GATHER + CHOICES));
    })
    .await;
}
