//! Servers that are known by their names: where a name leads is followed under traffic, and a name server that is dead, slow
//! or lies changes nothing.

mod lies;

use crate::scene::{FAST_CHECK, PORT, SOON};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Connection, Flows},
    dns::{self, DOMAIN, Dnsmasq},
    lab::{BACKUP, Lab, NAT_VIP, PROXY_VIP},
    origin::{Echo, Listen, Nginx},
    sluice::{Sluice, report::ServerStatus},
    wait,
};
use lies::{LIES, Liar};
use rustix::process::{Signal, kill_process};
use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    panic::resume_unwind,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
const VIP: SocketAddr = SocketAddr::new(IpAddr::V4(NAT_VIP), PORT);
const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(PROXY_VIP), 80);
const RELAY: SocketAddr = SocketAddr::new(IpAddr::V4(PROXY_VIP), 81);

/// Frontends of all kinds, each in front of one server that is called `web`; asked is the machine that else is the backup.
/// `more`: further lines of each server.
fn config(lab: &Lab, more: &str) -> Result<String> {
    let nameserver = dns::address(lab.machine(BACKUP)?);
    let mut text =
        format!("[resolvers]\nnameserver = \"{nameserver}\"\ntimeout_retry = \"200ms\"\ntimeout_resolve = \"200ms\"\n");
    for (frontend, mode, bind, port) in
        [("web", "http", PROXY, SITE.port), ("relay", "tcp", RELAY, PORT), ("echo", "l4", VIP, PORT)]
    {
        let forward = if mode == "l4" { "forward = \"nat\"" } else { "" };
        write!(
            text,
            r#"
[frontend.{frontend}]
mode = "{mode}"
bind = "{bind}"
default_backend = "{frontend}"
[backend.{frontend}]
check = {FAST_CHECK}
{forward}
[[backend.{frontend}.server]]
name = "s"
address = "web.{DOMAIN}:{port}"
{more}
"#
        )?;
    }
    Ok(text)
}

/// What answers on two machines.
struct Origins {
    _nginx: [Nginx; 2],
    _echo: [Echo; 2],
}

impl Origins {
    fn start(lab: &Lab) -> Result<Self> {
        let nginx = |name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]);
        let echo = |name| Echo::start(lab.machine(name)?, PORT, lab.directory());
        Ok(Self { _nginx: [nginx("web1")?, nginx("web2")?], _echo: [echo("web1")?, echo("web2")?] })
    }
}

fn start_dns(lab: &Lab, leads_to: &str) -> Result<Dnsmasq> {
    Dnsmasq::start(lab.machine(BACKUP)?, lab.directory(), &[("web", lab.machine(leads_to)?.address.into())])
}

fn lead(lab: &Lab, dns: &Dnsmasq, to: &str) -> Result<()> {
    dns.set(&[("web", lab.machine(to)?.address.into())])
}

/// Who answers a new client of each frontend.
fn met(lab: &Lab) -> Result<[String; 3]> {
    let web = Connection::open(&lab.client, PROXY)?.get("/")?;
    ensure!(web.status == 200, "{web:?}");
    let flow = |at| Flows::open(&lab.client, at, 1)?.by_server().into_keys().next().context("nobody");
    Ok([web.server, flow(RELAY)?, flow(VIP)?])
}

fn wait_for(lab: &Lab, sluice: &Sluice, server: &str) -> Result<()> {
    let all = wait::until(&format!("all frontends to lead to {server}"), SOON, || {
        Ok((met(lab)? == [server; 3]).then_some(()))
    });
    all.with_context(|| sluice.log())
}

fn servers(sluice: &Sluice) -> Result<Vec<ServerStatus>> {
    Ok(sluice.status()?.backends.into_iter().flat_map(|backend| backend.servers).collect())
}

/// Clients of all frontends that come one after the other while `work` runs: all must be served, by one of these.
fn under_traffic<T>(lab: &Lab, by: &[&str], work: impl FnOnce() -> Result<T>) -> Result<T> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            let mut visits = 0;
            while !over.load(Ordering::Relaxed) {
                let met = met(lab)?;
                ensure!(met.iter().all(|server| by.contains(&&**server)), "{met:?}");
                visits += 1;
            }
            Ok(visits)
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let visits: usize = visitor.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        let done = done?;
        ensure!(visits > 20, "only {visits} visits: they show nothing");
        Ok(done)
    })
}

#[test]
fn where_a_name_leads_is_followed_within_its_time_and_no_client_notices() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (_origins, dns) = (Origins::start(&lab)?, start_dns(&lab, "web1")?);
    let sluice = Sluice::start(&lab, &config(&lab, "")?)?;
    ensure!(met(&lab)? == ["web1"; 3], "it is known before anything is served");
    sluice.command(&["server", "drain", "echo/s"])?;
    sluice.command(&["server", "ready", "echo/s"])?;
    let mut flows = Flows::open(&lab.client, RELAY, 100)?;

    let (turned, followed) = (Instant::now(), AtomicUsize::new(0));
    for (from, to) in [("web1", "web2"), ("web2", "web1")] {
        under_traffic(&lab, &[from, to], || {
            lead(&lab, &dns, to)?;
            wait_for(&lab, &sluice, to)?;
            followed.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .with_context(|| sluice.log())?;
    }
    flows.exchange("what a client has stays where it is")?;
    println!("{} changes followed in {:?}", followed.load(Ordering::Relaxed), turned.elapsed());
    for server in servers(&sluice)? {
        let host = server.host.context("it is known by its name")?;
        ensure!(server.address.starts_with(&lab.machine("web1")?.address.to_string()), "{}", server.address);
        ensure!(host.problem.is_none() && host.age.is_some_and(|age| age < 3), "{host:?}");
    }
    let old = lab.machine("web2")?.address.to_string();
    let log = sluice.log();
    ensure!(log.contains("a server's address changed") && log.contains(&old), "{log}");
    Ok(())
}

#[test]
fn a_name_server_that_hangs_or_dies_changes_nothing_and_neither_does_a_restart_then() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (_origins, dns) = (Origins::start(&lab)?, start_dns(&lab, "web1")?);
    let mut sluice = Sluice::start(&lab, &format!("on_stop = \"keep\"\n{}", config(&lab, "")?))?;
    sluice.command(&["server", "drain", "echo/s"])?;
    sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("s"))?;
    lead(&lab, &dns, "web2")?;
    wait::until("the drained server to move", SOON, || {
        let address = sluice.status()?.server("echo", "s")?.address.clone();
        Ok(address.starts_with(&lab.machine("web2")?.address.to_string()).then_some(()))
    })?;
    ensure!(sluice.status()?.server("echo", "s")?.admin == "drain", "it is forgotten with the address");
    sluice.command(&["server", "ready", "echo/s"])?;
    wait_for(&lab, &sluice, "web2")?;

    under_traffic(&lab, &["web2"], || {
        dns.freeze()?;
        wait_for_problem(&sluice, "no name server answers")?;
        thread::sleep(Duration::from_secs(3));
        Ok(())
    })
    .with_context(|| sluice.log())?;
    dns.thaw()?;
    wait::until("it to work again", SOON, || {
        Ok(servers(&sluice)?.iter().all(|it| it.host.as_ref().is_some_and(|it| it.problem.is_none())).then_some(()))
    })?;

    dns.kill()?;
    under_traffic(&lab, &["web2"], || wait_for_problem(&sluice, "no name server can be reached"))?;
    // What the maps hold is what the name led to.
    sluice.kill()?;
    sluice.start_again(&lab)?;
    ensure!(met(&lab)? == ["web2"; 3], "{}", sluice.log());
    thread::sleep(Duration::from_secs(2));
    ensure!(met(&lab)? == ["web2"; 3], "{}", sluice.log());

    let _dns = start_dns(&lab, "web1")?;
    wait_for(&lab, &sluice, "web1")
}

fn wait_for_problem(sluice: &Sluice, problem: &str) -> Result<()> {
    let all = wait::until(&format!("`{problem}` to be told"), SOON, || {
        let servers = servers(sluice)?;
        let told = |server: &ServerStatus| server.host.as_ref().and_then(|host| host.problem.clone());
        Ok(servers.iter().all(|server| told(server).is_some_and(|told| told.contains(problem))).then_some(()))
    });
    all.with_context(|| format!("{:?}\n{}", servers(sluice), sluice.log()))
}

#[test]
fn the_worker_after_one_that_died_knows_where_a_name_led_although_nobody_answers() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (_origins, dns) = (Origins::start(&lab)?, start_dns(&lab, "web1")?);
    let config = config(&lab, "")?;
    // Without a frontend of the kernel half there are no maps that remember.
    let (proxied, _) = config.split_once("[frontend.echo]").context("the frontends of the proxy")?;
    let sluice = Sluice::start(&lab, proxied)?;
    dns.kill()?;
    let worker = sluice.status()?.worker()?;
    kill_process(worker, Signal::KILL)?;
    wait::until("another worker", SOON * 2, || Ok((sluice.status()?.worker()? != worker).then_some(())))?;
    let web = Connection::open(&lab.client, PROXY)?.get("/")?;
    ensure!(web.server == "web1", "{web:?}\n{}", sluice.log());
    ensure!(Flows::open(&lab.client, RELAY, 1)?.by_server().keys().eq(["web1"]));
    wait_for_problem(&sluice, "no name server can be reached")?;
    ensure!(servers(&sluice)?.iter().all(|server| server.available));
    Ok(())
}

#[test]
fn without_an_address_a_server_is_down_and_the_daemon_runs() -> Result<()> {
    let lab = Lab::beside_others()?;
    let origins = Origins::start(&lab)?;
    let sluice = Sluice::start(&lab, &config(&lab, "")?)?;
    for server in servers(&sluice)? {
        ensure!(server.state == "not resolved" && !server.available, "{server:?}");
        ensure!(server.address.starts_with(&format!("web.{DOMAIN}:")), "{server:?}");
    }
    ensure!(!sluice.maps()?.shares("echo")?.contains_key("s"), "slots lead nowhere");
    ensure!(Connection::open(&lab.client, PROXY)?.get("/")?.status == 503);

    let dns = Dnsmasq::start(lab.machine(BACKUP)?, lab.directory(), &[])?;
    wait_for_problem(&sluice, "there is no such name")?;
    lead(&lab, &dns, "web2")?;
    wait_for(&lab, &sluice, "web2")?;
    dns.set(&[])?;
    under_traffic(&lab, &["web2"], || wait_for_problem(&sluice, "there is no such name"))?;
    drop(origins);
    Ok(())
}

#[test]
fn servers_of_one_name_share_its_addresses() -> Result<()> {
    let lab = Lab::beside_others()?;
    let _origins = Origins::start(&lab)?;
    let ips = ["web1", "web2"].map(|name| lab.machine(name).map(|machine| IpAddr::from(machine.address)));
    let records = ips.into_iter().map(|ip| Ok(("web", ip?))).collect::<Result<Vec<_>>>()?;
    let dns = Dnsmasq::start(lab.machine(BACKUP)?, lab.directory(), &records)?;
    let another =
        |frontend: &str| format!("[[backend.{frontend}.server]]\nname = \"t\"\naddress = \"web.{DOMAIN}:{PORT}\"\n");
    let sluice = Sluice::start(&lab, &(config(&lab, "")? + &another("echo") + &another("relay")))?;
    sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["s", "t"]))?;
    for vip in [VIP, RELAY] {
        ensure!(Flows::open(&lab.client, vip, 100)?.by_server().keys().eq(["web1", "web2"]), "{}", sluice.log());
    }
    dns.set(&records[1..])?;
    sluice.wait_shares("echo", SOON, |shares| shares.len() == 1)?;
    for vip in [VIP, RELAY] {
        ensure!(Flows::open(&lab.client, vip, 100)?.by_server().keys().eq(["web2"]), "{}", sluice.log());
    }
    Ok(())
}

/// Waits until that is told of every server, and questions that were asked since have ended.
fn wait_for_lie(sluice: &Sluice, problem: &str) -> Result<()> {
    let failures = || Ok::<_, anyhow::Error>(servers(sluice)?.into_iter().filter_map(|server| server.host));
    let before: Vec<_> = failures()?.map(|host| host.failures).collect();
    wait::until(&format!("`{problem}` to be told"), SOON * 4, || {
        let told = failures()?.zip(&before).all(|(host, before)| {
            // An answer that is refused was an answer.
            let is_new = host.failures > before + 1 || problem.ends_with("is refused");
            is_new && host.problem.is_some_and(|told| told.contains(problem))
        });
        Ok(told.then_some(()))
    })
}

#[test]
fn a_name_server_that_lies_changes_nothing() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (_origins, liar) = (Origins::start(&lab)?, Liar::start(&lab)?);
    let sluice = Sluice::start(&lab, &config(&lab, "resolve_prefer = \"ipv4\"")?)?;
    ensure!(met(&lab)? == ["web1"; 3]);
    for (index, (what, _, problem)) in LIES.iter().enumerate() {
        under_traffic(&lab, &["web1"], || {
            liar.tell(Some(index));
            wait_for_lie(&sluice, problem)
        })
        .with_context(|| format!("{what}\n{}", sluice.log()))?;
    }
    let worker = sluice.status()?.worker_pid;
    liar.tell(None);
    wait::until("the truth to be believed again", SOON * 2, || {
        Ok(servers(&sluice)?.iter().all(|it| it.host.as_ref().is_some_and(|it| it.problem.is_none())).then_some(()))
    })?;
    ensure!(met(&lab)? == ["web1"; 3] && sluice.status()?.worker_pid == worker);
    ensure!(!sluice.log().contains("panicked at"), "{}", sluice.log());
    Ok(())
}
