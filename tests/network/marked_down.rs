//! `on_marked_down` of `l4`: a server whose check fails, and which serves all the same. Its connections move, stay or are reset,
//! new ones go to others, and nobody else notices.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{client::Flows, lab::Family, origin::Echo};
use std::{collections::BTreeMap, thread, time::Duration};

const FLOWS: usize = 90;
/// Where checks look: at another program than the one that serves.
const CHECKED: u16 = 7008;
/// What is looked at is started after the daemon: it has as many seconds as there are tens of failures.
const CHECK: &str = r#"{ type = "tcp", port = 7008, interval = "100ms", timeout = "3s", rise = 1, fall = 40, init_state = "fully-up" }"#;
const TRANSITION: Duration = Duration::from_secs(3);

/// The ways that are gone: one on which replies pass, and one on which they do not.
const WAYS: [(&str, Family); 2] = [("nat", Family::V4), ("direct", Family::V6)];

/// A scene in which web2 has failed its checks, all flows that were open before, and what is checked.
struct Failed {
    scene: Scene,
    flows: Flows,
    checked: BTreeMap<&'static str, Echo>,
}

impl Failed {
    fn with(choice: &str, (forward, family): (&'static str, Family)) -> Result<Self> {
        let backend = format!("transition = \"3s\"\non_marked_down = \"{choice}\"");
        let more = More { check: Some(CHECK), backend: &backend, ..More::default() };
        let scene = Scene::of(Way::within(forward, family), &WEBS, more)?;
        let start = |name: &&'static str| {
            let echo = Echo::start(scene.lab.machine(name)?, CHECKED, scene.lab.directory())?;
            Ok::<_, anyhow::Error>((*name, echo))
        };
        let mut checked: BTreeMap<_, _> = WEBS.iter().map(start).collect::<Result<_>>()?;
        let mut flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
        flows.exchange("before")?;
        ensure!(flows.by_server().keys().eq(WEBS), "{:?}", flows.by_server());
        checked.remove("web2").context("no such server")?.kill()?;
        scene.sluice.wait_shares("echo", SOON * 3, |shares| !shares.contains_key("web2"))?;
        Ok(Self { scene, flows, checked })
    }

    /// New connections go to the others, whatever becomes of the old ones.
    fn open(&self) -> Result<Flows> {
        let mut fresh = Flows::open(&self.scene.lab.client, self.scene.vip, FLOWS)?;
        ensure!(fresh.by_server().keys().eq(["web1", "web3"]), "new connections: {:?}", fresh.by_server());
        fresh.exchange("fresh")?;
        Ok(fresh)
    }

    fn recover(&mut self) -> Result<()> {
        let echo = Echo::start(self.scene.lab.machine("web2")?, CHECKED, self.scene.lab.directory())?;
        self.checked.insert("web2", echo);
        self.scene.sluice.wait_shares("echo", SOON, |shares| shares.contains_key("web2")).map(drop)
    }
}

#[test]
fn kept_connections_go_on_with_the_server_that_failed() -> Result<()> {
    for way in WAYS {
        let mut failed = Failed::with("keep", way)?;
        failed.flows.exchange("while it is down")?;
        let mut fresh = failed.open()?;
        // The slots become the others' alone; what spoke meanwhile is known by itself.
        for _ in 0..10 {
            thread::sleep(TRANSITION / 5);
            failed.flows.exchange("all along")?;
            fresh.exchange("all along")?;
        }
        failed.recover()?;
        failed.flows.exchange("after")?;
        fresh.exchange("after")?;
        failed.scene.over()?;
    }
    Ok(())
}

#[test]
fn connections_that_are_shut_down_are_reset_and_the_server_hears_nothing() -> Result<()> {
    for way in WAYS {
        let mut failed = Failed::with("shutdown-sessions", way)?;
        let heard = || Ok::<_, anyhow::Error>(failed.scene.sluice.maps()?.server("echo", "web2")?.packets);
        let before = heard()?;
        let (mut cut, mut living) = std::mem::take(&mut failed.flows).split("web2");
        living.exchange("while it is down")?;
        let of_web2 = cut.len();
        let broken = cut.exchange("while it is down").err().context("they went on")?.to_string();
        ensure!(broken.contains(&format!("\"web2\": ({of_web2}, ")) && broken.contains("reset"), "{broken}");
        let after = failed.scene.sluice.maps()?;
        ensure!(after.stopped("reset") >= of_web2 as u64, "{} of {of_web2}", after.stopped("reset"));
        ensure!(after.server("echo", "web2")?.packets == before, "web2 heard something");
        let mut fresh = failed.open()?;
        failed.recover()?;
        living.exchange("after")?;
        fresh.exchange("after")?;
        failed.scene.over()?;
    }
    Ok(())
}

#[test]
fn without_a_choice_they_move() -> Result<()> {
    let mut failed = Failed::with("move", ("nat", Family::V4))?;
    let (mut moved, mut living) = std::mem::take(&mut failed.flows).split("web2");
    living.exchange("while it is down")?;
    let broken = moved.exchange("while it is down").err().context("they went on")?.to_string();
    // By servers who know nothing of them.
    let maps = failed.scene.sluice.maps()?;
    ensure!(broken.contains("reset") && maps.stopped("reset") == 0 && maps.noted("reselected") > 0, "{broken}");
    let mut fresh = failed.open()?;
    failed.recover()?;
    living.exchange("after")?;
    fresh.exchange("after")?;
    failed.scene.over()
}
