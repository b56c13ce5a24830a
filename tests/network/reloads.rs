//! Many reloads: under load, with what is open for long, and more of them than anybody needs.

use crate::{
    certificates::made,
    scene::{FAST_CHECK, SOON, is_long},
};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Connection, Load, WebSocket, sql},
    lab::{Lab, NAT_VIP, PROXY_VIP},
    origin::{Listen, Nginx, Postgres, websocket},
    process, secret,
    sluice::{Sluice, complete},
    wait,
};
use rustix::process::{Pid, Signal};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    thread,
    time::Duration,
};
use tokio::time::Instant;

pub(crate) const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
const WEBS: [&str; 3] = ["web1", "web2", "web3"];
const SOCKETS: u16 = 9001;

/// What is always there. `{…}` stands for what is not the same twice.
const CONFIG: &str = r#"
[defaults]
timeout_tunnel = "1h"
[frontend.web]
mode = "http"
bind = [{ address = "{proxy}:80" }, { address = "{proxy}:443", tls = { certificates = "certs" } }]
maxconn = {maxconn}
default_backend = "web"
acl.socket = "path /socket"
rule = [{ if = "socket", use = "sockets" }]
[backend.web]
balance = "roundrobin"
check = {check}
{web}
[backend.sockets]
check = {check}
{sockets}
[frontend.fast]
mode = "l4"
bind = "{nat}:80"
default_backend = "fast"
[backend.fast]
balance = "maglev"
forward = "nat"
transition = "5s"
check = {check}
{fast}
[frontend.sql]
mode = "tcp"
bind = "{proxy}:5432"
default_backend = "sql"
[backend.sql]
check = {check}
{sql}
"#;

/// Comes and goes.
const MORE: &str = r#"
[frontend.more]
mode = "http"
bind = "{proxy}:8081"
default_backend = "more{round}"
[backend.more{round}]
balance = "leastconn"
{more}
"#;

/// Likewise.
const OTHERS: &str = r#"
[frontend.others]
mode = "l4"
bind = "{nat}:81"
default_backend = "others"
[backend.others]
balance = "maglev"
forward = "nat"
{others}
"#;

/// The configuration after so many reloads: an `http`, an `l4` and a `tcp` frontend that are always there, and beside them
/// others, and backends, servers, weights and limits that are not the same twice.
pub(crate) fn config(lab: &Lab, round: usize) -> Result<String> {
    let webs = if round.is_multiple_of(2) { &WEBS[..] } else { &["web1", "web2"] };
    let weighed = |backend: &str| -> Result<String> {
        let servers = lab.servers(backend, webs, 8080)?;
        let weigh = |(number, line): (usize, &str)| {
            let weight = format!("weight = {}\n", 1 + (number + round) % 5);
            format!("{line}\n{}", if line.starts_with("name") { weight } else { String::new() })
        };
        Ok(servers.lines().enumerate().map(weigh).collect())
    };
    let more = if round % 3 == 1 { MORE } else { "" };
    let others = if round % 4 == 2 { OTHERS } else { "" };
    let filled = [
        ("{check}", FAST_CHECK.to_owned()),
        ("{proxy}", PROXY_VIP.to_string()),
        ("{nat}", NAT_VIP.to_string()),
        ("{maxconn}", (10_000 + round).to_string()),
        ("{round}", round.to_string()),
        ("{web}", weighed("web")?),
        ("{fast}", weighed("fast")?),
        ("{sockets}", lab.servers("sockets", &["web1"], SOCKETS)?),
        ("{sql}", lab.servers("sql", &["web1"], 5432)?),
        ("{more}", lab.servers(&format!("more{round}"), &["web2"], 8080)?),
        ("{others}", lab.servers("others", &["web1", "web2"], 8082)?),
    ];
    Ok(filled.iter().fold([CONFIG, more, others].concat(), |text, (place, value)| text.replace(place, value)))
}

/// The lab, its servers, and the daemon.
pub(crate) struct Scenario {
    pub(crate) sluice: Sluice,
    pub(crate) lab: Lab,
    _nginx: Vec<Nginx>,
}

impl Scenario {
    pub(crate) fn start() -> Result<Self> {
        let lab = Lab::new()?;
        let nginx = WEBS.map(|name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]));
        let nginx = nginx.into_iter().collect::<Result<_>>()?;
        fs::create_dir_all(lab.directory().join("certs"))?;
        secret::keep(&lab.directory().join("certs/a.pem"), made("a.test")?.1)?;
        let sluice = Sluice::start(&lab, &config(&lab, 0)?)?;
        sluice.wait_shares("fast", SOON, |shares| shares.keys().eq(WEBS))?;
        Ok(Self { sluice, lab, _nginx: nginx })
    }

    /// Another configuration, every third time with another certificate; by verb and by signal.
    pub(crate) fn reload(&self, round: usize) -> Result<()> {
        let before = self.sluice.status()?.generation;
        if round.is_multiple_of(3) {
            secret::keep(&self.lab.directory().join("certs/a.pem"), made("a.test")?.1)?;
        }
        self.sluice.write_config(&self.lab, &config(&self.lab, round)?)?;
        if round.is_multiple_of(2) {
            self.sluice.command(&["reload"])?;
        } else {
            self.sluice.signal(Signal::HUP)?;
        }
        wait::until("the reload", SOON, || {
            let status = self.sluice.status()?;
            let frontend = status.frontends.iter().find(|frontend| frontend.name == "web").context("no frontend")?;
            Ok((status.generation > before && frontend.maxconn == 10_000 + round).then_some(()))
        })
        .with_context(|| self.sluice.log())
    }
}

#[test]
fn no_request_fails_however_often_the_configuration_changes() -> Result<()> {
    let (reloads, pause) = if is_long() { (20, Duration::from_secs(3)) } else { (5, Duration::from_secs(1)) };
    let mut scenario = Scenario::start()?;
    let addresses: [SocketAddr; 2] = [(PROXY_VIP, 80).into(), (NAT_VIP, 80).into()];
    let start = Instant::now();
    let mut done = [0_usize; 2];
    let mut round = 0;
    // The long form goes on until there were enough of them.
    while round < reloads || (is_long() && done.iter().sum::<usize>() < 100_000) {
        let loads = addresses.map(|address| Load::start(&scenario.lab.client, address));
        for _ in 0..reloads {
            round += 1;
            let next = Instant::now() + pause;
            scenario.reload(round)?;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        for ((load, address), done) in loads.into_iter().zip(addresses).zip(&mut done) {
            let exchanges = load.stop()?;
            *done += exchanges.len();
            let failed: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.result.as_ref().err()).collect();
            let (count, first) = (failed.len(), failed.first());
            ensure!(
                failed.is_empty(),
                "{count} of {} at {address}: {first:#?}\n{}",
                exchanges.len(),
                scenario.sluice.log()
            );
        }
    }
    let took = start.elapsed();
    println!("{round} reloads in {took:.1?}: {} requests by http, {} by l4, none failed", done[0], done[1]);
    ensure!(done.iter().all(|done| *done > 100), "there was hardly any load: {done:?}");
    scenario.sluice.stop()
}

/// A login of PostgreSQL that is told one statement after the other.
struct Login {
    program: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Login {
    fn drop(&mut self) {
        drop(self.program.kill().and_then(|()| self.program.wait()));
    }
}

impl Login {
    fn open(lab: &Lab) -> Result<Self> {
        let mut command = lab.client.command("psql");
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--dbname=postgres"]);
        command.args([format!("--host={PROXY_VIP}"), format!("--username={}", sql::USER)]);
        command.env("PGPASSWORD", sql::PASSWORD).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn()?;
        let (input, output) = (program.stdin.take().context("input")?, program.stdout.take().context("output")?);
        Ok(Self { program, input, output: BufReader::new(output) })
    }

    fn ask(&mut self, statement: &str) -> Result<String> {
        writeln!(self.input, "{statement};").context("the login is over")?;
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the login is over");
        Ok(line.trim().to_owned())
    }
}

#[test]
fn what_is_open_for_long_survives_reloads() -> Result<()> {
    let (reloads, sockets, logins) = if is_long() { (20, 500, 50) } else { (6, 100, 8) };
    let mut scenario = Scenario::start()?;
    let lab = &scenario.lab;
    let database = Postgres::start(lab.machine("web1")?, lab.directory())?;
    websocket::serve(lab.machine("web1")?, SOCKETS)?;
    wait::until("the servers to be up", SOON, || {
        let status = scenario.sluice.status()?;
        Ok(["sockets", "sql"]
            .iter()
            .all(|it| status.server(it, "web1").is_ok_and(|it| it.health == "up"))
            .then_some(()))
    })?;
    let mut open = WebSocket::open(&lab.client, (PROXY_VIP, 80).into(), sockets)?;
    let mut logins = (0..logins).map(|_| Login::open(lab)).collect::<Result<Vec<_>>>()?;
    let who = |logins: &mut Vec<Login>| {
        logins.iter_mut().map(|login| login.ask("select pg_backend_pid()")).collect::<Result<Vec<_>>>()
    };
    let before = who(&mut logins).with_context(|| scenario.sluice.log())?;
    let start = Instant::now();
    for round in 1..=reloads {
        scenario.reload(round)?;
    }
    let took = start.elapsed();
    for (number, socket) in open.iter_mut().enumerate() {
        socket.say("still there").with_context(|| format!("WebSocket {number} of {sockets}"))?;
    }
    ensure!(who(&mut logins)? == before, "others than before");
    println!(
        "{reloads} reloads in {took:.1?}: {} WebSockets and {} logins of PostgreSQL go on",
        open.len(),
        before.len()
    );
    drop((open, logins, database));
    scenario.sluice.stop()
}

/// CPU time that a process has used.
fn used(pid: Pid) -> Result<Duration> {
    const TICKS: u64 = 100;
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    let fields: Vec<_> = text.rsplit(')').next().context("stat")?.split_whitespace().collect();
    let ticks = |field: usize| -> Result<u64> { Ok(fields.get(field).context("stat")?.parse()?) };
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1_000 / TICKS))
}

/// As editors and tools that take care do it: nobody sees half a file.
fn exchange(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    Ok(fs::rename(beside, path)?)
}

#[test]
fn a_storm_of_signals_ends_with_the_last_file_and_costs_little() -> Result<()> {
    let storm = Duration::from_secs(if is_long() { 20 } else { 3 });
    let mut scenario = Scenario::start()?;
    let (lab, sluice) = (&scenario.lab, &scenario.sluice);
    let load = Load::start(&lab.client, (PROXY_VIP, 80).into());
    let before = sluice.status()?;
    let pids = [sluice.supervisor(), before.worker()?];
    let (start, spent) = (Instant::now(), pids.map(used));
    let mut round = 0;
    while start.elapsed() < storm {
        round += 1;
        exchange(sluice.config(), &complete(lab, &config(lab, round)?))?;
        sluice.signal(Signal::HUP)?;
        thread::sleep(Duration::from_millis(10));
    }
    let took = start.elapsed();
    wait::until("the last file", SOON, || {
        let status = sluice.status()?;
        Ok(status.frontends.iter().any(|it| it.name == "web" && it.maxconn == 10_000 + round).then_some(()))
    })
    .with_context(|| sluice.log())?;
    let last = sluice.status()?.generation;
    let (reloads, most) = (last - before.generation, took.as_secs() * 4 + 4);
    let spent: Vec<_> = pids
        .map(used)
        .into_iter()
        .zip(spent)
        .map(|(now, then)| Ok(now?.saturating_sub(then?)))
        .collect::<Result<_>>()?;
    println!("{round} signals in {took:.1?}: {reloads} reloads, CPU of supervisor and worker {spent:.1?}");
    ensure!(reloads <= most, "{reloads} reloads in {took:?}");
    ensure!(!sluice.log().contains("configuration refused"), "{}", sluice.log());
    thread::sleep(Duration::from_millis(600));
    ensure!(sluice.status()?.generation == last, "it goes on and on");
    let exchanges = load.stop()?;
    let failed: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.result.as_ref().err()).collect();
    ensure!(failed.is_empty(), "{} of {}: {:#?}", failed.len(), exchanges.len(), failed.first());
    scenario.sluice.stop()
}

#[test]
fn connections_counters_and_tls_outlive_a_reload() -> Result<()> {
    let mut scenario = Scenario::start()?;
    let (lab, sluice) = (&scenario.lab, &scenario.sluice);
    let resumed = lab.directory().join("resumed");
    let tls = |way: &str| {
        let script = format!(
            "(printf 'GET / HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n'; sleep 0.5) | openssl s_client -connect {PROXY_VIP}:443 \
             -servername a.test {way} {} 2>&1",
            resumed.display()
        );
        process::run(lab.client.command("sh").args(["-c", &script]))
    };
    ensure!(tls("-sess_out")?.contains("\nNew, TLS"), "a new one");
    let mut kept = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    (0..30).try_for_each(|_| kept.get("/").map(drop))?;
    // Connections to servers, by their ports here.
    let opened = || -> Result<Vec<String>> {
        let script = "ss -Htn state established 'dport = :8080' | awk '{ print $3, $4 }' | sort";
        let shown = process::run(lab.balancer.command("sh").args(["-c", script]))?;
        Ok(shown.lines().map(str::to_owned).collect())
    };
    let total = |status: &lb_tests::sluice::Status| {
        status.backends.iter().flat_map(|it| &it.servers).map(|it| it.total).sum::<u64>()
    };
    let (idle, before) = (opened()?, sluice.status()?);
    ensure!(!idle.is_empty() && total(&before) >= 30, "{idle:?} {before:?}");
    scenario.reload(2)?;
    let after = sluice.status()?;
    ensure!(total(&after) >= total(&before), "counters began anew");
    ensure!(after.backends.iter().filter(|it| it.name == "web").flat_map(|it| &it.servers).all(|it| it.health == "up"));
    let mut another = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    for client in [&mut kept, &mut another] {
        ensure!(client.get("/")?.status == 200);
    }
    let now = opened()?;
    ensure!(idle.iter().all(|one| now.contains(one)), "connections to servers were {idle:?}, now {now:?}");
    let again = tls("-sess_in")?;
    ensure!(again.contains("\nReused, TLS"), "not resumed: {again}");
    scenario.sluice.stop()
}
