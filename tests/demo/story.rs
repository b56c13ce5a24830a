//! What happens: a network, servers, the balancer, traffic, a server that dies and comes back, and the books balanced.

use crate::{
    public::{self, Visitor, Visits},
    report::Report,
    tally::{self, Count},
};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Exchange, Load, curl, load},
    lab::{BACKUP, CLIENT, DEVICE, Lab, NAT_VIP, PROXY_VIP},
    origin::{Listen, Nginx},
    process,
    sluice::{Sluice, report::Failover},
    watch::Watch,
};
use serde_json::json;
use std::{collections::BTreeMap, path::PathBuf, thread, time::Duration};
use tokio::time::Instant;

/// What every server listens for: the site behind the kernel half first, then those behind the proxy.
const SITES: [Listen; 4] = [
    Listen { site: "shop", port: 80, keep_alive: false },
    Listen { site: "web", port: 8080, keep_alive: true },
    Listen { site: "api", port: 8081, keep_alive: true },
    Listen { site: "admin", port: 8082, keep_alive: true },
];

/// The server that dies.
const VICTIM: &str = "web2";

/// How long traffic runs before and after each event.
const SCENE: Duration = Duration::from_secs(1);

/// Longest wait for the ring. The check takes 0.4 s to give a server up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that were made by hand, with curl.
const BY_HAND: usize = 6;

/// Everything that runs. Fields are dropped in this order: the lab last.
struct Stage {
    sluice: Sluice,
    servers: BTreeMap<&'static str, Nginx>,
    trusted: PathBuf,
    lab: Lab,
}

/// What the clients and the clock saw while a server died and came back.
struct Seen {
    exchanges: Vec<Exchange>,
    visits: Visits,
    killed: Instant,
    changed: Instant,
}

/// Tells the story; an error ends it early and is in the report already.
pub(crate) fn tell(report: &mut Report, keep: bool) -> Result<()> {
    let mut stage = set_up(report, keep)?;
    let watch = Watch::start(&stage.lab.balancer, DEVICE, CLIENT, 80)?;
    let by_hand = report.step(&format!("curl http://{NAT_VIP}/, {BY_HAND} times"), || by_hand(&stage.lab))?;
    report.check("HTTPS, routed by host and path", || public::check_routes(&stage.lab.client, &stage.trusted));
    let seen = lose_and_regain_a_server(report, &mut stage)?;
    balance_the_books(report, &stage, &seen, &by_hand)?;
    let counted = watch.stop()?;
    report.fact("host_stack_packets", counted.of_client);
    report.check("the host's own stack saw none of it", || {
        ensure!(counted.of_client == 0, "{} packets of the VIP reached the stack", counted.of_client);
        ensure!(counted.others > 0, "the watch saw nothing at all, not even health checks");
        Ok(format!("0 packets of the VIP, {} others (health checks, HTTPS)", counted.others))
    });
    report.check("all three servers down: the backup steps in, for packets and for requests", || {
        backup_steps_in(&mut stage)
    });
    if keep { leave(report, stage) } else { stop(report, stage) }
}

fn set_up(report: &mut Report, keep: bool) -> Result<Stage> {
    let lab = report.step("a network of namespaces", || {
        let lab = if keep { Lab::to_keep()? } else { Lab::new()? };
        Ok((lab, "client, balancer, web1, web2, web3, backup, and a switch".to_owned()))
    })?;
    let servers = report.step("four nginx servers", || Ok((start_servers(&lab)?, String::new())))?;
    let trusted = public::make_certificate(lab.directory())?;
    let sluice = report.step("sluice runs", || {
        let sluice = Sluice::start(&lab, &config(&lab)?)?;
        let status = sluice.status()?;
        let modes: Vec<_> = status.interfaces.iter().map(|of| format!("{} on {}", of.mode, of.name)).collect();
        let detail = format!("supervisor {}, worker {}, XDP {}", status.pid, status.worker_pid, modes.join(", "));
        Ok((sluice, detail))
    })?;
    if sluice.status()?.interfaces.iter().any(|interface| interface.mode != "native") {
        report.say("    XDP in the driver is missing here; in generic mode all works, but costs more a packet.");
    }
    Ok(Stage { sluice, servers, trusted, lab })
}

fn config(lab: &Lab) -> Result<String> {
    let servers = lab.servers("shop", &["web1", "web2", "web3", BACKUP], 80)?;
    Ok(format!(
        r#"
[frontend.shop]
mode = "l4"
bind = [{{ address = "{NAT_VIP}:80" }}]
default_backend = "shop"

[backend.shop]
balance = "maglev"
forward = "nat"
check = {{ type = "http", path = "/health", expect = 200, interval = "200ms", rise = 2, fall = 2 }}
{servers}{}"#,
        public::config(lab)?
    ))
}

fn start_servers(lab: &Lab) -> Result<BTreeMap<&'static str, Nginx>> {
    let start = |machine| Nginx::start(machine, lab.directory(), &SITES);
    lab.machines.iter().map(|machine| Ok((machine.name, start(machine)?))).collect()
}

fn by_hand(lab: &Lab) -> Result<(BTreeMap<String, u64>, String)> {
    let mut answers = BTreeMap::new();
    for _ in 0..BY_HAND {
        let body = curl(lab.client.command("curl"), &[&format!("http://{NAT_VIP}/")])?;
        let server = body.split_whitespace().next().context("an empty answer")?;
        *answers.entry(server.to_owned()).or_default() += 1;
    }
    let detail = answers.iter().map(|(server, count)| format!("{server} ×{count}")).collect::<Vec<_>>().join(", ");
    Ok((answers, detail))
}

fn lose_and_regain_a_server(report: &mut Report, stage: &mut Stage) -> Result<Seen> {
    let before = stage.sluice.maps()?.shares("shop")?;
    report.shares("before", &before);
    let load = Load::start(&stage.lab.client, (NAT_VIP, 80).into());
    let visitor = Visitor::start(&stage.lab.client, &stage.trusted);
    thread::sleep(SCENE);

    let (killed, changed) =
        report.step(&format!("kill -9 of nginx on {VICTIM}, while traffic runs"), || kill_victim(stage))?;
    let during = stage.sluice.maps()?.shares("shop")?;
    report.shares("without it", &during);
    report.fact("kill_to_ring_ms", changed.duration_since(killed).as_secs_f64() * 1e3);
    report.check("the living servers kept their parts of the ring", || {
        ensure!(
            before.iter().all(|(server, share)| server == VICTIM || during.get(server) >= Some(share)),
            "{before:?}, then {during:?}"
        );
        Ok(String::new())
    });
    let mut probe_to_map_us = 0;
    report.check("from the failed probe to the kernel's map", || {
        let failovers = stage.sluice.status()?.failovers;
        let of_victim = |change: &&Failover| change.backend == "shop" && change.server == VICTIM && change.to == "down";
        let down = failovers.iter().rfind(of_victim).context("the status has no such failover")?;
        probe_to_map_us = down.probe_to_map_us;
        Ok(format!("{probe_to_map_us} µs"))
    });
    report.fact("probe_to_map_us", probe_to_map_us);
    thread::sleep(SCENE);

    report.step(&format!("{VICTIM} comes back"), || {
        let again = Nginx::start(stage.lab.machine(VICTIM)?, stage.lab.directory(), &SITES)?;
        stage.servers.insert(VICTIM, again);
        stage.sluice.wait_shares("shop", PATIENCE, |shares| *shares == before)?;
        Ok(((), "the ring is as it was before".to_owned()))
    })?;
    thread::sleep(SCENE);
    Ok(Seen { exchanges: load.stop()?, visits: visitor.stop()?, killed, changed })
}

fn kill_victim(stage: &mut Stage) -> Result<((Instant, Instant), String)> {
    let victim = stage.servers.remove(VICTIM).context("the victim does not run")?;
    let killed = Instant::now();
    victim.kill()?;
    stage.sluice.wait_shares("shop", PATIENCE, |shares| !shares.contains_key(VICTIM))?;
    let changed = Instant::now();
    let detail = format!("out of the ring {} ms later", changed.duration_since(killed).as_millis());
    Ok(((killed, changed), detail))
}

fn balance_the_books(report: &mut Report, stage: &Stage, seen: &Seen, by_hand: &BTreeMap<String, u64>) -> Result<()> {
    let mut answered = load::answered(&seen.exchanges);
    for (server, count) in by_hand {
        *answered.entry(server.clone()).or_default() += count;
    }
    let maps = stage.sluice.maps()?;
    let mut counts = BTreeMap::new();
    for (&name, nginx) in &stage.servers {
        let kernel = maps.server("shop", name)?.connections;
        let answered = answered.get(name).copied().unwrap_or_default();
        counts.insert(name.to_owned(), Count { kernel, logged: nginx.requests("shop")? as u64, answered });
    }
    let total = seen.exchanges.len() + BY_HAND;
    let mut failed = 0;
    report.check("requests failed only because their server died", || {
        failed = tally::failures(&seen.exchanges, seen.killed, seen.changed)?;
        Ok(format!("{failed} of {total}, all before the ring changed"))
    });
    report.check("HTTPS requests went on", || https_went_on(seen));
    report.check("kernel counters, access logs and clients agree", || {
        tally::agree(&counts, VICTIM, failed)?;
        Ok(format!("{total} connections"))
    });
    report.say("\n    server   kernel   access log   answered   refused");
    for (server, Count { kernel, logged, answered }) in &counts {
        let refused = kernel.saturating_sub(*answered);
        report.say(&format!("    {server:<7} {kernel:>8} {logged:>12} {answered:>10} {refused:>9}"));
    }
    report.say("");
    let row = |(server, count): (&String, &Count)| {
        let Count { kernel, logged, answered } = count;
        json!({ "server": server, "kernel": kernel, "logged": logged, "answered": answered })
    };
    report.fact("counts", counts.iter().map(row).collect::<Vec<_>>());
    report.fact("failed", failed);
    Ok(())
}

/// The proxy finds another server by itself; only the request that the killed server was answering may be lost.
fn https_went_on(seen: &Seen) -> Result<String> {
    let Visits { requests, failures } = &seen.visits;
    let unexplained = failures.iter().find(|(started, ended, _)| *started > seen.killed || *ended < seen.killed);
    ensure!(
        unexplained.is_none(),
        "{} of {requests} failed, one of them: {:?}",
        failures.len(),
        unexplained.map(|of| &of.2)
    );
    Ok(format!("{requests} by curl, {} failed", failures.len()))
}

fn backup_steps_in(stage: &mut Stage) -> Result<String> {
    for name in ["web1", "web2", "web3"] {
        stage.servers.remove(name).with_context(|| format!("{name} does not run"))?.kill()?;
    }
    let killed = Instant::now();
    stage.sluice.wait_shares("shop", PATIENCE, |shares| shares.keys().eq([BACKUP]))?;
    let (answers, _) = by_hand(&stage.lab)?;
    ensure!(answers.keys().eq([BACKUP]), "answered: {answers:?}");
    let body = public::curl(&stage.lab.client, &stage.trusted, "www.example.com", "/")?;
    ensure!(body == "backup web\n", "HTTPS was answered by {body:?}");
    let detail = format!("{} ms", killed.elapsed().as_millis());
    for name in ["web1", "web2", "web3"] {
        stage.servers.insert(name, Nginx::start(stage.lab.machine(name)?, stage.lab.directory(), &SITES)?);
    }
    stage.sluice.wait_shares("shop", PATIENCE, |shares| shares.len() == 3 && !shares.contains_key(BACKUP))?;
    Ok(detail)
}

fn stop(report: &mut Report, mut stage: Stage) -> Result<()> {
    report.step("sluice stops and leaves nothing behind", || {
        stage.sluice.stop()?;
        let device = process::run(stage.lab.balancer.command("ip").args(["-details", "link", "show", "dev", DEVICE]))?;
        ensure!(!device.contains("prog/xdp"), "the program is still attached:\n{device}");
        ensure!(!stage.lab.pins().exists(), "{} is still there", stage.lab.pins().display());
        Ok(((), String::new()))
    })
}

fn leave(report: &mut Report, stage: Stage) -> Result<()> {
    let Stage { sluice, servers, trusted, lab } = stage;
    let client = format!("nsenter --net={}", lab.client.path().display());
    let (sluice_bin, pins) = (lb_tests::binary()?.display().to_string(), lab.pins().display().to_string());
    let socket = lab.directory().join("sluice.sock").display().to_string();
    let resolve = format!("--cacert {} --resolve api.example.com:443:{PROXY_VIP}", trusted.display());
    report.say("\n  It all stays as it is. Try:\n");
    for line in [
        format!("{client} curl http://{NAT_VIP}/"),
        format!("{client} curl {resolve} https://api.example.com/"),
        format!("{sluice_bin} maps --pins {pins}"),
        format!("{sluice_bin} status --socket {socket}"),
        format!("{sluice_bin} server drain shop/web1 --socket {socket}"),
        format!("tail -f {}", lab.directory().join("sluice.log").display()),
    ] {
        report.say(&format!("    {line}"));
    }
    report.say("\n  and to remove it: cargo xtask demo --clean");
    report.fact(
        "lab",
        json!({ "client": lab.client.name(), "balancer": lab.balancer.name(), "pins": pins, "socket": socket }),
    );
    sluice.keep();
    servers.into_values().for_each(Nginx::keep);
    lab.keep()
}
