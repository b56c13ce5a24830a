//! The runtime API with the tools that people have: hatop in a terminal, HAProxy's exporter for Prometheus, and what anybody may
//! type there.

use crate::{control::http, scene::SOON, terminal};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{Lab, PROXY_VIP},
    origin::{Listen, Nginx},
    process::{self, Process},
    sluice::Sluice,
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
const EXPORTER: &str = "127.0.0.1:9101";

/// A proxy in front of one server, with a socket for everybody who is of the group of nobody.
fn proxy(lab: &Lab) -> Result<Sluice> {
    let socket = lab.directory().join("stats.sock");
    let socket = socket.display();
    let socket = format!(
        "stats_socket = {{ path = \"{socket}\", mode = \"660\", group = \"nogroup\", level = \"operator\" }}\n"
    );
    Sluice::start(lab, &(socket + &http(lab, "www", "")?))
}

/// What is answered to these lines.
fn say(socket: &Path, lines: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(lines.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn hatop(lab: &Lab, socket: &Path, keys: &[&str]) -> Result<String> {
    terminal::show(lab, keys, lab.balancer.command("hatop").arg("-s").arg(socket))
}

/// What is wanted of the server, and its weight.
fn wanted(sluice: &Sluice, socket: &Path) -> Result<(String, String)> {
    let status = sluice.status()?;
    let server = status.backends.iter().flat_map(|backend| &backend.servers).next().context("a server")?;
    Ok((server.admin.clone(), say(socket, "get weight web/web1\n")?.trim_end().to_owned()))
}

#[test]
fn hatop_shows_servers_and_takes_them_out() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let mut sluice = proxy(&lab)?;
    let socket = lab.directory().join("sluice.sock");
    ensure!(Connection::open(&lab.client, (PROXY_VIP, 80).into())?.get("/")?.status == 200);
    // Names are lines of their own, and there is an empty one before the second.
    let shown = hatop(&lab, &socket, &["down", "down", "down", "down", "f10", "quit"])?;
    for word in ["HATop", "Sluice", "www", "web1", "UP", "BACKEND"] {
        ensure!(shown.contains(word), "{word} is not in what hatop shows:\n{shown}");
    }
    let now = wanted(&sluice, &socket)?;
    ensure!(now.0 == "maint", "{now:?}\n{shown}");
    let shown = hatop(&lab, &socket, &["down", "down", "down", "down", "f9", "f6", "quit"])?;
    ensure!(shown.contains("MAINT"), "{shown}");
    let now = wanted(&sluice, &socket)?;
    ensure!(now == ("ready".to_owned(), "0 (initial 1)".to_owned()), "{now:?}\n{shown}");
    sluice.stop()
}

#[test]
fn haproxys_exporter_reads_the_socket() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let mut sluice = proxy(&lab)?;
    let socket = lab.directory().join("stats.sock");
    let uri = format!("--haproxy.scrape-uri=unix:{}", socket.display());
    let mut command = lab.balancer.command("prometheus-haproxy-exporter");
    let mut exporter =
        Process::spawn("exporter", command.arg(uri).arg(format!("--web.listen-address={EXPORTER}")), lab.directory())?;
    for _ in 0..3 {
        ensure!(Connection::open(&lab.client, (PROXY_VIP, 80).into())?.get("/")?.status == 200);
    }
    let scrape =
        || process::run(lab.balancer.command("curl").args(["-sS", "--fail", &format!("http://{EXPORTER}/metrics")]));
    let scraped = wait::until("the exporter", SOON, || Ok(scrape().ok()))?;
    for line in [
        "haproxy_up 1",
        "haproxy_exporter_csv_parse_failures_total 0",
        "haproxy_server_up{backend=\"web\",server=\"web1\"} 1",
        "haproxy_frontend_connections_total{frontend=\"www\"} 3",
        "haproxy_frontend_http_responses_total{code=\"2xx\",frontend=\"www\"} 3",
        "haproxy_server_sessions_total{backend=\"web\",server=\"web1\"} 3",
        "haproxy_backend_up{backend=\"web\"} 1",
    ] {
        ensure!(scraped.lines().any(|known| known == line), "{line} is not in:\n{scraped}");
    }
    ensure!(say(&lab.directory().join("sluice.sock"), "disable server web/web1\n")? == "\n");
    let scraped = scrape()?;
    ensure!(scraped.contains("haproxy_backend_up{backend=\"web\"} 0"), "{scraped}");
    exporter.kill()?;
    sluice.stop()
}

#[test]
fn a_socket_has_its_mode_and_whoever_connects_its_level() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let sluice = proxy(&lab)?;
    let (socket, control) = (lab.directory().join("stats.sock"), lab.directory().join("sluice.sock"));
    let mode = |path: &Path| Ok::<_, anyhow::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    ensure!((mode(&socket)?, mode(&control)?) == (0o660, 0o600));
    ensure!(say(&socket, "show cli level\n")? == "admin\n\n", "this is root");
    let by_nobody = |path: &Path, line: &str| {
        const ASK: &str = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                           s.sendall(sys.argv[2].encode())\nwhile d:=s.recv(9999): sys.stdout.write(d.decode())";
        let mut command = lab.balancer.command("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "/usr/bin/python3", "-c", ASK]);
        process::run(command.arg(path).arg(line))
    };
    fs::set_permissions(lab.directory(), fs::Permissions::from_mode(0o755))?;
    ensure!(by_nobody(&control, "show version\n").is_err(), "the control socket is open to everybody");
    let answers = by_nobody(&socket, "show cli level;set weight web/web1 3;show errors\n")?;
    ensure!(answers.starts_with("operator\n\nPermission denied\n\nTotal events"), "{answers}");
    let answer = by_nobody(&socket, "{\"verb\":\"reload\"}\n")?;
    ensure!(answer.contains("permission denied"), "{answer}");
    let all: serde_json::Value =
        serde_json::from_str(&say(&socket, "{\"verb\":\"runtime\",\"words\":[\"show\",\"stat\",\"json\"]}\n")?)?;
    ensure!(all.pointer("/ok/0/0/objType").is_some_and(|kind| kind == "Frontend"), "{all}");
    // An upgrade hands both on.
    sluice.command(&["upgrade"])?;
    ensure!(say(&socket, "show backend\n")? == "# name\nweb\n\n");
    let new = Pid::from_raw(sluice.status()?.pid).context("a process")?;
    kill_process(new, Signal::TERM)?;
    // What it leaves is nothing, not even its sockets.
    wait::until("the end of the new daemon", SOON, || Ok((!socket.exists() && !control.exists()).then_some(())))
}

#[test]
fn random_lines_silent_clients_and_slow_readers_harm_nothing() -> Result<()> {
    let lines = if crate::scene::is_long() { 10_000_000 } else { 20_000 };
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let mut sluice = proxy(&lab)?;
    let socket = lab.directory().join("stats.sock");
    let silent = (0..1_000).map(|_| UnixStream::connect(&socket)).collect::<std::io::Result<Vec<_>>>()?;
    let mut slow = UnixStream::connect(&socket)?;
    slow.write_all("show stat\n".repeat(400).as_bytes())?;
    let mut sent = 0;
    while sent < lines {
        // A batch a connection, which ends with the last line that was answered.
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_read_timeout(Some(SOON))?;
        let mut reader = stream.try_clone()?;
        let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        for _ in 0..(lines - sent).min(50_000) {
            let line = (0..fastrand::usize(0..24)).map(|_| fastrand::u8(b' '..=255));
            let line: Vec<u8> = line.chain([b'\n']).collect();
            sent += 1;
            // `quit` and what announces a payload end it early.
            if stream.write_all(&line).is_err() {
                break;
            }
        }
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(reading.join());
    }
    ensure!(say(&socket, "show backend\n")? == "# name\nweb\n\n");
    ensure!(Connection::open(&lab.client, (PROXY_VIP, 80).into())?.get("/")?.status == 200);
    let status = sluice.status()?;
    ensure!(status.generation == 1 && status.failovers.len() <= 1, "{status:?}");
    drop((silent, slow));
    sluice.stop()
}
