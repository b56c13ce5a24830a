//! Supervisor and worker when things go wrong between them: signals, reloads that fail, and who holds what.

use crate::scene::{self, FAST_CHECK, SOON, Scene, WEBS};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    binary,
    client::{Connection, Flows},
    lab::{DEVICE, Lab, PROXY_VIP},
    origin::{Listen, Nginx},
    process,
    sluice::{Sluice, complaint, complete},
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, path::Path, time::Duration};

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };

/// An HTTP frontend of that name, and `more` behind it.
pub(crate) fn http(lab: &Lab, frontend: &str, more: &str) -> Result<String> {
    Ok(format!(
        r#"
[frontend.{frontend}]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:80" }}]
default_backend = "web"
[backend.web]
balance = "roundrobin"
check = {FAST_CHECK}
{}{more}"#,
        lab.servers("web", &["web1"], 8080)?
    ))
}

fn served(lab: &Lab) -> Result<()> {
    ensure!(Connection::open(&lab.client, (PROXY_VIP, 80).into())?.get("/")?.status == 200);
    Ok(())
}

fn is_attached(lab: &Lab) -> Result<bool> {
    let shown = process::run(lab.balancer.command("ip").args(["-details", "link", "show", "dev", DEVICE]))?;
    Ok(shown.contains("prog/xdp"))
}

#[test]
fn a_frontend_that_only_changes_its_name_goes_on_being_served() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let mut sluice = Sluice::start(&lab, &http(&lab, "before", "")?)?;
    served(&lab)?;
    sluice.write_config(&lab, &http(&lab, "after", "")?)?;
    sluice.command(&["reload"])?;
    served(&lab)?;
    sluice.stop()
}

#[test]
fn a_reload_that_fails_late_opens_attaches_and_counts_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let mut sluice = Sluice::start(&lab, &http(&lab, "web", "")?)?;
    // The kernel half and the second socket are fine; the third is taken.
    let port = format!("{PROXY_VIP}:81");
    let mut thief = process::Process::spawn(
        "thief",
        lab.balancer
            .command("python3")
            .args(["-c", "import socket,time; s=socket.create_server(('', 82)); time.sleep(60)"]),
        lab.directory(),
    )?;
    let listening = |port: u16| -> Result<bool> {
        let filter = format!("sport = {port}");
        Ok(!process::run(lab.balancer.command("ss").args(["-Hltn", &filter]))?.is_empty())
    };
    wait::until("port 82 to be taken", SOON, || Ok(listening(82)?.then_some(())))?;
    let more = format!(
        "{}[frontend.second]\nmode = \"tcp\"\nbind = \"{port}\"\ndefault_backend = \"web\"\n[frontend.third]\nmode = \
         \"tcp\"\nbind = \"{PROXY_VIP}:82\"\ndefault_backend = \"web\"\n",
        scene::config(&lab, "nat", &WEBS)?
    );
    sluice.write_config(&lab, &http(&lab, "web", &more)?)?;
    let output = sluice.cli(&["reload"])?;
    ensure!(output.status.code() == Some(1) && complaint(&output).contains(":82"), "{}", complaint(&output));
    ensure!(!is_attached(&lab)?, "the program was attached");
    ensure!(!listening(81)?, "a socket was left open");
    ensure!(sluice.status()?.generation == 1);
    served(&lab)?;

    thief.kill()?;
    sluice.command(&["reload"])?;
    ensure!(is_attached(&lab)? && sluice.status()?.generation == 2);
    served(&lab)?;
    sluice.stop()
}

#[test]
fn a_reload_that_fails_half_way_through_goes_back_and_verdicts_still_count() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "")?;
    let _nginx = Nginx::start(scene.lab.machine("web1")?, scene.lab.directory(), &[SITE])?;
    // In the place of the second ring's map: the worker has taken up its part when the supervisor fails to make it.
    let versions = fs::read_dir(scene.lab.pins())?.collect::<std::io::Result<Vec<_>>>()?;
    let rings =
        versions.iter().map(|entry| entry.path().join("rings")).find(|path| path.exists()).context("no rings")?;
    let obstacle = rings.join("2");
    let second = format!(
        "[frontend.second]\nmode = \"l4\"\nbind = \"{}:81\"\ndefault_backend = \"web\"\n",
        lb_tests::lab::NAT_VIP
    );
    let more = http(&scene.lab, "web", &second)?.replace("\"roundrobin\"", "\"maglev\"\nforward = \"nat\"");
    let config = scene::config(&scene.lab, "nat", &WEBS)?;
    scene.sluice.write_config(&scene.lab, &(config + &more))?;
    fs::create_dir(&obstacle)?;
    let output = scene.sluice.cli(&["reload"])?;
    fs::remove_dir(&obstacle)?;
    ensure!(output.status.code() == Some(1), "{}", complaint(&output));
    let status = scene.sluice.status()?;
    ensure!(status.generation == 1, "{status:?}");
    let open = process::run(scene.lab.balancer.command("ss").args(["-Hltn", "sport = 80"]))?;
    ensure!(open.is_empty(), "a socket was left open: {open}");
    scene.lose("web2")?;
    scene.regain("web2")?;

    scene.sluice.command(&["reload"])?;
    ensure!(scene.sluice.status()?.generation == 2);
    ensure!(scene.sluice.maps()?.shares("web")?.keys().eq(["web1"]));
    served(&scene.lab)?;
    scene.over()
}

#[test]
fn a_start_that_fails_leaves_no_program_behind() -> Result<()> {
    let lab = Lab::new()?;
    let config = lab.directory().join("sluice.toml");
    // The worker cannot become a user that does not exist; the kernel half could be loaded.
    let text = complete(&lab, &scene::config(&lab, "nat", &WEBS)?).replace("\"nobody\"", "\"no-such-user\"");
    fs::write(&config, text)?;
    let output = lab.balancer.command(binary()?).arg("run").arg("--config").arg(&config).output()?;
    ensure!(output.status.code() == Some(1), "{}", complaint(&output));
    ensure!(complaint(&output).contains("no-such-user"), "{}", complaint(&output));
    ensure!(!is_attached(&lab)? && !lab.pins().exists(), "something stayed in the kernel");
    Ok(())
}

#[test]
fn the_worker_holds_no_program_no_link_and_no_map_of_the_supervisor() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "metrics = \"127.0.0.1:9100\"\n")?;
    let worker = scene.sluice.status()?.worker()?.as_raw_nonzero();
    let mut maps = Vec::new();
    for entry in fs::read_dir(format!("/proc/{worker}/fd"))? {
        let path = entry?.path();
        let Ok(target) = fs::read_link(&path) else { continue };
        let target = target.display().to_string();
        ensure!(
            !target.contains("bpf-prog") && !target.contains("bpf_link") && !target.contains("bpf-link"),
            "{target}"
        );
        ensure!(!target.contains("sluice.toml") && !target.contains("sluice.lock"), "{target}");
        // The directory of the maps stands for the right to write them.
        let below = Path::new(&target).strip_prefix(scene.lab.pins());
        ensure!(below.is_err() || below.is_ok_and(|path| path.components().count() == 1), "{target}");
        if target.contains("bpf-map") {
            let number = path.file_name().context("a number")?.to_string_lossy().into_owned();
            let info = fs::read_to_string(format!("/proc/{worker}/fdinfo/{number}"))?;
            let id = info.lines().find_map(|line| line.strip_prefix("map_id:")).context("no map_id")?;
            maps.push(id.trim().to_owned());
        }
    }
    ensure!(maps.len() >= 8, "the planner's maps, the counters and a ring: {maps:?}");
    for name in ["NEXT_HOPS", "ROUTES4", "LOCAL4", "DEVICES", "RINGS"] {
        let pinned = pinned_id(&scene, name)?;
        ensure!(!maps.contains(&pinned), "the worker holds {name}");
    }
    // That the comparison can tell: one that the worker must have.
    ensure!(maps.contains(&pinned_id(&scene, "SERVERS")?));
    scene.over()
}

/// The id of a pinned map.
fn pinned_id(scene: &Scene, name: &str) -> Result<String> {
    let versions = fs::read_dir(scene.lab.pins())?.collect::<std::io::Result<Vec<_>>>()?;
    let path =
        versions.iter().map(|entry| entry.path().join(name)).find(|path| path.exists()).context("no such pin")?;
    let map = aya::maps::MapInfo::from_pin(path)?;
    Ok(map.id().to_string())
}

#[test]
fn a_signal_to_the_whole_group_lets_running_requests_end() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let mut sluice = Sluice::start(&lab, &http(&lab, "web", "")?)?;
    let worker = sluice.status()?.worker()?;
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        kill_process(worker, signal)?;
    }
    served(&lab)?;
    ensure!(sluice.status()?.worker()? == worker, "the worker minded a signal that was for the supervisor");
    sluice.stop()
}

#[test]
fn told_twice_to_stop_the_daemon_stops_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let config = http(&lab, "web", "")?.replace("mode = \"http\"", "mode = \"tcp\"");
    let mut sluice = Sluice::start(&lab, &("stop_timeout = \"60s\"\n".to_owned() + &config))?;
    let mut open = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    ensure!(open.get("/")?.status == 200);
    sluice.signal(Signal::TERM)?;
    wait::until("the drain", SOON, || Ok(sluice.log().contains("draining").then_some(())))?;
    std::thread::sleep(Duration::from_millis(200));
    ensure!(open.get("/")?.status == 200, "a drain lets connections live");
    sluice.stop()?;
    ensure!(open.get("/").is_err(), "and a second word ends them");
    Ok(())
}

#[test]
fn every_reload_is_answered_also_among_signals() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let before = scene.sluice.status()?.generation;
    std::thread::scope(|scope| -> Result<()> {
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(|| scene.sluice.command(&["reload"]))).collect();
        for _ in 0..50 {
            scene.sluice.signal(Signal::HUP)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        for asked in asking {
            asked.join().map_err(|_panic| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })?;
    ensure!(scene.sluice.status()?.generation > before);
    scene.over()
}

#[test]
fn a_second_daemon_and_detach_keep_off_the_pins_of_one_that_runs() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let pins = scene.lab.pins().display().to_string();
    let output = scene.lab.balancer.command(binary()?).args(["detach", "--pins", &pins]).output()?;
    ensure!(output.status.code() == Some(1) && complaint(&output).contains("running"), "{}", complaint(&output));

    let other = scene.lab.directory().join("other.toml");
    fs::write(&other, fs::read_to_string(scene.sluice.config())?.replace("sluice.sock", "other.sock"))?;
    let output = scene.lab.balancer.command(binary()?).arg("run").arg("--config").arg(&other).output()?;
    ensure!(output.status.code() == Some(1) && complaint(&output).contains("running"), "{}", complaint(&output));
    Flows::open(&scene.lab.client, scene.vip, 10)?.exchange("after both")?;
    scene.over()
}

#[test]
fn a_daemon_starts_again_while_the_old_worker_drains() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let global = "metrics = \"127.0.0.1:9100\"\n";
    let config = http(&lab, "web", &scene::config(&lab, "nat", &WEBS)?)?.replace("mode = \"http\"", "mode = \"tcp\"");
    let mut sluice = Sluice::start(&lab, &(global.to_owned() + &config))?;
    let mut open = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    ensure!(open.get("/")?.status == 200);
    let old: Pid = sluice.status()?.worker()?;
    let supervisor = sluice.supervisor();
    kill_process(supervisor, Signal::KILL)?;
    // To start again before it is dead would kill its whole group.
    let process = format!("/proc/{}", supervisor.as_raw_nonzero());
    wait::until("its end", SOON, || {
        // Its first thread may be dead before the others.
        let is_dead = fs::read_to_string(format!("{process}/stat"))?.contains(") Z ");
        Ok((is_dead && fs::read_dir(format!("{process}/task"))?.count() == 1).then_some(()))
    })?;
    sluice.start_again(&lab)?;
    let kept = open.get("/").with_context(|| format!("what is open goes on:\n{}", sluice.log()))?;
    ensure!(kept.status == 200);
    ensure!(sluice.status()?.worker()? != old);
    served(&lab)?;
    kill_process(old, Signal::KILL)?;
    sluice.stop()
}
