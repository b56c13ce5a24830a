//! Commands of the runtime API against a running proxy: what they answer, and what they do to both halves.

use super::*;
use crate::{
    admin::rows::{Column, Kind, Row, Value},
    servers::Admin,
};
use std::cell::Cell;

impl Life {
    /// What somebody is answered who says that.
    fn say(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        self.running.said(&words)
    }

    fn row(&mut self, kind: Kind, service: &str) -> Row {
        let rows = self.running.rows(Instant::now());
        rows.0.into_iter().find(|row| row.kind == kind && row.text(Column::Svname) == service).expect("a row")
    }

    fn status(&mut self, server: &str) -> String {
        self.row(Kind::Server, server).text(Column::Status).to_owned()
    }

    async fn settled(&mut self) {
        self.until("the first probes", |life| {
            let known =
                |place: usize| life.running.verdicts.known(life.model.backends[0].servers[place].identity("web"));
            known(0).is_some_and(|it| it.last.is_some()) && known(1).is_some_and(|it| it.last.is_some())
        })
        .await;
    }
}

fn local<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn words_for_what_cannot_be_are_haproxys() {
    local(async {
        let mut life = Life::begin(|_| {}).await;
        for (line, answer) in [
            ("set weight web/s0 300", "Absolute weight can only be between 0 and 256 inclusive."),
            ("set weight web/s9 3", "No such server."),
            ("set weight nope 3", "Require 'backend/server'."),
            ("set weight", "Require 'backend/server'."),
            ("set weight web/s0", "Require <weight> or <weight%>."),
            ("set weight web/s0 abc", "Empty weight string empty or preceded by garbage"),
            ("set server web/s0 state foo", "'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
            ("set server xx/s0 state maint", "No such backend."),
            ("set server web/s0 health foo", "'set server <srv> health' expects 'up', 'stopping', or 'down'."),
            ("set server web/s0 agent up", "agent checks are not enabled on this server."),
            ("enable agent web/s0", "Agent was not configured on this server, cannot enable."),
            ("enable frontend zz", "No such frontend."),
            ("disable frontend", "A frontend name is expected."),
            ("enable frontend www", "All sockets are already enabled."),
            ("set maxconn server web/s0", "Require <maxconn>."),
            ("set maxconn server web/s0 abc", "maxconn string empty or preceded by garbage"),
            ("shutdown sessions server web/zz", "No such server."),
            ("show servers state zz", "Can't find backend."),
            ("show stat zz 1 1", "No such proxy."),
            ("show errors zz", "No such proxy."),
            ("show table zz", "No such table"),
        ] {
            assert_eq!(life.say(line), Err(answer.to_owned()), "{line}");
        }
        assert_eq!(life.say("get weight web/s0"), Ok("1 (initial 1)".to_owned()));
        assert_eq!(life.say("show backend"), Ok("# name\nweb\n".to_owned()));
    });
}

#[test]
fn servers_are_taken_out_and_brought_back() {
    local(async {
        let mut life = Life::begin(|_| {}).await;
        life.settled().await;
        assert_eq!([life.status("s0"), life.status("s1")], ["UP", "DOWN"]);
        for (line, status) in [
            ("disable server web/s0", "MAINT"),
            ("enable server web/s0", "UP"),
            ("set server web/s0 state drain", "DRAIN"),
            ("set server web/s0 state ready", "UP"),
            ("set weight web/s0 0", "DRAIN"),
            ("set server web/s0 weight 100%", "UP"),
        ] {
            assert_eq!(life.say(line), Ok(String::new()), "{line}");
            assert_eq!(life.status("s0"), status, "{line}");
            let available = life.running.halves.live.backend("web").expect("live").available.load_full();
            assert_eq!(available.contains(0), status == "UP", "{line}");
        }
        assert_eq!(life.row(Kind::Backend, "BACKEND").get(Column::Act), Some(&Value::U32(1)));
        assert_eq!(life.say("set maxconn server web/s0 7"), Ok(String::new()));
        assert_eq!(life.row(Kind::Server, "s0").get(Column::Slim), Some(&Value::U32(7)));
        let state = life.say("show servers state web").unwrap();
        let line = state.lines().find(|line| line.contains(" s0 ")).expect("a line").to_owned();
        assert_eq!(line.split(' ').count(), 25, "{line}");
        assert!(line.starts_with("3 web 1 s0 127.0.0.1 2 0 1 1 "), "{line}");
    });
}

#[test]
fn what_is_said_of_health_holds_until_probes_say_otherwise_and_probes_may_rest() {
    local(async {
        let mut life = Life::begin(|_| {}).await;
        life.settled().await;
        life.say("disable health web/s1").unwrap();
        life.say("set server web/s1 health up").unwrap();
        assert_eq!(life.status("s1"), "UP", "its probes rest");
        let identity = life.model.backends[0].servers[1].identity("web");
        let probes = Cell::new(0);
        let wait = async {
            while let Some(outcome) = life.outcomes.1.recv().await {
                probes.set(probes.get() + u32::from(outcome.identity == identity));
                life.running.judge([&outcome]);
            }
        };
        assert!(timeout(Duration::from_millis(300), wait).await.is_err());
        assert!(probes.get() <= 1, "one may have been under way: {}", probes.get());
        assert_eq!(life.status("s1"), "UP");
        life.say("enable health web/s1").unwrap();
        life.until("probes go on", |life| !life.running.halves.registry.standing(identity).health.serves()).await;
        assert_eq!(life.status("s1"), "DOWN");
    });
}

#[test]
fn requests_are_counted_and_counting_begins_anew() {
    local(async {
        let mut life = Life::begin(|_| {}).await;
        life.settled().await;
        for _ in 0..3 {
            let mut client = TcpStream::connect(life.address).await.expect("a connection");
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.expect("an answer");
        }
        let counted =
            |row: &Row| [Column::Stot, Column::Hrsp2xx, Column::ReqTot].map(|column| row.get(column).cloned());
        for (kind, name) in [(Kind::Frontend, "FRONTEND"), (Kind::Backend, "BACKEND"), (Kind::Server, "s0")] {
            let row = life.row(kind, name);
            assert_eq!(counted(&row), [(); 3].map(|()| Some(Value::U64(3))), "{name}");
            assert!(matches!(row.get(Column::Bout), Some(Value::U64(bytes)) if *bytes > 100), "{row:?}");
        }
        life.say("clear counters").unwrap();
        assert_eq!(life.row(Kind::Server, "s0").get(Column::Stot), Some(&Value::U64(3)));
        life.say("clear counters all").unwrap();
        assert_eq!(counted(&life.row(Kind::Frontend, "FRONTEND")), [(); 3].map(|()| Some(Value::U64(0))));
        assert!(life.say("show stat").unwrap().starts_with("# pxname,svname,"));
        assert!(life.say("show stat -1 4 -1").unwrap().lines().skip(1).all(|line| line.starts_with("web,s")));
    });
}

#[test]
fn clients_of_a_frontend_that_is_disabled_wait() {
    local(async {
        let mut life = Life::begin(|_| {}).await;
        life.settled().await;
        life.say("disable frontend www").unwrap();
        assert_eq!(life.row(Kind::Frontend, "FRONTEND").text(Column::Status), "PAUSED");
        let mut answers = Vec::new();
        // Each thread lets in one at most that it was waiting for when it was told.
        for _ in 0..8 {
            let address = life.address;
            answers.push(tokio::task::spawn_local(async move {
                let mut client = TcpStream::connect(address).await.expect("a connection");
                client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.expect("an answer");
            }));
        }
        sleep(Duration::from_millis(200)).await;
        let served = answers.iter().filter(|answer| answer.is_finished()).count();
        assert!(served <= 2, "{served} of 8 were served");
        life.say("enable frontend www").unwrap();
        for answer in answers {
            timeout(Duration::from_secs(10), answer).await.expect("in time").expect("served");
        }
        assert_eq!(life.running.halves.registry.standing(1).admin, Admin::Ready);
    });
}
