//! Who gets which address, and keeps it.

use super::*;
use crate::{
    model::{Family, Host, Resolvers, resolvers::Hold, server::NOWHERE},
    plan::testing::{self, backend, bind, server},
    resolver::Found,
};
use lb_common::{Forward, Protocol};
use std::{net::SocketAddr, sync::Arc, time::Duration};

fn named(name: &str, host: &str) -> Server {
    let host = Host { name: host.into(), prefer: Family::V4, allow_dup_ip: false, cookie_key: None };
    Server { host: Some(Arc::new(host)), address: SocketAddr::new(NOWHERE, 80), ..server(name, "192.0.2.1:80") }
}

/// A model, what is known of the names, and what servers have.
struct Scene {
    model: Model,
    names: Names,
    before: Before,
    now: Instant,
}

impl Scene {
    fn new(servers: Vec<Server>) -> Self {
        Self::of(testing::model(vec![backend("web", servers)], vec![]), Hold::default())
    }

    fn of(model: Model, hold: Hold) -> Self {
        let (mut names, now) = (Names::default(), Instant::now());
        names.update(&Resolvers { hold, ..Resolvers::default() }, &Question::all(&model), now);
        Self { model, names, before: Before::default(), now }
    }

    fn answer(&mut self, name: &str, ips: &[&str]) {
        let addresses = ips.iter().map(|ip| ip.parse().expect("an address")).collect();
        self.end(name, &Ok(Found { addresses, ttl: Duration::from_secs(1) }));
    }

    fn end(&mut self, name: &str, ended: &Result<Found, Failure>) {
        for question in Question::all(&self.model).iter().filter(|question| *question.name == *name) {
            self.names.record(question, ended.clone(), self.now);
        }
    }

    /// What each server has now, by its name.
    fn choose(&mut self) -> Vec<String> {
        let chosen = choose(&self.model, &self.names, &self.before, self.now);
        self.before.given = chosen.iter().filter_map(|(key, chosen)| Some((key.clone(), chosen.ip?))).collect();
        let addressed = addressed(&self.model, &chosen);
        for (key, chosen) in &chosen {
            let servers = &addressed.backend(&key.backend).expect("a backend").servers;
            let server = servers.iter().find(|server| server.name == key.server).expect("a server");
            assert_eq!(server.address.ip(), chosen.ip.unwrap_or(NOWHERE));
        }
        let shown = |chosen: &Chosen| match (chosen.ip, chosen.why) {
            (Some(ip), None) => ip.to_string(),
            (Some(ip), Some(why)) => format!("{ip} ({why})"),
            (None, why) => why.map_or_else(String::new, |why| why.to_string()),
        };
        chosen.values().map(shown).collect()
    }
}

#[tokio::test]
async fn rotating_answers_move_nobody_and_new_ones_do() {
    let mut scene = Scene::new(vec![named("s", "db")]);
    assert_eq!(scene.choose(), ["no answer yet"]);
    scene.answer("db", &["10.0.0.3", "10.0.0.2"]);
    assert_eq!(scene.choose(), ["10.0.0.2"]);
    scene.answer("db", &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(scene.choose(), ["10.0.0.2"], "it is still there");
    scene.answer("db", &["10.0.0.3", "10.0.0.4"]);
    assert_eq!(scene.choose(), ["10.0.0.3"]);
    scene.end("db", &Err(Failure::NoName));
    assert_eq!(scene.choose(), ["10.0.0.3 (there is no such name)"]);
}

#[tokio::test]
async fn servers_of_one_name_have_addresses_of_their_own_as_far_as_there_are_some() {
    let mut scene = Scene::new(vec![named("s1", "db"), named("s2", "db"), named("s3", "db")]);
    scene.answer("db", &["10.0.0.1", "10.0.0.2"]);
    let taken = "the servers of this name have all its addresses already";
    assert_eq!(scene.choose(), ["10.0.0.1", "10.0.0.2", taken]);
    scene.answer("db", &["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    assert_eq!(scene.choose(), ["10.0.0.3", "10.0.0.2", "10.0.0.4"]);
    scene.answer("db", &["10.0.0.4"]);
    assert_eq!(scene.choose(), [taken, taken, "10.0.0.4"]);
    for server in &mut scene.model.backends[0].servers {
        let host = server.host.as_deref().expect("a host");
        server.host = Some(Arc::new(Host { allow_dup_ip: true, ..host.clone() }));
    }
    scene.answer("db", &["10.0.0.4", "10.0.0.5"]);
    assert_eq!(scene.choose(), ["10.0.0.5", "10.0.0.4", "10.0.0.4"], "the fewest have it");
}

#[tokio::test]
async fn another_port_or_backend_may_have_the_same_address() {
    let mut other = named("s2", "db");
    other.address.set_port(81);
    let backends = vec![backend("api", vec![named("s1", "db"), other]), backend("web", vec![named("s1", "db")])];
    let mut scene = Scene::of(testing::model(backends, vec![]), Hold::default());
    scene.answer("db", &["10.0.0.1"]);
    assert_eq!(scene.choose(), ["10.0.0.1"; 3]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_changes_nothing() {
    let mut nat = backend("web", vec![named("s", "db")]);
    nat.forward = Forward::Nat;
    let model = testing::model(vec![nat], vec![(bind("198.51.100.1:80", Protocol::Tcp), "web")]);
    assert!(Question::all(&model).iter().all(|question| !question.either && question.first == Family::V4));
    let mut scene = Scene::of(model, Hold::default());
    for (lie, why) in [("198.51.100.1", "it is a VIP"), ("0.0.0.0", "it is not the address of one machine")] {
        scene.answer("db", &[lie]);
        assert_eq!(scene.choose(), [format!("{lie} is refused: {why}")]);
    }
    scene.answer("db", &["127.0.0.1", "10.0.0.9", "224.0.0.1"]);
    assert_eq!(scene.choose(), ["10.0.0.9"], "the one that will do");
    scene.answer("db", &["127.0.0.1"]);
    let refused = "127.0.0.1 is refused: the kernel half sends to other machines alone";
    assert_eq!(scene.choose(), [format!("10.0.0.9 ({refused})")]);
    scene.before.distrusted.insert("10.0.0.7".parse().expect("an address"));
    scene.answer("db", &["10.0.0.7"]);
    assert_eq!(scene.choose(), ["10.0.0.9 (10.0.0.7 is refused: the kernel half has no next hop left)"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_remembered_stands_until_something_else_is_known() {
    let hold = Hold { timeout: Some(Duration::from_secs(30)), ..Hold::default() };
    let mut scene = Scene::of(testing::model(vec![backend("web", vec![named("s", "db")])], vec![]), hold);
    let question = Question::all(&scene.model).first().cloned().expect("a question");
    let key = Key { backend: "web".to_owned(), server: "s".to_owned(), question };
    scene.before.given.insert(key, "10.0.0.8".parse().expect("an address"));
    assert_eq!(scene.choose(), ["10.0.0.8"]);
    scene.end("db", &Err(Failure::Timeout));
    assert_eq!(scene.choose(), ["10.0.0.8 (no name server answers)"]);
    scene.now += Duration::from_secs(30);
    assert_eq!(scene.choose(), ["no name server answers"]);
    scene.answer("db", &["10.0.0.1"]);
    assert_eq!(scene.choose(), ["10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_which_something_else_is_asked_keeps_its_address_until_that_is_answered() {
    let prefers = |name: &str, prefer| {
        let host = Host { name: name.into(), prefer, allow_dup_ip: false, cookie_key: None };
        Server { host: Some(Arc::new(host)), ..named("s", "db") }
    };
    let others = [prefers("db", Family::V6), prefers("db2", Family::V4)];
    for other in others {
        let mut scene = Scene::new(vec![named("s", "db")]);
        scene.answer("db", &["10.0.0.1"]);
        assert_eq!(scene.choose(), ["10.0.0.1"]);
        let host = other.host.as_ref().expect("a host").name.to_string();
        scene.model.backends[0].servers = vec![other];
        scene.names.update(&Resolvers::default(), &Question::all(&scene.model), scene.now);
        assert_eq!(scene.choose(), ["10.0.0.1"], "nothing is known yet");
        scene.end(&host, &Err(Failure::Timeout));
        assert_eq!(scene.choose(), ["10.0.0.1 (no name server answers)"]);
        scene.answer(&host, &["10.0.0.2"]);
        assert_eq!(scene.choose(), ["10.0.0.2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_of_the_wrong_family_is_not_kept_for_another_question() {
    let mut scene = Scene::new(vec![named("s", "db")]);
    scene.answer("db", &["2001:db8::1"]);
    assert_eq!(scene.choose(), ["2001:db8::1"]);
    let mut nat = backend("web", vec![named("s", "db")]);
    nat.forward = Forward::Nat;
    scene.model = testing::model(vec![nat], vec![(bind("198.51.100.1:80", Protocol::Tcp), "web")]);
    scene.names.update(&Resolvers::default(), &Question::all(&scene.model), scene.now);
    assert_eq!(scene.choose(), ["no answer yet"]);
}
