//! Two balancers with real keepalived and the configurations of the examples: floating addresses move when one dies or is not
//! ready, and back when it is well again. Both have the same rings, so that flows go on.

use crate::examples::adapted;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Connection, Exchange, Flows, Load},
    keepalived::Keepalived,
    lab::{Balancer, DEVICE, Family, Lab},
    origin::{Echo, Listen, Nginx},
    sluice::{Sluice, complaint},
    wait,
};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;

const FLOWS: usize = 200;
/// The servers of the examples.
const WEBS: [&str; 3] = ["web1", "web2", "web3"];
/// A fifth of a second instead of one.
const ADVERTISED: (&str, &str) = ("advert_int 1", "advert_int 0.2");
/// Longest wait for addresses to move: keepalived asks every second and wants two answers.
const MOVED: Duration = Duration::from_secs(20);
/// Longest time that a balancer which is dead may be missed: four advertisements, and a machine that is busy.
const MISSED: Duration = Duration::from_secs(5);

/// The floating addresses of the l4 frontends.
fn shop() -> [IpAddr; 2] {
    Family::BOTH.map(Family::direct_vip)
}

/// Those of the proxy's.
fn site() -> [IpAddr; 2] {
    Family::BOTH.map(Family::proxy_vip)
}

/// All of them.
fn floating() -> Vec<IpAddr> {
    [shop(), site()].concat()
}

/// Connections to the l4 frontends, half of them of each family.
fn open(lab: &Lab, count: usize) -> Result<Flows> {
    let mut flows = Flows::default();
    for address in shop() {
        flows.append(Flows::open(&lab.client, (address, 80).into(), count / 2)?);
    }
    Ok(flows)
}

/// Requests to the proxy's frontend.
fn requests(lab: &Lab) -> Load {
    Load::start(&lab.client, (Family::V4.proxy_vip(), 80).into())
}

/// A balancer with what runs there.
struct Side {
    balancer: Balancer,
    sluice: Sluice,
    keepalived: Keepalived,
    /// The configurations of both.
    configs: [String; 2],
}

impl Side {
    fn start(balancer: Balancer, configs: [String; 2]) -> Result<Self> {
        let sluice = Sluice::start_on(&balancer, &configs[0])?;
        let keepalived = Keepalived::start(&balancer, &configs[1])?;
        Ok(Self { balancer, sluice, keepalived, configs })
    }

    /// It loses its cable, and then its life.
    fn die(mut self, lab: &Lab) -> Result<(Balancer, [String; 2])> {
        self.balancer.set_plugged(lab, false)?;
        self.keepalived.kill()?;
        self.sluice.kill()?;
        Ok((self.balancer, self.configs))
    }

    /// What `sluice ready` says: its exit status, and its words.
    fn ready(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.sluice.cli(&[&["ready"], arguments].concat())?;
        Ok((output.status.code(), complaint(&output)))
    }

    fn has(&self, addresses: &[IpAddr]) -> Result<bool> {
        addresses.iter().try_fold(true, |all, address| Ok(all && self.balancer.has(*address)?))
    }
}

/// Two balancers before servers.
struct Pair {
    first: Option<Side>,
    second: Side,
    _servers: (Vec<Echo>, Vec<Nginx>),
    lab: Lab,
    over: bool,
}

impl Drop for Pair {
    /// Of a scenario that failed the logs are worth reading; in a moment they are gone.
    fn drop(&mut self) {
        for side in self.first.iter().chain([&self.second]).filter(|_| !self.over) {
            println!("{}:\n{}\n{}", side.balancer.namespace.name(), side.keepalived.log(), side.sluice.log());
        }
    }
}

impl Pair {
    /// `moves` is the configuration of keepalived on the first balancer.
    fn start(moves: &str) -> Result<Self> {
        let lab = Lab::new()?;
        let second = lab.add_balancer(&floating())?;
        let first = lab.first_balancer();
        let echoes = WEBS.map(|name| Echo::start(lab.machine(name)?, 80, lab.directory()));
        let listen = Listen { site: "site", port: 8080, keep_alive: true };
        let sites = ["web1", "web2"].map(|name| Nginx::start(lab.machine(name)?, lab.directory(), &[listen]));
        let servers = (echoes.into_iter().collect::<Result<_>>()?, sites.into_iter().collect::<Result<_>>()?);

        let example = include_str!("../../lb-userspace/examples/keepalived/sluice.toml");
        let quick = ("interval = \"1s\"", "interval = \"100ms\", timeout = \"3s\"");
        let config = adapted(example, &[quick, ("interfaces = [\"eth0\"]\n", "")])?;
        let moves = adapted(moves, &[ADVERTISED, ("eth0", DEVICE)])?;
        let priorities =
            [("priority 150", "priority _"), ("priority 100", "priority 150"), ("priority _", "priority 100")];
        let others = adapted(&moves, &priorities)?.replace("router_id lb1", "router_id lb2");
        let second = Side::start(second, [config.clone(), others])?;
        let first = Some(Side::start(first, [config, moves])?);
        Ok(Self { first, second, _servers: servers, lab, over: false })
    }

    fn first(&self) -> Result<&Side> {
        self.first.as_ref().context("it is dead")
    }

    /// Waits until the first balancer has these addresses and the second the others, and says how long that took.
    fn wait_first_has(&self, addresses: &[IpAddr]) -> Result<Duration> {
        let (begun, first) = (Instant::now(), self.first()?);
        let others: Vec<_> = floating().into_iter().filter(|address| !addresses.contains(address)).collect();
        wait::until("the addresses to be with their first balancer", MOVED, || {
            Ok((first.has(addresses)? && self.second.has(&others)?).then_some(()))
        })?;
        Ok(begun.elapsed())
    }

    /// Waits until the second balancer has all addresses, and says how long that took.
    fn wait_second_has_all(&self) -> Result<Duration> {
        let begun = Instant::now();
        wait::until("the addresses to be with the other balancer", MOVED, || {
            Ok(self.second.has(&floating())?.then_some(()))
        })?;
        Ok(begun.elapsed())
    }

    /// New connections to both addresses work.
    fn serves(&self, phase: &str) -> Result<()> {
        let mut flows = open(&self.lab, 120).context(phase.to_owned())?;
        flows.exchange(phase)?;
        ensure!(flows.by_server().keys().eq(WEBS), "{phase}: {:?}", flows.by_server());
        for address in site() {
            let answer = Connection::open(&self.lab.client, (address, 80).into())?.get("/");
            let answer = answer.with_context(|| format!("{phase}, {address}"))?;
            ensure!(answer.status == 200, "{phase}, {address}: {answer:?}");
        }
        Ok(())
    }

    fn over(mut self) {
        self.over = true;
    }
}

/// Flows that say something all the time.
struct Steady {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Flows, Duration)>>,
}

impl Steady {
    fn start(mut flows: Flows) -> Self {
        const PAUSE: Duration = Duration::from_millis(10);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                flows.exchange("all the time")?;
                longest = longest.max(begun.elapsed());
                thread::sleep(PAUSE);
            }
            Ok((flows, longest))
        });
        Self { stop, thread }
    }

    /// The flows, of which none is broken, and for how long one had to wait for its answer.
    fn stop(self) -> Result<(Flows, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("a client thread panicked")?
    }
}

/// How many requests failed, and for how long none was answered.
fn outage(exchanges: &[Exchange]) -> (usize, Duration) {
    let mut answered: Vec<_> =
        exchanges.iter().filter(|exchange| exchange.result.is_ok()).map(|one| one.ended).collect();
    answered.sort_unstable();
    let gaps = answered.iter().zip(answered.iter().skip(1)).map(|(before, after)| *after - *before);
    (exchanges.len() - answered.len(), gaps.max().unwrap_or_default())
}

const ACTIVE_STANDBY: &str = include_str!("../../lb-userspace/examples/keepalived/active-standby.conf");
const ACTIVE_ACTIVE: &str = include_str!("../../lb-userspace/examples/keepalived/active-active.conf");

#[test]
fn a_balancer_dies_and_flows_go_on_through_the_other_and_back() -> Result<()> {
    let mut pair = Pair::start(ACTIVE_STANDBY)?;
    pair.wait_first_has(&floating())?;
    pair.serves("through the first")?;
    let flows = open(&pair.lab, FLOWS)?;
    let by_server = flows.by_server();
    let (steady, load) = (Steady::start(flows), requests(&pair.lab));
    thread::sleep(Duration::from_millis(500));

    let died = Instant::now();
    let (balancer, configs) = pair.first.take().context("a first one")?.die(&pair.lab)?;
    pair.wait_second_has_all()?;
    let moved = died.elapsed();
    ensure!(moved < MISSED, "only after {moved:?}");
    pair.serves("through the second")?;
    let (flows, gap) = steady.stop()?;
    let (failed, none) = outage(&load.stop()?);
    println!(
        "a balancer died: its addresses moved after {moved:.1?}; of {FLOWS} flows {by_server:?} 0 broken, the longest gap of one \
         {gap:.1?}; the proxy's requests: {failed} failed, none was answered for {none:.1?}"
    );

    // It is switched on again.
    let (steady, load) = (Steady::start(flows), requests(&pair.lab));
    balancer.forget(&floating())?;
    balancer.set_plugged(&pair.lab, true)?;
    pair.first = Some(Side::start(balancer, configs)?);
    let back = pair.wait_first_has(&floating())?;
    pair.serves("through the first again")?;
    let (flows, gap) = steady.stop()?;
    let (failed, none) = outage(&load.stop()?);
    ensure!(flows.by_server() == by_server);
    println!(
        "it came back: its addresses {back:.1?} after its start; 0 flows broken, the longest gap of one {gap:.1?}; the proxy's \
         requests: {failed} failed, none was answered for {none:.1?}"
    );
    pair.over();
    Ok(())
}

#[test]
fn a_balancer_that_is_not_ready_yields_until_it_is() -> Result<()> {
    let mut pair = Pair::start(ACTIVE_STANDBY)?;
    pair.wait_first_has(&floating())?;
    for side in [pair.first()?, &pair.second] {
        let (code, words) = side.ready(&[])?;
        ensure!(code == Some(0) && words.contains("\nready\n"), "{words}");
    }
    let steady = Steady::start(open(&pair.lab, FLOWS)?);

    // The operator wants the other one to take over: no server takes anything new here.
    let all = |state: &str| {
        WEBS.iter().try_for_each(|web| pair.first()?.sluice.command(&["server", state, &format!("shop_be/{web}")]))
    };
    all("drain")?;
    let moved = pair.wait_second_has_all()?;
    pair.serves("through the second")?;
    all("ready")?;
    let back = pair.wait_first_has(&floating())?;
    let (flows, gap) = steady.stop()?;
    println!(
        "all servers were drained on a balancer: its addresses moved after {moved:.1?}, and {back:.1?} after they were ready \
         again they were back; of {FLOWS} flows 0 broken, the longest gap of one {gap:.1?}"
    );

    // The first one does not reach the servers any more. They are well, and the second one does. (Flows that speak in between
    // it gives to whichever server it gives up last, and remembers that: these are lost.)
    let routes = |verb: &str| {
        WEBS.iter().try_for_each(|name| {
            let web = pair.lab.machine(name)?;
            pair.lab.balancer.ip(Family::BOTH.map(|family| format!("route {verb} unreachable {}", web.own(family))))
        })
    };
    routes("add")?;
    let moved = pair.wait_second_has_all()?;
    let (code, words) = pair.first()?.ready(&["--frontend", "shop"])?;
    let lost = "not ready: frontend shop has lost its quorum of 2: 0 servers take new traffic in backend shop_be";
    ensure!(code == Some(1) && words.contains(lost), "{words}");
    pair.serves("through the second")?;
    routes("del")?;
    let back = pair.wait_first_has(&floating())?;
    pair.serves("through the first again")?;
    println!(
        "a balancer lost its servers: its addresses moved after {moved:.1?}, and {back:.1?} after it had them again they were back"
    );

    // Its daemon dies; the kernel goes on until the addresses have moved.
    let steady = Steady::start(flows);
    pair.first.as_mut().context("a first one")?.sluice.kill()?;
    let moved = pair.wait_second_has_all()?;
    let (code, words) = pair.first()?.ready(&[])?;
    ensure!(code == Some(2) && words.contains("no daemon is running"), "{words}");
    pair.serves("without the first's daemon")?;
    let first = pair.first.as_mut().context("a first one")?;
    first.sluice = Sluice::start_on(&first.balancer, &first.configs[0])?;
    let back = pair.wait_first_has(&floating())?;
    let (_, gap) = steady.stop()?;
    println!(
        "a daemon died: its addresses moved after {moved:.1?}, and were back {back:.1?} after its restart; 0 flows broken, the \
         longest gap of one {gap:.1?}"
    );
    pair.over();
    Ok(())
}

#[test]
fn two_balancers_work_and_each_takes_over_from_the_other() -> Result<()> {
    let mut pair = Pair::start(ACTIVE_ACTIVE)?;
    pair.wait_first_has(&shop())?;
    pair.serves("each its own")?;
    let steady = Steady::start(open(&pair.lab, FLOWS)?);
    let died = Instant::now();
    let (balancer, configs) = pair.first.take().context("a first one")?.die(&pair.lab)?;
    pair.wait_second_has_all()?;
    let moved = died.elapsed();
    ensure!(moved < MISSED, "only after {moved:?}");
    pair.serves("both through the second")?;
    balancer.forget(&floating())?;
    balancer.set_plugged(&pair.lab, true)?;
    pair.first = Some(Side::start(balancer, configs)?);
    pair.wait_first_has(&shop())?;
    pair.serves("each its own again")?;
    let (_, gap) = steady.stop()?;

    // The operator takes the servers of one frontend from one balancer: only that address moves.
    for server in ["web1", "web2"] {
        pair.second.sluice.command(&["server", "maint", &format!("site_be/{server}")])?;
    }
    pair.wait_first_has(&floating())?;
    ensure!(pair.second.ready(&["--frontend", "shop"])?.0 == Some(0) && pair.second.ready(&[])?.0 == Some(1));
    pair.serves("both through the first")?;
    println!(
        "one of two working balancers died: its address moved after {moved:.1?}; 0 flows broken, the longest gap {gap:.1?}"
    );
    pair.over();
    Ok(())
}
