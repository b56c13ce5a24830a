//! Configurations on trial: what nobody confirms goes back.

use crate::scene::{self, SOON, WEBS};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{DEVICE, Lab},
    process,
    sluice::{Manner, Sluice, complaint},
    wait,
};
use rustix::process::{Signal, kill_process};
use std::{fs, path::Path, thread, time::Duration};

/// How long what is not confirmed stays.
const TRIAL: &str = "2s";

fn servers(sluice: &Sluice) -> Result<Vec<String>> {
    let status = sluice.status()?;
    Ok(status.backends.iter().flat_map(|backend| &backend.servers).map(|server| server.name.clone()).collect())
}

fn wait_servers(sluice: &Sluice, wanted: &[&str]) -> Result<()> {
    wait::until(&format!("{wanted:?}"), SOON, || Ok((servers(sluice)? == wanted).then_some(())))
        .with_context(|| sluice.log())
}

/// The program's number on the balancer's device; `None`: there is none.
fn program(lab: &Lab) -> Result<Option<String>> {
    let shown = process::run(lab.balancer.command("ip").args(["-d", "link", "show", "dev", DEVICE]))?;
    Ok(shown.split("prog/xdp id ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned))
}

fn refused(sluice: &Sluice, arguments: &[&str], why: &str) -> Result<()> {
    let output = sluice.cli(arguments)?;
    ensure!(output.status.code() == Some(1) && complaint(&output).contains(why), "{}", complaint(&output));
    Ok(())
}

#[test]
fn a_start_that_nobody_confirms_is_undone() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (without, config) = (program(&lab)?, scene::config(&lab, "nat", &WEBS)?);
    let manner = Manner { arguments: &["--confirm", TRIAL], ..Manner::default() };
    // Whatever else a stop would leave behind.
    let mut sluice = Sluice::start_as(&lab, &("on_stop = \"keep\"\n".to_owned() + &config), manner)?;
    ensure!(program(&lab)? != without, "not attached");
    let ended = sluice.wait(SOON)?;
    ensure!(ended.code() == Some(3), "{ended}\n{}", sluice.log());
    ensure!(sluice.log().contains("nobody has confirmed the start within 2s"), "{}", sluice.log());
    ensure!(program(&lab)? == without && !lab.pins().join("links").exists(), "something stays in the kernel");

    let mut sluice = Sluice::start_as(&lab, &config, manner)?;
    sluice.command(&["confirm"])?;
    thread::sleep(Duration::from_secs(3));
    ensure!(servers(&sluice)? == WEBS && program(&lab)? != without);
    refused(&sluice, &["confirm"], "nothing is on trial")?;
    sluice.stop()
}

#[test]
fn a_reload_that_nobody_confirms_goes_back_to_what_was_confirmed_last() -> Result<()> {
    let scene = Scene::start()?;
    let Scene { lab, sluice, kept } = &scene;
    let write = |names: &[&str]| sluice.write_config(lab, &scene::config(lab, "nat", names)?);
    let (all, few, one) = (&WEBS[..], &["web1", "web2"][..], &["web3"][..]);

    write(few)?;
    sluice.command(&["reload", "--confirm", TRIAL])?;
    ensure!(servers(sluice)? == few && kept.exists());
    // Somebody else's reload is no confirmation.
    write(one)?;
    sluice.command(&["reload"])?;
    ensure!(servers(sluice)? == one);
    wait_servers(sluice, all)?;
    refused(sluice, &["confirm"], "nothing is on trial")?;
    sluice.wait_shares("echo", SOON, |shares| shares.len() <= all.len())?;

    write(few)?;
    sluice.command(&["reload", "--confirm", TRIAL])?;
    sluice.command(&["confirm"])?;
    ensure!(!kept.exists(), "it has keys, and is not needed any more");
    thread::sleep(Duration::from_secs(3));
    ensure!(servers(sluice)? == few);

    // A worker that dies meanwhile does not stop the clock.
    write(one)?;
    sluice.command(&["reload", "--confirm", TRIAL])?;
    kill_process(sluice.status()?.worker()?, Signal::KILL)?;
    wait_servers(sluice, few)?;

    // What is refused is not on trial.
    sluice.write_config(lab, "[nonsense]\n")?;
    refused(sluice, &["reload", "--confirm", TRIAL], "nonsense")?;
    refused(sluice, &["confirm"], "nothing is on trial")
}

#[test]
fn a_daemon_that_dies_during_a_trial_begins_with_what_was_confirmed_last() -> Result<()> {
    let Scene { lab, mut sluice, kept } = Scene::start()?;
    let few = &["web1", "web2"];
    sluice.write_config(&lab, &scene::config(&lab, "nat", few)?)?;
    sluice.command(&["reload", "--confirm", "1m"])?;
    ensure!(servers(&sluice)? == few);
    sluice.kill()?;
    sluice.start_again(&lab)?;
    ensure!(servers(&sluice)? == WEBS, "{}", sluice.log());
    // The operator has the files taken up.
    sluice.command(&["reload"])?;
    ensure!(servers(&sluice)? == few && !kept.exists());

    // Told to stop, it is the operator who starts it again.
    sluice.write_config(&lab, &scene::config(&lab, "nat", &WEBS)?)?;
    sluice.command(&["reload", "--confirm", "1m"])?;
    sluice.stop()?;
    sluice.start_again(&lab)?;
    ensure!(servers(&sluice)? == WEBS, "{}", sluice.log());
    Ok(())
}

/// A daemon with all servers.
struct Scene {
    sluice: Sluice,
    /// Where it keeps what was confirmed last.
    kept: std::path::PathBuf,
    lab: Lab,
}

impl Scene {
    fn start() -> Result<Self> {
        let lab = Lab::beside_others()?;
        let sluice = Sluice::start(&lab, &scene::config(&lab, "nat", &WEBS)?)?;
        let kept = Path::new(lab.directory()).join("sluice.confirmed");
        ensure!(!fs::exists(&kept)?);
        Ok(Self { sluice, kept, lab })
    }
}
