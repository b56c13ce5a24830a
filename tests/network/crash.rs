//! `kill -9` of any process of the daemon at any moment: what the kernel holds is one generation or the other, what is open goes
//! on, and what ended is there again.

mod detached;
mod heartbeat;
mod orphans;

use crate::scene::{self, SOON, Scene, WEBS};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    binary,
    client::{Connection, Flows},
    lab::{Lab, NAT_VIP, PROXY_VIP},
    origin::{Listen, Nginx},
    process,
    sluice::Sluice,
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    panic::resume_unwind,
    process::Command,
    thread,
    time::Duration,
};
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };

/// Kills, and in the long form.
const KILLS: (usize, usize) = (10, 200);

/// Flows that are open all the time, at servers that nothing is done to.
const FLOWS: usize = 100;

/// A worker or runner is there again within this time: the pause before it doubles up to five seconds while they keep dying.
const BACK: Duration = Duration::from_secs(12);

/// An upgrade takes about this time: a daemon starts, and checks all servers.
const UPGRADE: Duration = Duration::from_millis(1_500);

/// The worker of a dead supervisor has ended within this time.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Whom to kill.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Supervisor,
    Worker,
    Runner,
}

/// What is going on at that time.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    /// To one of the configurations of [`config`].
    Reload(usize),
    /// To the same binary.
    Upgrade,
    Drain,
    Ready,
    Weigh,
    Fail,
}

impl Deed {
    fn verb(self) -> &'static [&'static str] {
        match self {
            Self::Reload(_) => &["reload"],
            Self::Upgrade => &["upgrade"],
            Self::Drain => &["server", "drain", "echo/web3"],
            Self::Ready => &["server", "ready", "echo/web3"],
            Self::Weigh => &["server", "weight", "echo/web3", "50%"],
            Self::Nothing | Self::Fail => &["status"],
        }
    }

    /// The kill comes at a random moment within this time.
    fn lasts(self) -> Duration {
        if matches!(self, Self::Upgrade) { UPGRADE } else { Duration::from_millis(60) }
    }
}

/// Which servers, VIPs and weights there are. Whatever it is, `web1` and `web2` are servers of `echo`.
fn config(lab: &Lab, which: usize) -> Result<String> {
    let (check, script) = (scene::FAST_CHECK, "/bin/true");
    let servers: &[&str] = if which.is_multiple_of(2) { &WEBS } else { &["web1", "web2"] };
    let mut text = "on_stop = \"keep\"\nstop_timeout = \"2s\"\nexec_checks = true\nexec_user = \"daemon\"\n".to_owned();
    text += &scene::config(lab, "nat", servers)?;
    if which >= 2 {
        text = text.replacen("name = \"web1\"\n", "name = \"web1\"\nweight = 3\n", 1);
    }
    write!(
        text,
        "[frontend.web]\nmode = \"http\"\nbind = \"{PROXY_VIP}:80\"\ndefault_backend = \"web\"\n\
         [backend.web]\nbalance = \"roundrobin\"\ncheck = {check}\n{}\
         [frontend.other]\nmode = \"tcp\"\nbind = \"{PROXY_VIP}:81\"\ndefault_backend = \"other\"\n\
         [backend.other]\ncheck = {{ type = \"exec\", command = \"{script}\", interval = \"200ms\" }}\n{}",
        lab.servers("web", &["web1"], 8080)?,
        lab.servers("other", &["web1"], 8080)?
    )?;
    if which.is_multiple_of(3) {
        write!(
            text,
            "[frontend.more]\nmode = \"l4\"\nbind = \"{NAT_VIP}:80\"\ndefault_backend = \"more\"\n\
             [backend.more]\nbalance = \"maglev\"\nforward = \"nat\"\ncheck = {check}\n{}",
            lab.servers("more", &["web1"], 8080)?
        )?;
    }
    Ok(text)
}

/// The supervisor that serves: after an upgrade it is none that this test started.
fn supervisor(sluice: &Sluice) -> Result<Pid> {
    Pid::from_raw(sluice.status()?.pid).context("no supervisor")
}

/// The processes of a supervisor by what they are.
fn children(supervisor: Pid) -> Result<BTreeMap<String, Pid>> {
    let supervisor = supervisor.as_raw_nonzero();
    let listed = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))?;
    let child = |pid: &str| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let name = line.strip_prefix("sluice\0")?.split('\0').next()?.to_owned();
        Some((name, Pid::from_raw(pid.parse().ok()?)?))
    };
    Ok(listed.split_whitespace().filter_map(child).collect())
}

/// What is pinned, as one reads it who knows no daemon.
fn kernel(scene: &Scene) -> Result<Value> {
    let mut command = Command::new(binary()?);
    command.args(["maps", "--json", "--socket", "/run/no-such-sluice.sock", "--pins"]).arg(scene.lab.pins());
    Ok(serde_json::from_str(&process::run(&mut command)?)?)
}

fn rows<'a>(maps: &'a Value, of: &str) -> Result<&'a Vec<Value>> {
    maps[of].as_array().with_context(|| format!("no {of} in {maps}"))
}

/// One generation or the other: every VIP has a ring, all of a ring is somebody's, and all of these are servers.
fn is_whole(scene: &Scene, vips: &BTreeSet<String>) -> Result<()> {
    let maps = kernel(scene)?;
    let rings: BTreeMap<_, _> =
        rows(&maps, "rings")?.iter().map(|ring| (ring["id"].as_u64(), &ring["shares"])).collect();
    let servers: BTreeSet<_> =
        rows(&maps, "servers")?.iter().filter_map(|server| Some(format!("#{}", server["id"].as_u64()?))).collect();
    let mut there = BTreeSet::new();
    for vip in rows(&maps, "vips")? {
        ensure!(rings.contains_key(&vip["ring"].as_u64()), "a VIP without its ring: {vip} in {maps}");
        there.insert(vip["address"].as_str().unwrap_or_default().to_owned());
    }
    ensure!(vips.is_subset(&there), "VIPs are missing: {there:?}");
    for shares in rings.values() {
        let names: Vec<_> =
            shares.as_array().into_iter().flatten().filter_map(|share| share["server"].as_str()).collect();
        ensure!(!names.is_empty() && names.iter().all(|name| servers.contains(*name)), "{names:?} of {servers:?}");
    }
    Ok(())
}

fn seed() -> Result<u64> {
    env::var("SLUICE_SEED").map_or_else(|_| Ok(fastrand::u64(..)), |seed| Ok(seed.parse()?))
}

fn any_of<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> Result<T> {
    random.choice(from).copied().context("nothing to choose from")
}

#[test]
fn whatever_is_killed_at_whatever_moment_nothing_is_torn_and_all_comes_back() -> Result<()> {
    let kills = if scene::is_long() { KILLS.1 } else { KILLS.0 };
    let seed = seed()?;
    println!("seed {seed} (SLUICE_SEED)");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"keep\"\n")?;
    let _nginx = Nginx::start(scene.lab.machine("web1")?, scene.lab.directory(), &[SITE])?;
    settle(&mut scene)?;
    let mut flows = open(&scene)?;
    let vips = BTreeSet::from([scene.vip.to_string()]);
    let (mut slowest, mut orphan) = (BTreeMap::<_, Duration>::new(), Duration::ZERO);
    for kill in 0..kills {
        let deed = any_of(
            &mut random,
            &[
                Deed::Nothing,
                Deed::Reload(1),
                Deed::Reload(2),
                Deed::Reload(3),
                Deed::Reload(5),
                Deed::Upgrade,
                Deed::Drain,
                Deed::Ready,
                Deed::Weigh,
                Deed::Fail,
            ],
        )?;
        let victim = any_of(&mut random, &[Victim::Supervisor, Victim::Worker, Victim::Worker, Victim::Runner])?;
        let delay = deed.lasts().mul_f64(random.f64());
        let what = format!("seed {seed}, kill {kill}: {victim:?} {delay:?} into {deed:?}");
        let took =
            one(&mut scene, &mut flows, (victim, deed, delay), &vips, &mut orphan).with_context(|| what.clone())?;
        let slow = slowest.entry(format!("{victim:?}")).or_default();
        *slow = took.max(*slow);
        settle(&mut scene).with_context(|| what.clone())?;
        flows.exchange("once all is as before").with_context(|| what.clone())?;
    }
    println!(
        "{kills} kills, {} flows: 0 broken; slowest to be there again: {slowest:?}; an orphaned worker took {orphan:?} at most",
        flows.len()
    );
    scene.over()
}

/// Flows at servers that nothing is done to.
fn open(scene: &Scene) -> Result<Flows> {
    Ok(Flows::open(&scene.lab.client, scene.vip, FLOWS)?.split("web3").1)
}

/// One kill; returns after which time the process was there again.
fn one(
    scene: &mut Scene,
    flows: &mut Flows,
    (victim, deed, delay): (Victim, Deed, Duration),
    vips: &BTreeSet<String>,
    orphan: &mut Duration,
) -> Result<Duration> {
    let old = supervisor(&scene.sluice)?;
    let before = children(old)?;
    let pid = match victim {
        Victim::Supervisor => old,
        Victim::Worker => *before.get("worker").context("no worker")?,
        Victim::Runner => *before.get("runner").context("no runner")?,
    };
    if let Deed::Reload(which) = deed {
        scene.sluice.write_config(&scene.lab, &config(&scene.lab, which)?)?;
    }
    if matches!(deed, Deed::Fail) {
        scene.kill_echo("web3")?;
    }
    let sluice = &scene.sluice;
    thread::scope(|scope| {
        // Whoever asks a process that dies hears nothing, or that it failed.
        scope.spawn(|| sluice.cli(deed.verb()));
        thread::sleep(delay);
        kill_process(pid, Signal::KILL)
    })?;
    let killed = Instant::now();
    is_whole(scene, vips)?;
    flows.exchange("after the kill")?;
    if matches!(deed, Deed::Upgrade) {
        go_on(scene)?;
        is_whole(scene, vips)?;
        return Ok(killed.elapsed());
    }
    match victim {
        Victim::Supervisor => {
            let worker = *before.get("worker").context("no worker")?;
            let Scene { sluice, lab, .. } = scene;
            let (started, ended) = thread::scope(|scope| {
                let ended = scope.spawn(|| {
                    wait::until("the end of the orphaned worker", STOP_TIMEOUT + SOON, || {
                        Ok((!is_running(worker)).then(|| killed.elapsed()))
                    })
                });
                let started = sluice.start_again(lab).map(|()| killed.elapsed());
                (started, ended.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            let started = started?;
            *orphan = ended?.max(*orphan);
            is_whole(scene, vips)?;
            return Ok(started);
        }
        Victim::Worker | Victim::Runner => {
            let name = if matches!(victim, Victim::Worker) { "worker" } else { "runner" };
            let is_other = |there: &BTreeMap<String, Pid>| there.get(name).is_some_and(|other| *other != pid);
            wait::until(&format!("another {name}"), BACK, || Ok(is_other(&children(old)?).then_some(())))?;
            wait::until("an answer", BACK, || scene.sluice.status().map(Some))?;
        }
    }
    let took = killed.elapsed();
    is_whole(scene, vips)?;
    Ok(took)
}

/// After a kill in an upgrade the old daemon serves, or the new one, or nobody is left and has to be started again.
fn go_on(scene: &mut Scene) -> Result<()> {
    let is_served = wait::until("somebody to serve, or nobody to be left", BACK, || {
        let serves = supervisor(&scene.sluice).is_ok_and(is_running);
        Ok((serves || scene.lab.balancer.pids()?.is_empty()).then_some(serves))
    })?;
    if is_served { Ok(()) } else { scene.sluice.start_again(&scene.lab) }
}

fn is_running(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// All is as at the start, whatever was taken up of what was asked for: servers, weights, VIPs; requests are served.
fn settle(scene: &mut Scene) -> Result<()> {
    if !scene.echoes.contains_key("web3") {
        scene.start_echo("web3")?;
    }
    scene.sluice.write_config(&scene.lab, &config(&scene.lab, 0)?)?;
    wait::until("a reload", BACK, || scene.sluice.command(&["reload"]).map(Some))?;
    scene.sluice.command(&["server", "ready", "echo/web3"])?;
    scene.sluice.command(&["server", "weight", "echo/web3", "100%"])?;
    let thirds = |shares: &BTreeMap<String, f64>| {
        shares.keys().eq(WEBS) && shares.values().all(|share| (0.3..0.37).contains(share))
    };
    scene.sluice.wait_shares("echo", SOON, thirds)?;
    let vips = BTreeSet::from([scene.vip.to_string(), format!("{NAT_VIP}:80")]);
    is_whole(scene, &vips)?;
    for address in [PROXY_VIP, NAT_VIP] {
        let answer = wait::until("a request", SOON, || {
            Connection::open(&scene.lab.client, (address, 80).into())?.get("/").map(Some)
        })?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    wait::until("the runner", BACK, || Ok(children(supervisor(&scene.sluice)?)?.contains_key("runner").then_some(())))
}

#[test]
fn a_worker_that_dies_of_a_new_configuration_leaves_the_one_before_it() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
    let before = scene.sluice.status()?;
    // It cannot take the configuration up before it dies.
    kill_process(before.worker()?, Signal::STOP)?;
    let other = scene::config(&scene.lab, "nat", &["web1", "web2"])?;
    scene.sluice.write_config(&scene.lab, &other)?;
    scene.sluice.signal(Signal::HUP)?;
    thread::sleep(Duration::from_millis(300));
    kill_process(before.worker()?, Signal::KILL)?;
    wait::until("the refusal", SOON, || {
        let log = scene.sluice.log();
        let refused = log.contains("configuration refused") && log.contains("instead of taking up the configuration");
        Ok(refused.then_some(()))
    })?;
    let after = wait::until("another worker", SOON, || {
        Ok(Some(scene.sluice.status()?).filter(|status| status.worker_pid != before.worker_pid))
    })?;
    ensure!((after.pid, after.generation) == (before.pid, before.generation), "{after:?}");
    ensure!(scene.sluice.maps()?.shares("echo")?.keys().eq(WEBS), "the new configuration was taken up");
    flows.exchange("with another worker and the old configuration")?;
    scene.sluice.command(&["reload"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web1", "web2"]))?;
    scene.over()
}
