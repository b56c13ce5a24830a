//! Checks of web servers and of gRPC by servers that others have written, in every state that they can be in.

use crate::certificates::{expired, made};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{Lab, Machine, PROXY_VIP},
    origin::{Grpc, Listen, Nginx, nginx::More},
    sluice::Sluice,
    wait,
};
use std::{
    fmt::Write as _,
    fs,
    io::Read as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const SERVER: &str = "web1";
/// Longest wait for a finding: several probes, each of which may take a second, on a busy machine.
const FOUND: Duration = Duration::from_secs(15);

/// What becomes of the servers, one after the other.
#[derive(Clone, Copy, Debug)]
enum State {
    Healthy,
    /// They answer that they are not well.
    Broken,
    /// They answer that there is nothing.
    Gone,
    /// They do not run, but their ports take connections.
    Frozen,
    Killed,
    /// Others have their ports, which listen and say nothing.
    Mute,
}

use State::{Broken, Frozen, Gone, Healthy, Killed, Mute};

/// All states, and the way back from each.
const STORY: [State; 11] = [Healthy, Broken, Healthy, Gone, Healthy, Frozen, Healthy, Killed, Mute, Killed, Healthy];

/// A check, and what it is to find.
struct Row {
    name: &'static str,
    port: u16,
    /// The keys of the check.
    check: &'static str,
    /// By [`State`].
    codes: [&'static str; 6],
}

const WEB: u16 = 8080;
const WEB_H2: u16 = 8081;
const WEB_TLS: u16 = 8443;
const WEB_EXPIRED: u16 = 8444;
const CALLS: u16 = 50_051;
const CALLS_TLS: u16 = 50_052;

const CLEAR: [&str; 6] = ["L7OK", "L7STS", "L7STS", "L7TOUT", "L4CON", "L7TOUT"];
const TLS: [&str; 6] = ["L7OK", "L7STS", "L7STS", "L6TOUT", "L4CON", "L6TOUT"];
const UNBELIEVED: [&str; 6] = ["L6RSP", "L6RSP", "L6RSP", "L6TOUT", "L4CON", "L6TOUT"];

const ROWS: [Row; 14] = [
    Row { name: "clear", port: WEB, check: "type = \"http\"", codes: CLEAR },
    Row {
        name: "old",
        port: WEB,
        check: "type = \"http\"\nversion = \"1.0\"\nmethod = \"GET\"\nexpect = [200, { string = \"web1 clear\" }, { hdr = { name = \"X-Server\", value = \"web1\" } }]",
        codes: CLEAR,
    },
    Row {
        name: "other",
        port: WEB,
        check: "type = \"http\"\nmethod = \"GET\"\nexpect = { string = \"web2\" }",
        codes: ["L7RSP", "L7RSP", "L7RSP", "L7TOUT", "L4CON", "L7TOUT"],
    },
    Row {
        name: "steps",
        port: WEB,
        check: "type = \"http\"\nmethod = \"GET\"\nsteps = [{ path = \"/a\" }, { path = \"/b\", connect = false }, { path = \"/c\" }]",
        codes: CLEAR,
    },
    Row {
        name: "stopping",
        port: WEB,
        check: "type = \"http\"\ndisable_on_404 = true",
        codes: ["L7OK", "L7STS", "L7OKC", "L7TOUT", "L4CON", "L7TOUT"],
    },
    Row { name: "h2", port: WEB_H2, check: "type = \"http\"\nproto = \"h2\"", codes: CLEAR },
    Row {
        name: "tls",
        port: WEB_TLS,
        check: "type = \"http\"\ntls = { ca = \"right.pem\", sni = \"a.test\" }",
        codes: TLS,
    },
    Row {
        name: "tls_h2",
        port: WEB_TLS,
        check: "type = \"http\"\nmethod = \"GET\"\nproto = \"h2\"\ntls = { ca = \"right.pem\", sni = \"a.test\" }\nexpect = [200, { string = \"web1 tls\" }]",
        codes: TLS,
    },
    Row {
        name: "alpn",
        port: WEB_TLS,
        check: "type = \"http\"\nhost = \"a.test\"\ntls = { ca = \"right.pem\", alpn = [\"h2\", \"http/1.1\"] }",
        codes: TLS,
    },
    Row {
        name: "wrong_ca",
        port: WEB_TLS,
        check: "type = \"http\"\ntls = { ca = \"wrong.pem\", sni = \"a.test\" }",
        codes: UNBELIEVED,
    },
    Row {
        name: "wrong_name",
        port: WEB_TLS,
        check: "type = \"http\"\ntls = { ca = \"right.pem\", sni = \"b.test\" }",
        codes: UNBELIEVED,
    },
    Row {
        name: "expired",
        port: WEB_EXPIRED,
        check: "type = \"http\"\ntls = { ca = \"expired.pem\", sni = \"a.test\" }",
        codes: UNBELIEVED,
    },
    Row { name: "grpc", port: CALLS, check: "type = \"grpc\"\nservice = \"shop\"", codes: CLEAR },
    Row {
        name: "grpc_tls",
        port: CALLS_TLS,
        check: "type = \"grpc\"\nservice = \"shop\"\nhost = \"a.test\"\ntls = { ca = \"right.pem\" }",
        codes: TLS,
    },
];

fn config(lab: &Lab) -> Result<String> {
    let mut text = String::new();
    for (port, Row { name, port: served, check, .. }) in (9000..).zip(&ROWS) {
        write!(
            text,
            "[frontend.{name}]\nmode = \"http\"\nbind = \"{PROXY_VIP}:{port}\"\ndefault_backend = \"{name}\"\n\
             [backend.{name}.check]\n{check}\ninterval = \"100ms\"\ntimeout = \"1s\"\nrise = 1\nfall = 1\n{}",
            lab.servers(name, &[SERVER], *served)?
        )?;
    }
    Ok(text)
}

/// The servers, while they are there.
#[derive(Default)]
struct Servers {
    nginx: Vec<Nginx>,
    grpc: Vec<Grpc>,
    mute: Vec<Silent>,
}

impl Servers {
    fn start(machine: &Machine, directory: &Path) -> Result<Self> {
        let state = directory.join("state");
        let states =
            format!("if (-f {0}/broken) {{ return 503; }} if (-f {0}/gone) {{ return 404; }}", state.display());
        let certified = |name: &str| {
            let file = directory.join(name);
            format!("{states} ssl_certificate {0}; ssl_certificate_key {0};", file.display())
        };
        let nginx = |site, port, listen: &str, directives: &str| {
            let site = Listen { site, port, keep_alive: true };
            Nginx::start_with(machine, &directory.join(site.site), &[site], More { listen, directives })
        };
        let grpc = |port, more: &[&Path]| Grpc::start_with(machine, port, directory, more);
        Ok(Self {
            nginx: vec![
                nginx("clear", WEB, "", &states)?,
                nginx("h2", WEB_H2, "http2", &states)?,
                nginx("tls", WEB_TLS, "ssl http2", &certified("right.key"))?,
                nginx("expired", WEB_EXPIRED, "ssl", &certified("expired.key"))?,
            ],
            grpc: vec![grpc(CALLS, &[&state])?, grpc(CALLS_TLS, &[&state, &directory.join("right.key")])?],
            mute: Vec::new(),
        })
    }

    fn kill(&mut self) -> Result<()> {
        self.mute.clear();
        self.nginx.drain(..).try_for_each(Nginx::kill)?;
        self.grpc.drain(..).try_for_each(Grpc::kill)
    }
}

/// A server that takes connections, listens to what it is told, and says nothing.
struct Silent {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Silent {
    fn start(machine: &Machine, port: u16) -> Result<Self> {
        let listener = machine.namespace.run(|| TcpListener::bind(SocketAddr::from((machine.address, port))))??;
        listener.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut streams = Vec::new();
            while !ends.load(Relaxed) {
                if let Ok((stream, _)) = listener.accept()
                    && stream.set_nonblocking(true).is_ok()
                {
                    streams.push(stream);
                }
                // An end of theirs is not answered either; an error is one of theirs.
                streams.retain_mut(|stream| match stream.read(&mut [0; 1 << 12]) {
                    Ok(count) => count > 0,
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                });
                thread::sleep(Duration::from_millis(5));
            }
        });
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it panicked of is on its way to the log.
            thread.join().ok();
        }
    }
}

/// Brings the servers from one state into another.
fn turn(servers: &mut Servers, (from, to): (State, State), machine: &Machine, directory: &Path) -> Result<()> {
    let file = |name: &str| directory.join("state").join(name);
    match from {
        Healthy | Killed => {}
        Broken => fs::remove_file(file("broken"))?,
        Gone => fs::remove_file(file("gone"))?,
        Frozen => {
            servers.nginx.iter().try_for_each(Nginx::thaw)?;
            servers.grpc.iter().try_for_each(Grpc::thaw)?;
        }
        Mute => servers.mute.clear(),
    }
    match to {
        Healthy if servers.nginx.is_empty() => *servers = Servers::start(machine, directory)?,
        Healthy => {}
        Broken => fs::write(file("broken"), "")?,
        Gone => fs::write(file("gone"), "")?,
        Frozen => {
            servers.nginx.iter().try_for_each(Nginx::freeze)?;
            servers.grpc.iter().try_for_each(Grpc::freeze)?;
        }
        Killed => servers.kill()?,
        Mute => {
            let ports = [WEB, WEB_H2, WEB_TLS, WEB_EXPIRED, CALLS, CALLS_TLS];
            servers.mute = ports.into_iter().map(|port| Silent::start(machine, port)).collect::<Result<_>>()?;
        }
    }
    Ok(())
}

#[test]
fn checks_of_web_servers_find_what_they_are_to_in_every_state() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (machine, directory) = (lab.machine(SERVER)?, lab.directory());
    for name in ["state", "clear", "h2", "tls", "expired"] {
        fs::create_dir_all(directory.join(name))?;
    }
    for (name, (certificate, with_key)) in
        [("right", made("a.test")?), ("wrong", made("a.test")?), ("expired", expired("a.test")?)]
    {
        fs::write(directory.join(format!("{name}.pem")), certificate)?;
        fs::write(directory.join(format!("{name}.key")), with_key)?;
    }
    let mut servers = Servers::start(machine, directory)?;
    let sluice = Sluice::start(&lab, &config(&lab)?)?;
    let mut before = Healthy;
    for now in STORY {
        turn(&mut servers, (before, now), machine, directory)?;
        before = now;
        println!("{now:?}");
        for Row { name, codes, .. } in &ROWS {
            let wanted = codes.get(now as usize).context("a state")?;
            let mut last = String::new();
            let found = wait::until(&format!("{name} to find {wanted} when {now:?}"), FOUND, || {
                last = sluice
                    .status()?
                    .server(name, SERVER)?
                    .check
                    .clone()
                    .and_then(|check| check.last)
                    .unwrap_or_default();
                Ok((last.split(' ').next() == Some(wanted)).then_some(()))
            });
            found.with_context(|| format!("but: {last}\n{}", sluice.log()))?;
            println!("  {name}: {last}");
            let health = sluice.status()?.server(name, SERVER)?.health.clone();
            ensure!(*wanted == "L7OKC" || (health == "up") == (*wanted == "L7OK"), "{name} is {health} when {now:?}");
        }
    }
    Ok(())
}
