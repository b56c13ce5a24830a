//! Who answers a ping of a VIP: the kernel half, whether a server is up or only while one is, or the host.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Result, ensure};
use lb_tests::{lab::Family, process, wait};

/// Echo requests, one after the other, of several sizes. Whether all of them were answered.
fn answers(scene: &Scene) -> bool {
    [0, 1, 56, 1_400].into_iter().all(|size: u16| {
        let mut ping = scene.lab.client.command("ping");
        ping.args(["-n", "-q", "-c", "2", "-i", "0.01", "-W", "1", "-s", &size.to_string()]);
        process::run(ping.arg(scene.vip.ip().to_string())).is_ok()
    })
}

/// How many echo requests the kernel half answers, of the eight that are sent, if the VIP answers at all.
fn answered(scene: &Scene) -> Result<Option<u64>> {
    let count = || Ok::<_, anyhow::Error>(scene.sluice.maps()?.stopped("answered"));
    let before = count()?;
    if answers(scene) { Ok(Some(count()? - before)) } else { Ok(None) }
}

const ALL: Option<u64> = Some(8);

#[test]
fn always_the_kernel_half_answers_for_vips_of_every_way() -> Result<()> {
    let forwards = ["direct", "nat", "ipip", "gue", "fullnat"];
    let ways = || forwards.into_iter().flat_map(|of| Family::BOTH.map(|on| Way::within(of, on)));
    let mut scene = Scene::of(Way::within("direct", Family::V4), &WEBS, More::default())?;
    for way in ways() {
        scene.turn(way, More::default())?;
        ensure!(answered(&scene)? == ALL, "{way:?}");
    }
    WEBS.iter().try_for_each(|server| scene.lose(server))?;
    for way in ways() {
        scene.turn(way, More::default())?;
        ensure!(answered(&scene)? == ALL, "{way:?} without servers");
    }
    scene.over()
}

#[test]
fn while_no_server_is_up_the_vip_is_silent_if_so_wished() -> Result<()> {
    let more = More { frontend: "ping = \"up\"", ..More::default() };
    let mut scene = Scene::of(Way::within("nat", Family::V4), &WEBS, more)?;
    for family in Family::BOTH {
        scene.turn(Way::within("nat", family), more)?;
        ensure!(answered(&scene)? == ALL, "{family:?}");
        WEBS.iter().try_for_each(|server| scene.lose(server))?;
        wait::until("the VIP to be silent", SOON, || Ok(answered(&scene)?.is_none().then_some(())))?;
        ensure!(scene.sluice.maps()?.stopped("vip_down") > 0, "not counted");
        scene.regain("web2")?;
        wait::until("the VIP to answer again", SOON, || Ok((answered(&scene)? == ALL).then_some(())))?;
        ["web1", "web3"].iter().try_for_each(|server| scene.regain(server))?;
    }
    scene.over()
}

#[test]
fn the_host_answers_if_so_wished() -> Result<()> {
    let more = More { frontend: "ping = \"host\"", ..More::default() };
    let mut scene = Scene::of(Way::within("nat", Family::V4), &WEBS, more)?;
    for family in Family::BOTH {
        scene.turn(Way::within("nat", family), more)?;
        ensure!(answered(&scene)? == Some(0), "{family:?}");
    }
    scene.over()
}
