//! The same agents of the same servers, asked by HAProxy and by us.

use super::{agent::Speaker, *};
use crate::{
    health::haproxy::{Haproxy, fields},
    model::{Agent, Limits, Server},
    servers::{Admin, By},
};
use std::fmt::Write as _;

/// What the agent of a server says, one after the other; `-`: it hangs up.
type Lines = [&'static str; 3];

const CASES: &[Lines] = &[
    ["", "50%", "up"],
    ["up", "down #disk full", ""],
    ["down", "100% ready", "up"],
    ["down", "-", "up"],
    ["drain 50%", "-", "100%"],
    ["fail", "stopped", "up"],
    ["DOWN", "Up", "failed"],
    ["down", "nonsense", "#up"],
    ["drain", "up", "ready"],
    ["maint", "down", "ready"],
    ["maint", "up", "drain"],
    ["drain maint", "maint ready", ""],
    ["maint down", "ready", "up"],
    ["drain down", "up", "ready"],
    ["50%", "200%", "0%"],
    ["25600%", "25601%", "99999999999999999999%"],
    ["1%", "75x%", "150%"],
    ["7%%", "-5%", "+5%"],
    ["050%", "5 %", "%"],
    ["50% 20%", "10%,30%\t40%", "100%"],
    ["maxconn:3", "maxconn:0", "maxconn:7x"],
    ["MAXCONN:9", "maxconn:x", "maxconn:3 maxconn:4"],
    ["drain 10% maxconn:2 up", "ready,50%\tup", "down up"],
    ["up down", "up nonsense", "down#why"],
    ["3% down # why , not", "up #a #b", "0% up"],
];
/// The last servers fail their checks, whatever the agents say.
const FAIL: usize = 3;

/// How a server stands: whether it is up, its administrative state, weight and limit, and whether its agent says that it is down.
#[derive(Debug, Eq, PartialEq)]
struct Stands {
    is_up: bool,
    admin: Admin,
    weight: u16,
    maxconn: u32,
    is_agent_down: bool,
}

/// How the servers stand with HAProxy, in their order.
fn theirs(haproxy: &Haproxy) -> Option<Vec<Stands>> {
    let (stat, state) = (haproxy.stat()?, haproxy.ask("show servers state\n")?);
    let mut stat = stat.lines().filter(|line| !line.is_empty()).map(fields);
    let names = stat.next()?;
    let column = |name| names.iter().position(|known| known.trim_start_matches("# ") == name);
    let (name, limit, agent) = (column("svname")?, column("slim")?, column("agent_health")?);
    let servers = stat.filter(|row| row[name].starts_with('s')).zip(state.lines().skip(2));
    let stands = |(stat, state): (Vec<String>, &str)| {
        let state: Vec<_> = state.split(' ').collect();
        assert_eq!(state[3], stat[name]);
        Stands {
            is_up: state[5] != "0",
            admin: match state[6] {
                "0" => Admin::Ready,
                "8" => Admin::Drain,
                "1" => Admin::Maint,
                other => panic!("an administrative state of {other}"),
            },
            weight: state[7].parse().unwrap(),
            maxconn: stat[limit].parse().unwrap_or(0),
            is_agent_down: stat[agent] == "0",
        }
    };
    Some(servers.map(stands).collect())
}

/// The same with us.
fn ours(running: &Running) -> Vec<Stands> {
    let backend = &running.halves.model.backends[0];
    let stands = |server: &Server| {
        let (identity, registry) = (server.identity("web"), &running.halves.registry);
        Stands {
            is_up: registry.standing(identity).keeps_existing(),
            admin: registry.standing(identity).admin,
            weight: registry.weight(identity, server.weight),
            maxconn: registry.maxconn(identity, server.limits.maxconn),
            is_agent_down: running.verdicts.agent(identity).unwrap().is_down,
        }
    };
    backend.servers.iter().map(stands).collect()
}

/// Probes and asks until the agents of both have said what they say twice.
async fn both(running: &mut Running, told: &mut Told, speakers: &[[Speaker; 2]]) {
    let all = || speakers.iter().flatten().all(|speaker| speaker.asked() > 2);
    let live = async {
        while !all() {
            tokio::select! {
                Some(outcome) = told.outcomes.1.recv() => running.judge([&outcome]),
                Some(heard) = told.heard.recv() => running.heard([&heard]),
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    timeout(Duration::from_secs(20), live).await.expect("all agents were asked");
}

/// What the loop of a worker listens to.
struct Told {
    outcomes: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    heard: mpsc::Receiver<Heard>,
}

#[tokio::test]
async fn haproxy_makes_the_same_of_the_same_words() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = open.local_addr().unwrap();
    let fail = CASES.iter().take(FAIL).map(|lines| (closed, *lines));
    let cases: Vec<_> = CASES.iter().map(|lines| (address, *lines)).chain(fail).collect();
    std::thread::spawn(move || open.incoming().for_each(drop));
    let speakers: Vec<_> = cases.iter().map(|_| [(); 2].map(|()| Speaker::start(Some("")))).collect();

    let mut web = backend("web", cases.iter().map(|(address, _)| *address));
    let every = Duration::from_millis(100);
    let check =
        Check { interval: every, fast_interval: every, down_interval: every, timeout: every * 5, ..Check::default() };
    web.check = Some(check);
    let mut text = "defaults\n  mode tcp\n  timeout client 5s\n  timeout server 5s\n  timeout connect 1s\n".to_owned();
    text += "backend web\n  balance roundrobin\n";
    for (server, [theirs, ours]) in web.servers.iter_mut().zip(&speakers) {
        (server.weight, server.limits) = (10, Limits { maxconn: 20, ..Limits::default() });
        let port = ours.address.port();
        server.agent = Some(Agent { port, interval: every, timeout: every * 5, ..Agent::default() });
        let (name, address, port) = (&server.name, server.address, theirs.address.port());
        let agent = format!("agent-check agent-port {port} agent-inter 100ms");
        writeln!(text, "  server {name} {address} weight 10 maxconn 20 check inter 100ms {agent}").unwrap();
    }
    let model = Arc::new(model(vec![], vec![web]));
    let (observed, _observed) = mpsc::channel(1);
    let (agents, heard) = mpsc::channel(64);
    let mut told = Told { outcomes: mpsc::channel(64), heard };
    let mut running = Running::first(&model, observed, agents).unwrap();
    let next = running.prepare(&model, None, BTreeMap::new()).unwrap();
    running.change_to(&model, next, BTreeMap::new(), &told.outcomes.0);
    let directory = tempfile::tempdir().unwrap();
    let haproxy = Haproxy::start(directory.path(), &text);

    // At the end the operator wants maintenance, while agents go on to say the last of their words.
    for round in 0..4 {
        if round == 3 {
            for server in &model.backends[0].servers {
                haproxy.ask(&format!("set server web/{} state maint\n", server.name)).unwrap();
                running.halves.registry.set_admin(server.identity("web"), Admin::Maint, By::Operator);
            }
        }
        for ((_, lines), speakers) in cases.iter().zip(&speakers) {
            let line = Some(lines[round.min(2)]).filter(|line| *line != "-");
            for speaker in speakers {
                speaker.say(line);
            }
        }
        let mut differ = String::new();
        // A verdict of HAProxy's may take effect a moment later.
        for _ in 0..20 {
            both(&mut running, &mut told, &speakers).await;
            differ.clear();
            for ((case, theirs), ours) in cases.iter().zip(theirs(&haproxy).unwrap()).zip(ours(&running)) {
                if theirs != ours {
                    writeln!(differ, "{:?}, round {round}\n  HAProxy {theirs:?}\n  Sluice  {ours:?}", case.1).unwrap();
                }
            }
            if differ.is_empty() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert!(differ.is_empty(), "{differ}");
    }
}
