//! `sluice top` in a terminal.

use crate::{
    scene::{SOON, Scene, WEBS},
    terminal,
};
use anyhow::{Context, Result, ensure};
use lb_tests::{binary, client::Flows, sluice::complaint};
use std::process::Command;

fn top(scene: &Scene, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("top").arg("--socket").arg(scene.lab.directory().join("sluice.sock"));
    command.arg("--pins").arg(scene.lab.pins()).args(arguments);
    Ok(command)
}

#[test]
fn it_shows_both_halves_drains_a_server_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let admin = |server: &str| -> Result<String> {
        let status = scene.sluice.status()?;
        let mut servers = status.backends.iter().flat_map(|backend| &backend.servers);
        Ok(servers.find(|known| known.name == server).context("a server")?.admin.clone())
    };
    // The frontend, the backend, web1, web2. What is asked then is drawn whole once the terminal gets another size.
    let keys = ["down", "down", "down", "down", "d", "narrow", "y", "s", "?", "x", "q"];
    let shown = terminal::show(&scene.lab, &keys, &top(&scene, &["--interval", "500ms"])?)?;
    for word in
        ["sluice ", "> echo", "web1", "web3", "SHARE", "▇", "33.", "drain echo/web2? y or n", "Any key goes back."]
    {
        ensure!(shown.contains(word), "{word} is not in what it shows:\n{shown}");
    }
    ensure!(shown.ends_with("exit status: 0\nthe terminal is as it was: True\n"), "{shown}");
    ensure!(admin("web2")? == "drain" && admin("web1")? == "ready", "{shown}");
    scene.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
    // A signal ends it as well.
    let shown = terminal::show(&scene.lab, &["sigterm"], &top(&scene, &[])?)?;
    ensure!(shown.ends_with("exit status: 143\nthe terminal is as it was: True\n"), "{shown}");
    scene.over()
}

#[test]
fn without_a_terminal_it_says_so_and_programs_get_rows() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let refused = top(&scene, &[])?.output()?;
    ensure!(
        refused.status.code() == Some(1) && complaint(&refused).contains("needs a terminal"),
        "{}",
        complaint(&refused)
    );
    let rates = std::thread::scope(|scope| {
        let rates = scope.spawn(|| top(&scene, &["--json", "--interval", "2s"])?.output().map_err(anyhow::Error::from));
        std::thread::sleep(std::time::Duration::from_millis(800));
        let flows = Flows::open(&scene.lab.client, scene.vip, 100);
        flows.and_then(|_open| rates.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let rows: serde_json::Value = serde_json::from_slice(&rates.stdout).with_context(|| complaint(&rates))?;
    let rate = |row: &serde_json::Value, name: &str| {
        row.pointer(&format!("/rates/{name}")).and_then(serde_json::Value::as_f64)
    };
    let backend = rows
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row.get("kind").is_some_and(|kind| kind == "backend"))
        .context("a backend")?;
    ensure!(rate(backend, "connections").is_some_and(|rate| (20.0..60.0).contains(&rate)), "{rows:#}");
    ensure!(rate(backend, "packets").is_some_and(|rate| rate > 100.0), "{rows:#}");
    scene.over()
}
