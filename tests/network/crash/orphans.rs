//! The worker that a dead supervisor leaves, and a second daemon: only one writes the maps.

use crate::scene::{SOON, Scene, WEBS};
use anyhow::{Context, Result, ensure};
use lb_tests::{binary, client::Flows, lab::DEVICE, sluice::complaint, wait};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::Signal,
};
use std::{
    fs::{self, File},
    path::PathBuf,
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// For so long somebody has the right to write the maps who does not let go of it.
const HELD: Duration = Duration::from_secs(2);

/// The right to write the maps, if nobody has it: what a worker has as long as it writes.
fn writing(scene: &Scene) -> Result<Option<File>> {
    let is_maps = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('v'));
    let entries = fs::read_dir(scene.lab.pins())?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let directory = File::open(entries.iter().find(|path| is_maps(path)).context("no maps")?)?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn the_worker_of_a_dead_supervisor_lets_go_of_the_maps_at_once_and_a_new_daemon_waits_for_that() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"keep\"\n")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 100)?;
    ensure!(writing(&scene)?.is_none(), "the worker has no right to write");
    let worker = scene.sluice.status()?.worker()?;
    scene.sluice.signal(Signal::KILL)?;
    let held = wait::until("the worker to let go of the maps", SOON, || writing(&scene))?;
    wait::until("the end of the worker", SOON, || Ok((!super::is_running(worker)).then_some(())))?;
    let begun = Instant::now();
    let Scene { sluice, lab, .. } = &mut scene;
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(HELD);
            drop(held);
        });
        sluice.start_again(lab)
    })?;
    ensure!(begun.elapsed() >= HELD, "it did not wait: {:?}", begun.elapsed());
    flows.exchange("with the new daemon")?;
    scene.over()
}

#[test]
fn a_worker_that_never_lets_go_is_told_of() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"keep\"\n")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 10)?;
    scene.sluice.kill()?;
    let _held = wait::until("the right to write", SOON, || writing(&scene))?;
    let output =
        scene.lab.balancer.command(binary()?).arg("run").arg("--config").arg(scene.sluice.config()).output()?;
    let said = complaint(&output);
    ensure!(output.status.code() == Some(1) && said.contains("still has the right to write"), "{said}");
    flows.exchange("nevertheless")?;
    scene.over()
}

#[test]
fn a_second_daemon_with_pins_of_its_own_keeps_off_the_interface() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 100)?;
    let text = fs::read_to_string(scene.sluice.config())?;
    let pins = format!("{}-other", scene.lab.pins().display());
    let text = text
        .replace("sluice.sock", "other.sock")
        .replace(&format!("\"{}\"", scene.lab.pins().display()), &format!("\"{pins}\""));
    let other = scene.lab.directory().join("other.toml");
    fs::write(&other, text)?;
    let output = scene.lab.balancer.command(binary()?).arg("run").arg("--config").arg(&other).output()?;
    let said = complaint(&output);
    // Whose it is nobody can ask without CAP_SYS_ADMIN, which the supervisor does not keep.
    let wanted = format!("interface {DEVICE} already runs the XDP program");
    ensure!(output.status.code() == Some(1) && said.contains(&wanted) && said.contains("another `pin_dir`"), "{said}");
    ensure!(!fs::exists(&pins)?, "it left {pins}");
    flows.exchange("with the first one")?;
    let status = scene.sluice.status().context("the first one")?;
    ensure!(status.interfaces.iter().all(|interface| interface.error.is_none()), "{status:?}");
    scene.over()
}
