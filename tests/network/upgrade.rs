//! Another binary takes over under traffic: nothing is lost, and what fails leaves the old one serving.

mod broken;
mod stream;

use crate::{
    certificates::made,
    scene::{FAST_CHECK, PORT, SOON, WEBS, is_long},
};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Flows, Load},
    lab::{Lab, NAT_VIP, PROXY_VIP},
    origin::{Echo, Listen, Nginx},
    process, secret,
    sluice::{Sluice, Status, complaint},
    wait,
};
use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use stream::Stream;
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
/// Until old processes are gone that have nothing left to do.
const GONE: Duration = Duration::from_secs(10);

/// Echo servers behind the kernel half and behind the proxy, and a web server behind that.
struct Setting {
    sluice: Sluice,
    _echoes: Vec<Echo>,
    _nginx: Nginx,
    lab: Lab,
}

impl Drop for Setting {
    fn drop(&mut self) {
        if thread::panicking() || self.sluice.log().contains("panicked at") {
            println!("The daemon's log:\n{}", self.sluice.log());
        }
    }
}

impl Setting {
    fn start() -> Result<Self> {
        let lab = Lab::new()?;
        let echoes = WEBS.into_iter().map(|name| Echo::start(lab.machine(name)?, PORT, lab.directory()));
        let echoes = echoes.collect::<Result<_>>()?;
        let nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
        secret::keep(&lab.directory().join("a.pem"), made("a.test")?.1)?;
        let sluice = Sluice::start(&lab, &config(&lab)?)?;
        Ok(Self { sluice, _echoes: echoes, _nginx: nginx, lab })
    }

    /// Upgrades to the same binary; how things stand then.
    fn upgrade(&self) -> Result<Status> {
        let before = self.sluice.status()?;
        let output = self.sluice.cli(&["upgrade"])?;
        ensure!(output.status.success(), "{}\n{}", complaint(&output), self.sluice.log());
        let after = wait::until("the new daemon to answer", SOON, || {
            Ok(Some(self.sluice.status()?).filter(|after| after.pid != before.pid))
        })?;
        ensure!(after.worker_pid != before.worker_pid && after.generation == before.generation + 1, "{after:?}");
        Ok(after)
    }

    /// Flows through the kernel half.
    fn forwarded(&self, count: usize) -> Result<Flows> {
        Flows::open(&self.lab.client, vip(), count)
    }

    /// Flows through the proxy.
    fn relayed(&self, count: usize) -> Result<Flows> {
        Flows::open(&self.lab.client, (PROXY_VIP, PORT).into(), count)
    }

    /// The processes of all daemons in the balancer.
    fn processes(&self) -> Result<usize> {
        Ok(self.lab.balancer.pids()?.len())
    }

    /// Makes the maps look as if another version had made them. Where they are now.
    fn grow_old(&self) -> Result<PathBuf> {
        let paths = fs::read_dir(self.lab.pins())?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        let is_schema = |name: &OsStr| name.to_string_lossy().starts_with('v');
        let maps = paths.iter().find(|path| path.file_name().is_some_and(is_schema));
        let old = self.lab.pins().join("v00000000000000ff");
        fs::rename(maps.context("no maps")?, &old)?;
        Ok(old)
    }

    /// Waits until all but the newest supervisor and worker are gone.
    fn wait_alone(&self) -> Result<()> {
        wait::until("old processes to be gone", GONE, || Ok((self.processes()? == 2).then_some(())))
            .with_context(|| format!("{:?}\n{}", self.processes(), self.sluice.log()))
    }

    fn over(self) -> Result<()> {
        ensure!(!self.sluice.log().contains("panicked at"), "something in the daemon panicked");
        Ok(())
    }
}

fn vip() -> SocketAddr {
    (NAT_VIP, PORT).into()
}

fn config(lab: &Lab) -> Result<String> {
    Ok(format!(
        r#"
[frontend.echo]
mode = "l4"
bind = [{{ address = "{vip}" }}]
default_backend = "echo"
[frontend.datagrams]
mode = "l4"
bind = [{{ address = "{vip}", protocol = "udp" }}]
default_backend = "echo"
[backend.echo]
balance = "maglev"
forward = "nat"
transition = "3s"
check = {FAST_CHECK}
{}
[frontend.relay]
mode = "tcp"
bind = [{{ address = "{PROXY_VIP}:{PORT}" }}]
default_backend = "relay"
[backend.relay]
mode = "tcp"
check = {FAST_CHECK}
{}
[frontend.web]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:80" }}, {{ address = "{PROXY_VIP}:443", tls = {{ certificates = "a.pem" }} }}]
default_backend = "web"
[backend.web]
check = {FAST_CHECK}
{}"#,
        lab.servers("echo", &WEBS, PORT)?,
        lab.servers("relay", &WEBS, PORT)?,
        lab.servers("web", &["web1"], 8080)?,
        vip = vip(),
    ))
}

/// Open descriptors of a process.
fn descriptors(pid: i32) -> Result<usize> {
    Ok(fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"))?.count())
}

#[test]
fn upgrades_lose_no_packet_no_flow_and_no_request_and_leave_nothing_behind() -> Result<()> {
    let (upgrades, rate, flows) = if is_long() { (50, 20_000, 1_000) } else { (4, 2_000, 200) };
    let setting = Setting::start()?;
    let (lab, sluice) = (&setting.lab, &setting.sluice);
    // The first one has not inherited anything: what the others have is compared with the second.
    let first = setting.upgrade()?;
    setting.wait_alone()?;
    let (supervisor, worker) = (descriptors(first.pid)?, descriptors(first.worker_pid)?);

    let mut forwarded = setting.forwarded(flows / 2)?;
    let mut relayed = setting.relayed(flows / 2)?;
    let load = Load::start(&lab.client, (PROXY_VIP, 80).into());
    let stream = Stream::start(&lab.client, vip(), rate);
    let done = AtomicBool::new(false);
    let (longest, unready) = thread::scope(|scope| {
        let asking = scope.spawn(|| unready(sluice, &done));
        let mut upgrade = || {
            let mut longest = Duration::ZERO;
            for number in 0..upgrades {
                let begun = Instant::now();
                setting.upgrade()?;
                longest = longest.max(begun.elapsed());
                forwarded.exchange(&format!("forwarded, after upgrade {number}"))?;
                relayed.exchange(&format!("relayed, after upgrade {number}"))?;
            }
            Ok::<_, anyhow::Error>(longest)
        };
        let upgraded = upgrade();
        done.store(true, Ordering::Relaxed);
        let unready = asking.join().unwrap_or_else(|panic| resume_unwind(panic));
        upgraded.and_then(|longest| Ok((longest, unready?)))
    })?;
    let sent = stream.stop()?;
    let exchanges = load.stop()?;
    let failed: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.result.as_ref().err()).collect();
    let passed = || forwarded_datagrams(sluice);
    let settled = wait::until("all datagrams to be forwarded", SOON, || Ok((passed()? == sent.sent).then_some(())));
    println!(
        "{upgrades} upgrades, the longest {longest:?}; {} datagrams, {} forwarded, {} echoed; {flows} flows; {} requests, {} failed",
        sent.sent,
        passed()?,
        sent.echoed,
        exchanges.len(),
        failed.len()
    );
    ensure!(failed.is_empty(), "{:?}\n{}", failed.first(), sluice.log());
    settled.with_context(|| format!("{} of {} datagrams", passed().unwrap_or_default(), sent.sent))?;
    ensure!(unready.is_empty(), "not ready: {unready:?}");
    forwarded.exchange("forwarded, at last")?;
    relayed.exchange("relayed, at last")?;

    drop((forwarded, relayed));
    setting.wait_alone()?;
    let last = sluice.status()?;
    let (after_supervisor, after_worker) = (descriptors(last.pid)?, descriptors(last.worker_pid)?);
    // Connections to servers come and go.
    ensure!(
        after_supervisor <= supervisor + 2 && after_worker <= worker + 16,
        "descriptors: {supervisor} and {worker} before, now {after_supervisor} and {after_worker}"
    );
    setting.over()
}

/// What `sluice ready` complains about until it is done: whoever moves VIPs by it must not move them.
fn unready(sluice: &Sluice, done: &AtomicBool) -> Result<Vec<String>> {
    let mut unready = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let output = sluice.cli(&["ready"])?;
        if !output.status.success() {
            unready.push(complaint(&output));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(unready)
}

fn forwarded_datagrams(sluice: &Sluice) -> Result<u64> {
    let maps = sluice.maps()?;
    Ok(maps.vips.iter().filter(|vip| vip.frontend.as_deref() == Some("datagrams")).map(|vip| vip.packets).sum())
}

#[test]
fn what_is_known_of_servers_and_tickets_goes_on() -> Result<()> {
    let setting = Setting::start()?;
    let sluice = &setting.sluice;
    let ticket = setting.lab.directory().join("ticket");
    let resume = |how: &str| {
        let script = format!(
            "openssl s_client -tls1_2 -connect {PROXY_VIP}:443 -servername a.test {how} {} </dev/null 2>&1",
            ticket.display()
        );
        process::run(setting.lab.client.command("sh").args(["-c", &script]))
    };
    ensure!(resume("-sess_out")?.contains("New, TLSv1.2"));
    sluice.command(&["server", "maint", "relay/web1"])?;
    sluice.command(&["server", "drain", "echo/web2"])?;
    sluice.command(&["server", "weight", "relay/web2", "0"])?;
    sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
    let stands = |status: &Status| {
        let servers = [("relay", "web1"), ("relay", "web2"), ("relay", "web3"), ("echo", "web2"), ("web", "web1")];
        let stand = |(backend, name)| {
            let server = status.server(backend, name)?;
            Ok((server.state.clone(), server.admin.clone(), server.health.clone(), server.available))
        };
        servers.into_iter().map(stand).collect::<Result<Vec<_>>>()
    };
    let before = stands(&sluice.status()?)?;
    let after = setting.upgrade()?;
    ensure!(stands(&after)? == before, "{before:?}, then {:?}", stands(&after)?);
    ensure!(!sluice.maps()?.shares("echo")?.contains_key("web2"));
    ensure!(setting.relayed(12)?.by_server().keys().eq(["web3"]));
    let resumed = resume("-sess_in")?;
    ensure!(resumed.contains("Reused, TLSv1.2"), "{resumed}");
    setting.over()
}

#[test]
fn a_signal_upgrades_too_and_the_old_one_gives_up_connections_after_hard_stop_after() -> Result<()> {
    let setting = Setting::start()?;
    let (lab, sluice) = (&setting.lab, &setting.sluice);
    let text = "hard_stop_after = \"2s\"\n".to_owned() + &config(lab)?;
    sluice.write_config(lab, &text)?;
    sluice.command(&["reload"])?;
    let mut relayed = setting.relayed(10)?;
    let before = sluice.status()?;
    sluice.signal(rustix::process::Signal::USR2)?;
    wait::until("the new daemon", GONE, || Ok((sluice.status()?.pid != before.pid).then_some(())))?;
    relayed.exchange("at the old one")?;
    setting.wait_alone()?;
    ensure!(relayed.exchange("after the bound").is_err(), "the old one is gone, and its connections are not");
    setting.over()
}

#[test]
fn flows_are_carried_into_maps_of_another_schema() -> Result<()> {
    let setting = Setting::start()?;
    let sluice = &setting.sluice;
    let mut forwarded = setting.forwarded(90)?;
    sluice.command(&["server", "drain", "echo/web2"])?;
    sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        forwarded.exchange("while slots change hands")?;
        thread::sleep(Duration::from_millis(300));
    }
    let remembered = sluice.flows()?.found;
    ensure!(remembered > 0, "no flow is remembered: this shows nothing");
    let old = setting.grow_old()?;
    let stream = Stream::start(&setting.lab.client, vip(), 1_000);
    let upgraded = setting.upgrade();
    let sent = stream.stop()?;
    upgraded?;
    ensure!(sent.echoed == sent.sent, "{sent:?}");
    ensure!(!old.exists(), "the maps of the other schema are still there");
    forwarded.exchange("with the other maps")?;
    let after = sluice.flows()?.found;
    ensure!(after >= remembered, "{remembered} flows were remembered, now {after}");
    setting.over()
}

#[test]
fn flows_that_cannot_be_carried_are_dropped_only_if_asked() -> Result<()> {
    let setting = Setting::start()?;
    let sluice = &setting.sluice;
    let mut forwarded = setting.forwarded(60)?;
    let before = sluice.status()?;
    fs::remove_file(setting.grow_old()?.join("CONNECTIONS6"))?;
    let output = sluice.cli(&["upgrade"])?;
    let said = complaint(&output);
    ensure!(output.status.code() == Some(1) && said.contains("flows cannot be carried over"), "{said}");
    ensure!(said.contains("--drop-flows") && said.contains("CONNECTIONS6"), "{said}");
    ensure!(sluice.status()?.pid == before.pid);
    forwarded.exchange("after the refusal")?;
    sluice.command(&["upgrade", "--drop-flows"])?;
    wait::until("the new daemon", SOON, || Ok((sluice.status()?.pid != before.pid).then_some(())))?;
    // None of their slots has changed hands.
    forwarded.exchange("with other maps, which know of no flow")?;
    ensure!(setting.forwarded(30)?.by_server().keys().eq(WEBS));
    setting.over()
}
