//! Long flows under a ring that keeps changing: servers drain, fail, return, and change their weight, and no flow of a
//! living server moves.

use crate::scene::{self, More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result};
use lb_tests::{
    client::{Flows, udp::Talks},
    lab::Family,
    wait,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    panic::resume_unwind,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Connections, and as many UDP flows.
const FLOWS: usize = 250;

/// Slots that changed hands are done with it after three seconds: some do while the test runs. All flows speak more often.
const TRANSITION: &str = "transition = \"3s\"";

/// So often the ring changes, and in the long form.
const CHANGES: (usize, usize) = (15, 50);

#[test]
fn no_flow_of_a_living_server_moves_under_nat() -> Result<()> {
    outlive([Way::within("nat", Family::V4), Way::within("nat", Family::V6)])
}

#[test]
fn no_flow_of_a_living_server_moves_under_direct() -> Result<()> {
    outlive([Way::within("direct", Family::V6), Way::within("direct", Family::V4)])
}

#[test]
fn no_flow_of_a_living_server_moves_under_fullnat() -> Result<()> {
    outlive([Way::within("fullnat", Family::V4), Way::within("fullnat", Family::V6)])
}

#[test]
fn no_flow_of_a_living_server_moves_under_gue() -> Result<()> {
    let [four, six] = Family::BOTH;
    outlive([(four, six), (six, four)].map(|(vip, servers)| Way { forward: "gue", vip, servers }))
}

/// What may be done to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    Drain,
    Ready,
    Fail,
    Return,
    Weigh(u8),
}

/// How a server is.
#[derive(Clone, Copy, Debug)]
struct Standing {
    ready: bool,
    running: bool,
    weight: u8,
}

/// The second way only in the long form.
fn outlive(ways: [Way; 2]) -> Result<()> {
    let (ways, changes) = if scene::is_long() { (&ways[..], CHANGES.1) } else { (&ways[..1], CHANGES.0) };
    ways.iter().try_for_each(|way| outlive_one(*way, changes).with_context(|| format!("{way:?}")))
}

fn outlive_one(way: Way, changes: usize) -> Result<()> {
    let more = More { backend: TRANSITION, ..More::default() };
    let mut stage = Stage::set(Scene::alone(way, &WEBS, more)?, way)?;
    for number in 0..changes {
        let (server, change) = stage.choose();
        let label = format!("change {number}: {change:?} of {server}");
        stage.change(server, change).with_context(|| format!("{label}, seed {}\n{:?}", stage.seed, stage.standings))?;
        stage.refill()?;
    }
    println!(
        "{way:?}: {changes} changes under {} flows, seed {}, {:?}; {} flows died with their servers, 0 of the others",
        2 * FLOWS,
        stage.seed,
        stage.made,
        stage.lost
    );
    stage.scene.over()
}

struct Stage {
    scene: Scene,
    way: Way,
    flows: Flows,
    talks: Talks,
    standings: BTreeMap<&'static str, Standing>,
    seed: u64,
    random: fastrand::Rng,
    made: BTreeMap<String, usize>,
    lost: usize,
}

impl Stage {
    fn set(scene: Scene, way: Way) -> Result<Self> {
        // Another story each time; a failure names the seed that tells it again.
        let seed = env::var("SLUICE_SEED").map_or_else(|_| Ok(fastrand::u64(..)), |text| text.parse())?;
        let standings = WEBS.map(|server| (server, Standing { ready: true, running: true, weight: 1 })).into();
        let mut stage = Self {
            scene,
            way,
            flows: Flows::default(),
            talks: Talks::default(),
            standings,
            seed,
            random: fastrand::Rng::with_seed(seed),
            made: BTreeMap::new(),
            lost: 0,
        };
        stage.refill()?;
        Ok(stage)
    }

    /// Opens as many flows as are missing.
    fn refill(&mut self) -> Result<()> {
        let (client, vip) = (&self.scene.lab.client, self.scene.vip);
        self.flows.append(Flows::open(client, vip, FLOWS - self.flows.len())?);
        self.talks.append(Talks::open(client, vip, FLOWS - self.talks.len())?);
        Ok(())
    }

    /// Something that can be done. One server at least remains that takes new flows.
    fn choose(&mut self) -> (&'static str, Change) {
        loop {
            let Some((&server, &Standing { ready, running, .. })) = self.random.choice(&self.standings) else {
                unreachable!("there are servers")
            };
            let others = self.standings.iter().filter(|(name, of)| **name != server && of.ready && of.running).count();
            // Failures are rarer, because each takes the server's flows with it.
            let change = match self.random.u8(..8) {
                0 if running => Change::Fail,
                0..3 if !running => Change::Return,
                1..4 if ready => Change::Drain,
                1..6 if !ready => Change::Ready,
                6.. => Change::Weigh(self.random.u8(1..=4)),
                _ => continue,
            };
            if others > 0 || !matches!(change, Change::Fail | Change::Drain) {
                return (server, change);
            }
        }
    }

    /// Makes the change while all flows of the other servers speak, again and again.
    fn change(&mut self, server: &'static str, change: Change) -> Result<()> {
        if change == Change::Fail {
            let (flows, talks) =
                (std::mem::take(&mut self.flows).split(server), std::mem::take(&mut self.talks).split(server));
            self.lost += flows.0.len() + talks.0.len();
            (self.flows, self.talks) = (flows.1, talks.1);
        }
        *self
            .made
            .entry(format!("{change:?}").chars().take_while(|letter| letter.is_alphabetic()).collect())
            .or_default() += 1;
        let Self { scene, flows, talks, standings, way, .. } = self;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let busy = scope.spawn(|| -> Result<()> {
                // Once more when it is done: that is what counts.
                loop {
                    let last = done.load(Ordering::Acquire);
                    flows.exchange("going on")?;
                    talks.exchange("going on")?;
                    if last {
                        return Ok(());
                    }
                }
            });
            let changed = make(scene, *way, standings, server, change);
            done.store(true, Ordering::Release);
            let spoke = busy.join().unwrap_or_else(|panic| resume_unwind(panic));
            changed.and(spoke)
        })
    }
}

/// Makes a change and waits until the ring shows it.
fn make(
    scene: &mut Scene,
    way: Way,
    standings: &mut BTreeMap<&'static str, Standing>,
    server: &'static str,
    change: Change,
) -> Result<()> {
    let standing = standings.get_mut(server).context("no such server")?;
    let name = format!("echo/{server}");
    match change {
        Change::Drain | Change::Ready => {
            standing.ready = change == Change::Ready;
            scene.sluice.command(&["server", if standing.ready { "ready" } else { "drain" }, &name])?;
        }
        Change::Fail | Change::Return => {
            standing.running = change == Change::Return;
            if standing.running {
                scene.start_echo(server)?;
            } else {
                scene.kill_echo(server)?;
            }
            let wanted = if standing.running { "up" } else { "down" };
            wait::until("the check to notice", SOON, || {
                Ok((scene.sluice.status()?.server("echo", server)?.health == wanted).then_some(()))
            })?;
        }
        Change::Weigh(weight) => {
            standing.weight = weight;
            reload(scene, way, standings)?;
        }
    }
    let takes = |of: &Standing| of.ready && of.running;
    let wanted: BTreeSet<_> =
        standings.iter().filter(|(_, of)| takes(of)).map(|(name, _)| (*name).to_owned()).collect();
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(&wanted)).map(drop)
}

fn reload(scene: &Scene, way: Way, standings: &BTreeMap<&'static str, Standing>) -> Result<()> {
    let more = More { backend: TRANSITION, ..More::default() };
    let mut config = scene::config_of(&scene.lab, way, &WEBS, more)?;
    for (server, Standing { weight, .. }) in standings {
        config =
            config.replace(&format!("name = \"{server}\"\n"), &format!("name = \"{server}\"\nweight = {weight}\n"));
    }
    scene.sluice.write_config(&scene.lab, &config)?;
    scene.sluice.command(&["reload"])
}
