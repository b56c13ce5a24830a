//! Five thousand servers, all checked, by a daemon that has one core.

use crate::scene::is_long;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::Lab,
    sluice::{Sluice, Status},
};
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};
use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};

/// Servers of each of the two kinds.
const SERVERS: u32 = 2_500;
const INTERVAL: Duration = Duration::from_secs(2);
/// Later than this after it was due, a probe has missed its deadline.
const SLACK: Duration = Duration::from_millis(100);
const WATCHED: Duration = Duration::from_secs(20);
const PORTS: [(&str, u16); 2] = [("tcp", 9_001), ("http", 9_002)];

/// When each server was probed.
type Probes = Arc<Mutex<HashMap<IpAddr, Vec<Instant>>>>;

fn address(kind: usize, server: u32) -> Ipv4Addr {
    let [_, _, high, low] = server.to_be_bytes();
    Ipv4Addr::new(127, u8::try_from(kind).unwrap_or(0) + 1, high, low)
}

fn config() -> Result<String> {
    let mut text = String::from("threads = 1\n");
    for (kind, (name, port)) in PORTS.into_iter().enumerate() {
        let check = if name == "tcp" { "" } else { ", path = \"/health\", expect = 200" };
        writeln!(text, "[frontend.{name}]\nmode = \"tcp\"\nbind = \"127.0.0.1:{}\"", port + 100)?;
        writeln!(text, "default_backend = \"{name}\"\n[backend.{name}]")?;
        writeln!(text, "check = {{ type = \"{name}\", interval = \"{}s\"{check} }}", INTERVAL.as_secs())?;
        writeln!(text, "server = [")?;
        for server in 1..=SERVERS {
            writeln!(text, "{{ name = \"s{server}\", address = \"{}:{port}\" }},", address(kind, server))?;
        }
        writeln!(text, "]")?;
    }
    Ok(text)
}

/// All the servers, in the balancer's namespace; ends with the sender.
fn serve(lab: &Lab, probes: &Probes, end: &mpsc::Receiver<()>) -> Result<()> {
    lab.balancer.enter()?;
    pin(None, 1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for (kind, port) in PORTS {
            let listener = listen((Ipv4Addr::UNSPECIFIED, port).into())?;
            let probes = Arc::clone(probes);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let (now, local) = (Instant::now(), stream.local_addr());
                    if let (Ok(local), Ok(mut probes)) = (local, probes.lock()) {
                        probes.entry(local.ip()).or_default().push(now);
                    }
                    tokio::spawn(async move {
                        let mut request = [0; 512];
                        if kind == "http" && stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap_or_default();
                        }
                    });
                }
            });
        }
        while end.try_recv() == Err(mpsc::TryRecvError::Empty) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4_096)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// Leaves a thread one core; `None`: this one.
fn pin(thread: Option<Pid>, core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core.min(thread::available_parallelism()?.get() - 1));
    Ok(sched_setaffinity(thread, &cores)?)
}

fn pin_process(process: i32, core: usize) -> Result<()> {
    for task in fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"))? {
        let task = task?.file_name().to_string_lossy().parse()?;
        pin(Pid::from_raw(task), core)?;
    }
    Ok(())
}

/// Time that a process has spent on a CPU.
fn cpu(process: i32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("stat")?;
    let ticks: Vec<u64> = fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

fn failures(status: &Status) -> (usize, u64) {
    let servers = status.backends.iter().flat_map(|backend| &backend.servers);
    let servers: Vec<_> = servers.collect();
    let up = servers.iter().filter(|server| server.health == "up").count();
    (up, servers.iter().filter_map(|server| server.check.as_ref()).map(|check| check.failures).sum())
}

#[test]
fn five_thousand_servers_are_checked_on_one_core_without_missing_a_deadline() -> Result<()> {
    let lab = Lab::new()?;
    let probes = Probes::default();
    let (stop, end) = mpsc::channel();
    thread::scope(|scope| {
        let serving = scope.spawn({
            let (lab, probes) = (&lab, &probes);
            move || serve(lab, probes, &end)
        });
        let watched = watch(&lab, &probes);
        drop(stop);
        serving.join().map_err(|_panic| anyhow::anyhow!("the servers panicked"))??;
        watched
    })
}

fn watch(lab: &Lab, probes: &Probes) -> Result<()> {
    let sluice = Sluice::start(lab, &config()?)?;
    let status = sluice.status()?;
    for process in [status.pid, status.worker_pid] {
        pin_process(process, 0)?;
    }
    thread::sleep(INTERVAL * 2);
    probes.lock().map_err(|_poisoned| anyhow::anyhow!("poisoned"))?.clear();
    let (began, before) = (Instant::now(), cpu(status.worker_pid)?);
    thread::sleep(WATCHED);
    let (lasted, spent) = (began.elapsed(), cpu(status.worker_pid)?.saturating_sub(before));
    let probes = std::mem::take(&mut *probes.lock().map_err(|_poisoned| anyhow::anyhow!("poisoned"))?);
    let gaps = probes.values().flat_map(|times| times.iter().zip(times.iter().skip(1)));
    let mut gaps: Vec<_> = gaps.map(|(one, next)| *next - *one).collect();
    gaps.sort_unstable();
    let (total, late) = (gaps.len(), gaps.iter().filter(|gap| **gap > INTERVAL + SLACK).count());
    let (up, failures) = failures(&sluice.status()?);
    let longest = gaps.last().copied().unwrap_or_default();
    let p99 = gaps.get(total * 99 / 100).copied().unwrap_or_default();
    println!(
        "{} servers probed, {total} intervals: p99 {p99:?}, longest {longest:?}, {late} late; {up} up, {failures} failures; {:.0} % of a core",
        probes.len(),
        100.0 * spent.as_secs_f64() / lasted.as_secs_f64(),
    );
    let servers = SERVERS as usize * PORTS.len();
    ensure!((probes.len(), up, failures) == (servers, servers, 0), "see above");
    // How late they may be is a question for a machine that does nothing else.
    ensure!(longest < INTERVAL * 2 && (late == 0 || !is_long()), "see above");
    Ok(())
}
