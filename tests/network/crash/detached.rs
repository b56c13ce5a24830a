//! `sluice detach` leaves nothing, whatever the daemon came to.

use crate::scene::{SOON, Scene, WEBS};
use anyhow::{Context, Result, ensure};
use lb_tests::{binary, lab::DEVICE, netns::Namespace, process, wait};
use serde_json::Value;
use std::process::Command;

/// What there is in the kernel that is ours.
#[derive(Debug)]
struct Traces {
    maps: Vec<u64>,
    program: u64,
    links: Vec<u64>,
}

impl Traces {
    fn of(scene: &Scene) -> Result<Self> {
        let json = |arguments: &[&str]| -> Result<Value> {
            let mut command = scene.lab.balancer.command("bpftool");
            Ok(serde_json::from_str(&process::run(command.arg("-j").args(arguments))?)?)
        };
        let program = json(&["net", "show", "dev", DEVICE])?;
        let program =
            program.pointer("/0/xdp/0/id").and_then(Value::as_u64).with_context(|| format!("no program: {program}"))?;
        let shown = json(&["prog", "show", "id", &program.to_string()])?;
        let maps =
            shown.get("map_ids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect();
        let of_program = |link: &&Value| link.get("prog_id").and_then(Value::as_u64) == Some(program);
        let links = json(&["link", "show"])?;
        let links = links.as_array().into_iter().flatten().filter(of_program);
        Ok(Self { maps, program, links: links.filter_map(|link| link.get("id").and_then(Value::as_u64)).collect() })
    }

    /// What of it is still there. The kernel frees some of it a moment later.
    fn left(&self) -> Vec<String> {
        let of = |kind: &'static str, ids: &[u64]| -> Vec<String> {
            let is_there = |id: &&u64| {
                let mut command = Command::new("bpftool");
                process::run(command.args([kind, "show", "id", &id.to_string()])).is_ok()
            };
            ids.iter().filter(is_there).map(|id| format!("{kind} {id}")).collect()
        };
        [of("map", &self.maps), of("prog", &[self.program]), of("link", &self.links)].concat()
    }
}

/// What else the daemon could have changed: settings, queues, addresses, and whom the kernel keeps alive.
fn settings(namespace: &Namespace) -> Result<String> {
    let mut all = String::new();
    for line in [
        "sysctl -a --pattern ^net\\.(core\\.bpf|ipv[46]\\.(conf|neigh|ip_|tcp_syncookies))",
        "tc qdisc show",
        "tc filter show dev lb0 ingress",
        "ip address show dev lb0 scope global",
        "ip route show table all",
        "ip rule show",
    ] {
        let mut words = line.split(' ');
        let mut command = namespace.command(words.next().unwrap_or_default());
        all += &process::run(command.args(words)).with_context(|| line.to_owned())?;
    }
    // An id that is none any more, and seconds that go by.
    let steady = |line: &&str| !line.contains("prog/xdp") && !line.contains("valid_lft");
    Ok(all.lines().filter(steady).collect::<Vec<_>>().join("\n"))
}

fn managed(namespace: &Namespace) -> Result<Vec<String>> {
    let shown = process::run(namespace.command("ip").args(["-details", "neigh", "show"]))?;
    Ok(shown.lines().filter(|line| line.contains("managed")).map(str::to_owned).collect())
}

fn detach(scene: &Scene) -> Result<()> {
    let pins = scene.lab.pins().display().to_string();
    let mut command = scene.lab.balancer.command(binary()?);
    process::run(command.args(["detach", "--pins", &pins, "--socket", "/run/no-such-sluice.sock"])).map(drop)
}

fn is_nothing_left(scene: &Scene, traces: &Traces, before: &str) -> Result<()> {
    wait::until("the kernel to free what was detached", SOON, || {
        let left = traces.left();
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(Some(()))
    })?;
    ensure!(!scene.lab.pins().exists(), "the pins are still there");
    let kept = managed(&scene.lab.balancer)?;
    ensure!(kept.is_empty(), "the kernel keeps neighbours alive: {kept:?}");
    let after = settings(&scene.lab.balancer)?;
    ensure!(after == before, "settings before:\n{before}\nafter:\n{after}");
    Ok(())
}

#[test]
fn detach_leaves_nothing_after_a_stop_and_after_a_kill() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"keep\"\n")?;
    scene.sluice.stop()?;
    detach(&scene)?;
    let before = settings(&scene.lab.balancer)?;

    scene.sluice.start_again(&scene.lab)?;
    let traces = Traces::of(&scene)?;
    ensure!(traces.maps.len() > 20 && !traces.links.is_empty(), "{traces:?}");
    ensure!(!managed(&scene.lab.balancer)?.is_empty(), "nobody is kept alive: this shows nothing");
    scene.sluice.stop()?;
    detach(&scene)?;
    is_nothing_left(&scene, &traces, &before)?;

    scene.sluice.start_again(&scene.lab)?;
    let traces = Traces::of(&scene)?;
    scene.sluice.kill()?;
    detach(&scene)?;
    is_nothing_left(&scene, &traces, &before)?;
    scene.over()
}
