//! Probes against real sockets.

use super::*;
use crate::{
    health::{Code, Meaning},
    model::{
        Backend, Balance, Check, CheckKind, Global, OnStop, Resolvers, Server, Sni, TlsVersion,
        check::{Expect, HttpCheck, HttpStep},
    },
    plan::testing,
};
use lb_common::Forward;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};
use tokio::time::timeout;

fn check(kind: CheckKind) -> Check {
    Check {
        kind,
        interval: Duration::from_millis(50),
        fast_interval: Duration::from_millis(50),
        down_interval: Duration::from_millis(50),
        timeout: Duration::from_millis(200),
        rise: 1,
        fall: 1,
        ..Check::default()
    }
}

fn http() -> Check {
    check(CheckKind::Http(HttpCheck::from(HttpStep { expect: vec![Expect::status([200])], ..HttpStep::default() })))
}

fn model(check: Check, addresses: &[SocketAddr]) -> Model {
    let server = |(index, address): (usize, &SocketAddr)| Server {
        name: format!("s{index}"),
        address: *address,
        ..testing::server("", "192.0.2.1:80")
    };
    let backend = Backend {
        balance: Balance::RoundRobin,
        forward: Forward::Nat,
        check: Some(check),
        timeout_connect: Duration::from_secs(1),
        timeout_server: Duration::from_secs(1),
        ..testing::backend("b", addresses.iter().enumerate().map(server).collect())
    };
    let global = Global {
        interfaces: Vec::new(),
        hash_key: [0, 0],
        user: None,
        exec_checks: false,
        exec_user: None,
        control_socket: "unused".into(),
        stats_sockets: Vec::new(),
        stats_pages: Vec::new(),
        pin_dir: "unused".into(),
        max_connections: None,
        max_memory: None,
        threads: 1,
        on_stop: OnStop::Detach,
        stop_timeout: Duration::from_secs(1),
        hard_stop_after: None,
        metrics: None,
        metrics_names: vec![crate::model::MetricNames::Sluice],
        event_logs: Vec::new(),
        flow_timeout_tcp: Duration::from_hours(1),
        flow_timeout_udp: Duration::from_mins(3),
        track_budget: 20_000,
        heartbeat_timeout: Duration::from_secs(10),
    };
    Model { global, resolvers: Resolvers::default(), frontends: Vec::new(), backends: vec![backend], lists: Vec::new() }
}

/// A server that answers every connection with `answer` after reading something, or says nothing if it is empty.
fn origin(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if answer.is_empty() {
                silent.push(stream);
            } else if stream.read(&mut [0; 512]).is_ok_and(|length| length > 0) {
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    address
}

fn refused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The first outcome of each server, in the order of the servers.
async fn codes(check: Check, addresses: &[SocketAddr]) -> Vec<Code> {
    let model = model(check, addresses);
    let (outcomes, mut received) = mpsc::channel(64);
    let mut checker = Checker::start().unwrap();
    checker.change_to(Probers::new(&model, &Connectors::default()).unwrap(), &outcomes);
    let mut found = BTreeMap::new();
    while found.len() < addresses.len() {
        let outcome = timeout(Duration::from_secs(5), received.recv()).await.unwrap().unwrap();
        found.entry(outcome.identity).or_insert(outcome.report.finding.code);
    }
    let backend = &model.backends[0];
    backend.servers.iter().map(|server| found[&server.identity("b")]).collect()
}

#[tokio::test]
async fn a_tcp_check_wants_a_connection_and_no_more() {
    let probing = async { codes(check(CheckKind::Tcp), &[origin(""), refused()]).await };
    assert_eq!(probing.await, [Code::L4Ok, Code::L4Connection]);
}

#[tokio::test]
async fn an_http_check_wants_the_expected_status_in_time() {
    let origins = [
        origin("HTTP/1.1 200 OK\r\n\r\n"),
        origin("HTTP/1.1 503 No\r\n\r\n"),
        origin("junk\r\n"),
        origin(""),
        refused(),
    ];
    let probing = async { codes(http(), &origins).await };
    let expected = [Code::L7Ok, Code::L7Status, Code::L7Response, Code::L7Timeout, Code::L4Connection];
    assert_eq!(probing.await, expected);
}

#[tokio::test]
async fn a_reload_leaves_unchanged_probes_alone_and_ends_those_of_servers_that_are_gone() {
    let probing = async {
        let (stays, goes) = (origin(""), origin(""));
        let before = model(check(CheckKind::Tcp), &[stays, goes]);
        let after = model(check(CheckKind::Tcp), &[stays]);
        let (outcomes, mut received) = mpsc::channel(64);
        let mut checker = Checker::start().unwrap();
        checker.change_to(Probers::new(&before, &Connectors::default()).unwrap(), &outcomes);
        let task = |checker: &Checker| checker.tasks.all()[&before.backends[0].servers[0].identity("b")].handle.id();
        let first = task(&checker);
        checker.change_to(Probers::new(&after, &Connectors::default()).unwrap(), &outcomes);
        assert_eq!(task(&checker), first);
        assert_eq!(checker.tasks.all().len(), 1);
        while received.try_recv().is_ok() {}
        let gone = before.backends[0].servers[1].identity("b");
        for _ in 0..3 {
            assert_ne!(received.recv().await.unwrap().identity, gone);
        }
    };
    probing.await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_probe_and_says_nothing_of_the_server() {
    let (outcomes, mut received) = mpsc::channel(64);
    let (_pace, paced) = watch::channel(Pace::Steady);
    let probes = AtomicU32::new(0);
    let probe = || {
        let number = probes.fetch_add(1, Relaxed);
        async move {
            assert!(number != 1, "the second probe");
            (Finding::new(Code::L4Ok, ""), None)
        }
    };
    let aim = (refused(), check(CheckKind::Tcp));
    let probe = (probe, Arc::new(Stalls::new()));
    let probing = probe_forever((7, 1), aim, probe, Duration::ZERO, paced, outcomes);
    let watching = async {
        let mut found = Vec::new();
        while found.len() < 3 {
            found.push(received.recv().await.unwrap().report.finding.code);
        }
        found
    };
    let found = tokio::select! {
        () = probing => Vec::new(),
        found = watching => found,
    };
    assert_eq!(found, [Code::L4Ok, Code::SocketError, Code::L4Ok]);
    assert_eq!(Code::SocketError.meaning(), Meaning::Nothing);
}

#[tokio::test]
async fn tls_that_stays_as_it_is_is_spoken_by_what_spoke_it_before() {
    let tls = |name: &str| {
        let sni = Sni::Name(name.to_owned());
        let (authorities, revoked, alpn, certificate) = (None, Vec::new(), Vec::new(), None);
        Some(Arc::new(ServerTls { authorities, revoked, sni, alpn, certificate, min_version: TlsVersion::V12 }))
    };
    let at = |address: &str, name: &str| {
        let mut model = model(check(CheckKind::Tcp), &[address.parse().unwrap()]);
        model.backends[0].servers[0].tls = tls(name);
        model
    };
    let (outcomes, _received) = mpsc::channel(64);
    let mut checker = Checker::start().unwrap();
    let mut used = |model: &Model| {
        let probers = Probers::new(model, checker.connectors()).unwrap();
        let config = Arc::clone(probers.wanted[0].1.connector.as_ref().unwrap().config());
        checker.change_to(probers, &outcomes);
        config
    };
    let first = used(&at("192.0.2.1:1", "a.test"));
    assert!(Arc::ptr_eq(&first, &used(&at("192.0.2.2:1", "a.test"))), "another address");
    assert!(!Arc::ptr_eq(&first, &used(&at("192.0.2.2:1", "b.test"))));
    assert!(!Arc::ptr_eq(&first, &used(&at("192.0.2.2:1", "a.test"))), "what nobody used was forgotten");
}

/// A server that keeps each probe waiting, and a thread that does not run meanwhile.
#[tokio::test]
async fn a_server_is_not_blamed_for_time_in_which_the_thread_of_the_probes_did_not_run() {
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = slow.local_addr().unwrap();
    thread::spawn(move || {
        for stream in slow.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 512];
                // What gives up early is answered in vain.
                if stream.read(&mut request).is_ok_and(|length| length > 0) {
                    thread::sleep(Duration::from_millis(20));
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap_or_default();
                }
            });
        }
    });
    let (outcomes, mut received) = mpsc::channel(64);
    let mut checker = Checker::start().unwrap();
    checker.change_to(Probers::new(&model(http(), &[address, refused()]), &Connectors::default()).unwrap(), &outcomes);
    // Probes of 200 ms at most, on a thread that again and again stands still for longer.
    let standing = checker.runtime().spawn(async {
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(300));
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    let identity = model(http(), &[address]).backends[0].servers[0].identity("b");
    let (mut passed, mut refusals) = (0, 0);
    while !standing.is_finished() || passed == 0 || refusals == 0 {
        let outcome = timeout(Duration::from_secs(5), received.recv()).await.unwrap().unwrap();
        match outcome.report.finding.code.meaning() {
            Meaning::Passed => passed += 1,
            meaning @ (Meaning::Stopping | Meaning::Failed | Meaning::Nothing) => {
                assert_ne!(outcome.identity, identity, "{meaning:?}: {}", outcome.report);
                refusals += 1;
            }
        }
    }
}
