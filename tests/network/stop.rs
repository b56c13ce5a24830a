//! What a stop leaves behind: nothing, or a kernel that goes on forwarding.

use crate::scene::{Scene, WEBS};
use anyhow::{Result, ensure};
use lb_tests::{client::Flows, lab::DEVICE, process};

#[test]
fn on_stop_detach_leaves_neither_program_nor_pins() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"detach\"\n")?;
    ensure!(is_attached(&scene)? && scene.lab.pins().exists(), "nothing to detach");
    scene.sluice.stop()?;
    ensure!(!is_attached(&scene)?, "the program is still attached");
    ensure!(!scene.lab.pins().exists(), "the pins are still there");
    scene.over()
}

#[test]
fn on_stop_keep_goes_on_forwarding_until_detach() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"keep\"\n")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 300)?;
    scene.sluice.stop()?;
    flows.exchange("after the stop")?;
    ensure!(Flows::open(&scene.lab.client, scene.vip, 300)?.by_server().keys().eq(WEBS));
    ensure!(!scene.sluice.maps()?.servers.is_empty(), "the maps cannot be read without a daemon");

    let pins = scene.lab.pins().display().to_string();
    process::run(scene.lab.balancer.command(lb_tests::binary()?).args(["detach", "--pins", &pins]))?;
    ensure!(!is_attached(&scene)?, "the program is still attached");
    ensure!(!scene.lab.pins().exists(), "the pins are still there");
    scene.over()
}

fn is_attached(scene: &Scene) -> Result<bool> {
    let shown = process::run(scene.lab.balancer.command("ip").args(["-details", "link", "show", "dev", DEVICE]))?;
    Ok(shown.contains("prog/xdp"))
}
