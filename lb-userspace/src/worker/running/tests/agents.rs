//! What agents say has an effect on traffic.

use super::{agent::Speaker, *};
use crate::{
    l7::tests::model::cookie,
    model::{Agent, Limits, cookie::CookieMode},
};

const EVERY: Duration = Duration::from_millis(20);

/// As in all of these tests, with an agent of the second server, which works.
async fn begin(speaker: &Speaker) -> Life {
    let port = speaker.address.port();
    let mut life = Life::begin(|model| {
        let web = &mut model.backends[0];
        web.cookie = Some(cookie(CookieMode::Insert));
        for server in &mut web.servers {
            (server.weight, server.cookie) = (10, Some(server.name.clone()));
        }
        web.servers[1].agent = Some(Agent { port, interval: EVERY, timeout: EVERY * 50, ..Agent::default() });
    })
    .await;
    life.healthy.store(true, SeqCst);
    life.until("it comes up", |life| life.health() == Health::Up).await;
    life
}

impl Life {
    /// The agent says that from now on; until it was heard.
    async fn hears(&mut self, speaker: &Speaker, line: Option<&'static str>) {
        speaker.say(line);
        self.until("the agent is heard", |_| speaker.asked() > 2).await;
    }

    /// How many of some requests the second server answers, while the loop goes on.
    async fn share(&mut self, requests: usize, head: &'static str) -> usize {
        let address = self.address;
        let asking = tokio::task::spawn_local(async move {
            let mut found = 0;
            for _ in 0..requests {
                found += usize::from(ask_once(address, head).await.ends_with('2'));
            }
            found
        });
        self.until("all is answered", |_| asking.is_finished()).await;
        asking.await.expect("answers")
    }

    fn standing(&self) -> String {
        self.running.halves.registry.standing(self.model.backends[0].servers[1].identity("web")).to_string()
    }
}

async fn ask_once(address: SocketAddr, head: &str) -> String {
    let mut client = TcpStream::connect(address).await.expect("connect");
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{head}connection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("write");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    answer
}

const NEW: &str = "";
/// A client that comes back to the second server.
const KNOWN: &str = "cookie: SRV=s1\r\n";

#[tokio::test]
async fn words_change_shares_and_cookies_bring_clients_through_where_they_may() {
    LocalSet::new()
        .run_until(async {
            let speaker = Speaker::start(Some("up"));
            let mut life = begin(&speaker).await;
            // Of 30 new requests, and of 4 of clients whose cookie names the server.
            for (line, of_new, of_known, standing) in [
                ("up", 15, 4, "up"),
                ("50%", 10, 4, "up"),
                ("200%", 20, 4, "up"),
                ("0%", 0, 4, "drain (weight 0)"),
                ("100% drain", 0, 4, "drain"),
                ("ready", 15, 4, "up"),
                ("down #disk full", 0, 0, "down (agent)"),
                ("50% ready", 0, 0, "down (agent)"),
                ("up", 10, 4, "up"),
                ("maint", 0, 0, "maint"),
                ("up 100%", 0, 0, "maint"),
                ("ready", 15, 4, "up"),
            ] {
                life.hears(&speaker, Some(line)).await;
                assert_eq!(life.standing(), standing, "{line}");
                let found = life.share(30, NEW).await;
                assert!(found.abs_diff(of_new) <= 1 && (of_new > 0 || found == 0), "{line}: {found} of 30");
                assert_eq!(life.share(4, KNOWN).await, of_known, "{line}");
            }
            let reasons: Vec<_> = life.running.failovers.iter().map(|failover| failover.reason.as_str()).collect();
            assert!(reasons.ends_with(&["via agent : down (disk full)", "via agent : up"]), "{reasons:?}");

            // The words outlive a reload, and silence.
            life.hears(&speaker, Some("20% drain")).await;
            life.hears(&speaker, None).await;
            life.load(BTreeMap::new());
            assert_eq!((life.standing().as_str(), life.share(30, NEW).await), ("drain", 0));
            life.hears(&speaker, Some("ready")).await;
            assert_eq!(life.share(30, NEW).await, 5);
            // A part of the weight that is configured now.
            let mut model = Model::clone(&life.model);
            model.backends[0].servers[1].weight = 100;
            life.model = Arc::new(model);
            life.load(BTreeMap::new());
            assert_eq!(life.share(30, NEW).await, 20);
            // Without an agent, its words are gone.
            life.hears(&speaker, Some("20% down")).await;
            assert_eq!(life.standing(), "down (agent)");
            let mut model = Model::clone(&life.model);
            (model.backends[0].servers[1].weight, model.backends[0].servers[1].agent) = (10, None);
            life.model = Arc::new(model);
            life.load(BTreeMap::new());
            assert_eq!(life.standing(), "up", "as its checks found it");
            assert_eq!(life.share(30, NEW).await, 15);
        })
        .await;
}

#[tokio::test]
async fn a_limit_that_an_agent_says_is_kept() {
    LocalSet::new()
        .run_until(async {
            let speaker = Speaker::start(Some("maxconn:2"));
            let slow = Origin::start(|_, _| Act::Later(Duration::from_millis(300), ok("2"))).await;
            let mut life = Life::begin(|model| {
                let web = &mut model.backends[0];
                web.check = None;
                web.servers.truncate(1);
                web.servers[0].address = slow.address;
                web.servers[0].limits = Limits::default();
                let port = speaker.address.port();
                web.servers[0].agent = Some(Agent { port, interval: EVERY, timeout: EVERY * 50, ..Agent::default() });
            })
            .await;
            for (line, rounds) in [("maxconn:2", 2), ("maxconn:1", 4), ("maxconn:0", 1)] {
                life.hears(&speaker, Some(line)).await;
                let (begun, address) = (Instant::now(), life.address);
                let asking: Vec<_> = (0..4).map(|_| tokio::task::spawn_local(ask_once(address, NEW))).collect();
                life.until("all are answered", |_| asking.iter().all(tokio::task::JoinHandle::is_finished)).await;
                let took = begun.elapsed();
                let expected = Duration::from_millis(300) * rounds;
                assert!((expected..expected + Duration::from_millis(280)).contains(&took), "{line}: {took:?}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_static_map_takes_all_or_nothing() {
    LocalSet::new()
        .run_until(async {
            let speaker = Speaker::start(Some("50%"));
            let mut life = begin(&speaker).await;
            let mut model = Model::clone(&life.model);
            model.backends[0].balance = crate::model::Balance::StaticRoundRobin;
            life.model = Arc::new(model);
            life.load(BTreeMap::new());
            life.hears(&speaker, Some("50%")).await;
            assert_eq!(life.share(30, NEW).await, 15);
            let identity = life.model.backends[0].servers[1].identity("web");
            let agent = life.running.verdicts.agent(identity).expect("an agent");
            assert!(agent.last.expect("a word").words.contains("only accepts weights '0%' and '100%'"));
            life.hears(&speaker, Some("0%")).await;
            assert_eq!(life.share(30, NEW).await, 0);
        })
        .await;
}
