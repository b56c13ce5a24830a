//! What runs out: descriptors, memory, the disk of the log. Each costs what it must, and no more, and is over when there is
//! enough again.

use crate::scene::{self, SOON};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{Lab, PROXY_VIP},
    netns::Namespace,
    origin::{Listen, Nginx},
    process,
    sluice::{Manner, Sluice, Status},
    wait,
};
use rustix::process::Pid;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An HTTP frontend before two real servers, which are checked often and fall at once.
fn config(lab: &Lab, global: &str, frontend: &str) -> Result<String> {
    Ok(format!(
        r#"threads = 2
{global}
[frontend.web]
mode = "http"
bind = "{PROXY_VIP}:80"
default_backend = "web"
{frontend}
[backend.web]
check = {{ type = "tcp", interval = "100ms", timeout = "3s", rise = 1, fall = 1 }}
{}"#,
        lab.servers("web", &["web1", "web2"], 8080)?
    ))
}

fn origins(lab: &Lab) -> Result<Vec<Nginx>> {
    ["web1", "web2"].into_iter().map(|name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE])).collect()
}

fn address() -> SocketAddr {
    (PROXY_VIP, 80).into()
}

/// Connections of clients that have sent these bytes.
fn clients(client: &Namespace, count: usize, bytes: &[u8]) -> Result<Vec<TcpStream>> {
    client.run(|| {
        let open = |_| {
            let mut stream = TcpStream::connect_timeout(&address(), SOON)?;
            // One that is sent away at once cannot be written to.
            drop(stream.write_all(bytes));
            stream.set_read_timeout(Some(Duration::from_millis(1)))?;
            Ok(stream)
        };
        (0..count).map(open).collect()
    })?
}

/// Whether an answer has come; it is read. That there was no connection to a server to be had is one too.
fn is_answered(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 1_024];
    let Ok(length) = stream.read(&mut answer) else { return false };
    let answer = answer.get(..length).unwrap_or_default();
    [&b"HTTP/1.1 200"[..], b"HTTP/1.1 503"].iter().any(|known| answer.starts_with(known))
}

/// Takes those that are answered out.
fn take_answered(waiting: &mut Vec<TcpStream>) -> Vec<TcpStream> {
    waiting.extract_if(.., is_answered).collect()
}

/// CPU time of a process so far.
fn cpu(pid: Pid) -> Result<Duration> {
    /// `USER_HZ` of all of Linux' architectures.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    let fields: Vec<_> = stat.rsplit_once(')').context("a stat")?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u32>().ok()).context("ticks");
    Ok(TICK * (ticks(11)? + ticks(12)?))
}

/// What a process uses in a while of doing nothing.
fn idles(pid: Pid, what: &str) -> Result<()> {
    let before = cpu(pid)?;
    thread::sleep(Duration::from_secs(2));
    let used = cpu(pid)?.saturating_sub(before);
    println!("{what}: {used:?} of CPU time in 2 s");
    ensure!(used < Duration::from_millis(400), "{what}: it spins: {used:?} in 2 s");
    Ok(())
}

fn nobody_fell(status: &Status, sluice: &Sluice) -> Result<()> {
    let fallen: Vec<_> = status.failovers.iter().filter(|change| change.to == "down").collect();
    ensure!(fallen.is_empty(), "{fallen:?}\n{}", sluice.log());
    Ok(())
}

/// Until all are answered: those that were make room for others.
fn all_are_answered(waiting: &mut Vec<TcpStream>, keep: bool, sluice: &Sluice) -> Result<Vec<TcpStream>> {
    let (deadline, mut answered) = (Instant::now() + SOON * 4, Vec::new());
    while !waiting.is_empty() {
        ensure!(Instant::now() < deadline, "{} wait for ever\n{}", waiting.len(), sluice.log());
        let more = take_answered(waiting);
        if keep {
            answered.extend(more);
        }
    }
    Ok(answered)
}

#[test]
fn without_descriptors_clients_wait_and_neither_operators_nor_servers_suffer() -> Result<()> {
    let lab = Lab::new()?;
    let _origins = origins(&lab)?;
    let manner = Manner { through: &["prlimit", "--nofile=256:256"], ..Manner::default() };
    let sluice = Sluice::start_as(&lab, &config(&lab, "max_connections = 10000", "")?, manner)?;
    let worker = sluice.status()?.worker()?;
    let mut waiting = clients(&lab.client, 400, GET)?;
    thread::sleep(Duration::from_millis(500));
    let served = take_answered(&mut waiting);
    println!("256 descriptors: {} clients are served at once, {} wait", served.len(), waiting.len());
    ensure!(served.len() > 20 && waiting.len() > 100);
    idles(worker, "as many connections as fit")?;
    let begun = Instant::now();
    nobody_fell(&sluice.status()?, &sluice)?;
    ensure!(begun.elapsed() < Duration::from_secs(1), "an operator waits: {:?}", begun.elapsed());
    drop(served);
    all_are_answered(&mut waiting, false, &sluice)?;

    // Far fewer than were counted on: whoever is first gets them.
    let limit = |most: &str| {
        let pid = worker.as_raw_nonzero().to_string();
        process::run(Command::new("setpriv").args([
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
            "prlimit",
            "--pid",
            &pid,
            &format!("--nofile={most}:256"),
        ]))
    };
    wait::until("clients to leave", SOON, || Ok((sluice.status()?.connections == 0).then_some(())))?;
    let open = fs::read_dir(format!("/proc/{}/fd", worker.as_raw_nonzero()))?.count();
    limit(&(open + 8).to_string())?;
    let mut waiting = clients(&lab.client, 60, GET)?;
    idles(worker, "not one descriptor left")?;
    limit("256")?;
    drop(all_are_answered(&mut waiting, true, &sluice)?);
    nobody_fell(&sluice.status()?, &sluice)?;
    let warnings = sluice.log().matches("all descriptors for connections are taken").count();
    ensure!((1..=6).contains(&warnings), "{warnings} warnings\n{}", sluice.log());
    ensure!(Connection::open(&lab.client, address())?.get("/")?.status == 200);
    ensure!(!sluice.log().contains("panicked at"));
    Ok(())
}

#[test]
fn a_disk_that_is_full_costs_lines_of_the_log_and_no_request() -> Result<()> {
    let lab = Lab::new()?;
    let _origins = origins(&lab)?;
    let disk = lab.directory().join("disk");
    fs::create_dir(&disk)?;
    let script = format!("mount -t tmpfs -o size=64k none {} && exec \"$@\"", disk.display());
    let manner = Manner {
        through: &["unshare", "--mount", "--propagation=private", "sh", "-c", &script, "sh"],
        ..Manner::default()
    };
    let log = format!("log = \"file:{}/access.log\"", disk.display());
    let sluice = Sluice::start_as(&lab, &config(&lab, "", &log)?, manner)?;
    // As the daemon sees it.
    let seen = Path::new("/proc").join(sluice.supervisor().as_raw_nonzero().to_string()).join("root");
    let file = seen.join(disk.strip_prefix("/")?).join("access.log");
    let mut client = Connection::open(&lab.client, address())?;
    let mut ask = |times: usize| -> Result<()> {
        for _ in 0..times {
            let answer = client.get("/")?;
            ensure!(answer.status == 200, "{answer:?}");
        }
        Ok(())
    };
    ask(10)?;
    wait::until("lines in the log", SOON, || Ok((fs::metadata(&file)?.len() > 0).then_some(())))?;
    // The disk is full after some 600 lines, and then what waits for it after 8,192 of each thread.
    let rounds = if scene::is_long() { 40_000 } else { 12_000 };
    ask(rounds)?;
    let full = sluice.status()?.logs.into_iter().next().context("a log")?;
    ensure!(full.failing && full.lost > 0, "{full:?}\n{}", sluice.log());
    println!("{rounds} requests on a full disk: {full:?}");
    let warnings = sluice.log().matches("access log is not taken").count();
    ensure!(warnings == 1, "{warnings} warnings");
    fs::File::options().write(true).open(&file)?.set_len(0)?;
    // It fills again with what has waited; until all of that is through, somebody makes room.
    let mut known = String::new();
    wait::until("lines of now, and how many were lost", SOON * 6, || {
        known.push_str(&fs::read_to_string(&file)?);
        fs::File::options().write(true).open(&file)?.set_len(0)?;
        ask(1)?;
        let now = sluice.status()?.logs.into_iter().next().context("a log")?;
        let told = known.lines().any(|line| line.contains("lost"));
        Ok((!now.failing && now.written > full.written && told).then_some(()))
    })
    .with_context(|| sluice.log())?;
    Ok(())
}

/// Resident memory of a process, in bytes.
fn resident(pid: Pid) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a size")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// Clients that send heads without an end, for so long; as many as get in. The most memory that the worker had.
fn fill(lab: &Lab, worker: Pid, lasts: Duration) -> Result<(Vec<TcpStream>, u64)> {
    // Each costs what it has sent so far.
    let part = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec(), vec![b'x'; 14 << 10]].concat();
    let (mut slow, mut most, deadline) = (Vec::new(), 0, Instant::now() + lasts);
    while Instant::now() < deadline && slow.len() < 16_000 {
        match clients(&lab.client, 250, &part) {
            Ok(more) => slow.extend(more),
            // The backlog is full: that is where they wait.
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
        most = most.max(resident(worker)?);
    }
    Ok((slow, most))
}

#[test]
fn memory_that_runs_out_is_let_go_of_before_the_daemon_dies() -> Result<()> {
    const LIMIT: u64 = 96 << 20;
    let lab = Lab::new()?;
    let _origins = origins(&lab)?;
    let frontend = "timeout_http_request = \"5s\"\ntimeout_client = \"5s\"";
    let sluice = Sluice::start_as(&lab, &config(&lab, "max_memory = \"96MiB\"", frontend)?, Manner::default())?;
    let worker = sluice.status()?.worker()?;
    let begun = resident(worker)?;
    let (slow, most) = fill(&lab, worker, Duration::from_secs(if scene::is_long() { 60 } else { 8 }))?;
    let [begun, most] = [begun, most].map(|bytes| bytes >> 20);
    println!("{} slow clients: {begun} MiB at the start, {most} MiB at most, of {} MiB", slow.len(), LIMIT >> 20);
    ensure!(sluice.log().contains("memory is short"), "never short\n{}", sluice.log());
    ensure!(most < (LIMIT + LIMIT / 10) >> 20, "{most} MiB");
    ensure!(sluice.status()?.worker()? == worker, "another worker\n{}", sluice.log());
    drop(slow);
    wait::until("memory again", SOON * 4, || Ok(sluice.log().contains("there is memory again").then_some(())))
        .with_context(|| format!("{} MiB\n{}", resident(worker).unwrap_or(0) >> 20, sluice.log()))?;
    ensure!(Connection::open(&lab.client, address())?.get("/")?.status == 200);
    nobody_fell(&sluice.status()?, &sluice)
}
