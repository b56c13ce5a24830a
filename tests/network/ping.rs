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

/// The scene, and how many echo requests the kernel half answered.
fn start(way: Way, ping: &str) -> Result<(Scene, impl Fn(&Scene) -> Result<u64>)> {
    let scene = Scene::of(way, &WEBS, More { frontend: &format!("ping = \"{ping}\""), ..More::default() })?;
    Ok((scene, |scene: &Scene| Ok(scene.sluice.maps()?.stopped("answered"))))
}

#[test]
fn always_the_kernel_half_answers_for_vips_of_every_way() -> Result<()> {
    for way in
        ["direct", "nat", "ipip", "fullnat"].into_iter().flat_map(|of| Family::BOTH.map(|on| Way::within(of, on)))
    {
        let (mut scene, answered) = start(way, "always")?;
        ensure!(answers(&scene) && answered(&scene)? == 8, "{way:?}: {}", answered(&scene)?);
        WEBS.iter().try_for_each(|server| scene.lose(server))?;
        ensure!(answers(&scene) && answered(&scene)? == 16, "{way:?}: {} without servers", answered(&scene)?);
        scene.over()?;
    }
    Ok(())
}

#[test]
fn while_no_server_is_up_the_vip_is_silent_if_so_wished() -> Result<()> {
    for family in Family::BOTH {
        let (mut scene, answered) = start(Way::within("nat", family), "up")?;
        ensure!(answers(&scene) && answered(&scene)? == 8, "{family:?}");
        WEBS.iter().try_for_each(|server| scene.lose(server))?;
        wait::until("the VIP to be silent", SOON, || Ok((!answers(&scene)).then_some(())))?;
        ensure!(scene.sluice.maps()?.stopped("vip_down") > 0, "not counted");
        scene.regain("web2")?;
        wait::until("the VIP to answer again", SOON, || Ok(answers(&scene).then_some(())))?;
        scene.over()?;
    }
    Ok(())
}

#[test]
fn the_host_answers_if_so_wished() -> Result<()> {
    for family in Family::BOTH {
        let (scene, answered) = start(Way::within("nat", family), "host")?;
        ensure!(answers(&scene) && answered(&scene)? == 0, "{family:?}");
        scene.over()?;
    }
    Ok(())
}
