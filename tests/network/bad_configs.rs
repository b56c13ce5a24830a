//! Configurations that are not what they should be, taken up under traffic: each whole, or not at all.

use crate::{
    certificates,
    scene::{self, FAST_CHECK, SOON},
};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Flows, Load},
    lab::{Lab, NAT_VIP, PROXY_VIP},
    mutate::Mutation,
    origin::{Echo, Listen, Nginx},
    process, secret,
    sluice::{Manner, Sluice, Status, complaint},
};
use lb_tests_traffic::random::Random;
use lb_userspace::config;
use std::{fs, io, net::TcpListener, os::unix::fs::symlink, path::Path, process::Command, time::Duration};
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
/// Longest reload, of a file a hundred times as long on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// What traffic goes by, whatever becomes of the rest.
fn firm(lab: &Lab) -> Result<String> {
    Ok(format!(
        r#"
[frontend.firm]
mode = "http"
bind = "{PROXY_VIP}:80"
default_backend = "firm"
[backend.firm]
check = {FAST_CHECK}
{}
[frontend.flows]
mode = "l4"
bind = "{NAT_VIP}:{}"
default_backend = "flows"
[backend.flows]
balance = "maglev"
forward = "nat"
check = {FAST_CHECK}
{}"#,
        lab.servers("firm", &["web1"], 8080)?,
        scene::PORT,
        lab.servers("flows", &["web1"], scene::PORT)?
    ))
}

/// What is spoiled: something of everything.
fn soft(lab: &Lab) -> Result<String> {
    Ok(format!(
        r#"# Spoiled again and again.
[frontend.soft]
mode = "http"
bind = ["{PROXY_VIP}:81", {{ address = "{PROXY_VIP}:82", accept_proxy = ["192.0.2.0/24"] }}]
acl.api = "path_beg /api/"
acl.host = ["hdr(host) -i a.test b.test", "src 198.51.100.0/24"]
default_backend = "soft"
maxconn = 100
timeout_client = "20s"

[[frontend.soft.rule]]
if = "api !host"
use = "other"

[frontend.pass]
mode = "tcp"
bind = "{PROXY_VIP}:8100-8103"
default_backend = "other"

[frontend.packets]
mode = "l4"
bind = [{{ address = "{NAT_VIP}:90" }}, {{ address = "{NAT_VIP}:90", protocol = "udp" }}]
default_backend = "packets"

[backend.soft]
balance = "leastconn"
check = {{ type = "http", path = "/health", expect = 200, interval = "2s", timeout = "1s", rise = 2, fall = 3 }}
timeout_queue = "1500ms"
{}
[backend.other]
balance = "source"
check = {{ type = "tcp", interval = "2s" }}
{}
[backend.packets]
balance = "maglev"
forward = "nat"
transition = "1m"
check = {{ type = "tcp", interval = "2s" }}
{}"#,
        lab.servers("soft", &["web2", "web3"], 8080)?,
        lab.servers("other", &["web2", "web3"], 8081)?,
        lab.servers("packets", &["web2", "web3"], 8082)?
    ))
}

/// What stands where a file should.
#[derive(Clone, Copy, Debug)]
enum Thing {
    Directory,
    Pipe,
    Device,
    LinkToNothing,
    LinkToItself,
}

const THINGS: [Thing; 5] = [Thing::Directory, Thing::Pipe, Thing::Device, Thing::LinkToNothing, Thing::LinkToItself];

impl Thing {
    fn put(self, path: &Path) -> Result<()> {
        match self {
            Self::Directory => fs::create_dir(path)?,
            Self::Pipe => drop(process::run(Command::new("mkfifo").arg(path))?),
            Self::Device => symlink("/dev/zero", path)?,
            Self::LinkToNothing => symlink("/nowhere/at/all", path)?,
            Self::LinkToItself => symlink(path, path)?,
        }
        Ok(())
    }
}

/// Whatever is there is gone.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// Backends with their servers and addresses.
type Shape = Vec<(String, Vec<(String, String)>)>;

fn shape_of(status: &Status) -> Shape {
    let mut shape: Shape = status
        .backends
        .iter()
        .map(|backend| {
            let servers = backend.servers.iter().map(|server| (server.name.clone(), server.address.clone()));
            (backend.name.clone(), servers.collect())
        })
        .collect();
    shape.sort();
    shape
}

fn shape_by(loaded: &config::Loaded) -> Shape {
    let mut shape: Shape = loaded
        .model
        .backends
        .iter()
        .map(|backend| {
            let address = |server: &lb_userspace::model::Server| match &server.host {
                Some(host) => format!("{}:{}", host.name, server.address.port()),
                None => server.address.to_string(),
            };
            let servers = backend.servers.iter().map(|server| (server.name.clone(), address(server)));
            (backend.name.clone(), servers.collect())
        })
        .collect();
    shape.sort();
    shape
}

/// Puts something else in the place of a good file; what, in words.
fn spoil(round: usize, path: &Path, good: &str, random: &mut Random) -> Result<String> {
    clear(path)?;
    let round_of = round % (Mutation::ALL.len() + THINGS.len());
    if let Some(mutation) = Mutation::ALL.get(round_of) {
        fs::write(path, mutation.of(good, random))?;
        return Ok(format!("{mutation:?}, round {round}"));
    }
    let thing = THINGS.get(round_of - Mutation::ALL.len()).context("a thing")?;
    thing.put(path)?;
    Ok(format!("{thing:?}, round {round}"))
}

/// A reload of what stands at `path`, among others. Whether it was taken up, how things stand after it, and how long it took.
fn reload(sluice: &Sluice, path: &Path, before: &Status) -> Result<(bool, Status, Duration)> {
    let read = config::collect(path.parent().context("a directory")?).map_err(anyhow::Error::from);
    let read = read.and_then(|bundle| Ok(config::load(&bundle)?));
    let begun = Instant::now();
    let output = sluice.cli(&["reload"])?;
    let took = begun.elapsed();
    ensure!(took < BOUND, "{took:?}");
    let (status, said, taken) = (sluice.status()?, complaint(&output), output.status.success());
    ensure!(status.worker_pid == before.worker_pid, "another worker\n{said}");
    ensure!(status.generation == before.generation + u64::from(taken), "{said}");
    let shape = if taken {
        shape_by(&read.with_context(|| format!("taken up, though refused here\n{said}"))?)
    } else {
        if read.is_err() {
            let named = path.display().to_string();
            let rest = said.split(&named).nth(1).with_context(|| format!("no file in {said}"))?;
            ensure!(rest.starts_with(':'), "no place in {said}");
        }
        shape_of(before)
    };
    ensure!(shape_of(&status) == shape, "half taken up: {status:?}");
    Ok((taken, status, took))
}

#[test]
fn spoiled_files_are_taken_up_whole_or_not_at_all_and_disturb_no_traffic() -> Result<()> {
    let rounds = if scene::is_long() { 2_000 } else { 100 };
    let lab = Lab::new()?;
    let web1 = lab.machine("web1")?;
    let _nginx = Nginx::start(web1, lab.directory(), &[SITE])?;
    let _echo = Echo::start(web1, scene::PORT, lab.directory())?;
    let sluice = Sluice::start_as(&lab, &firm(&lab)?, Manner { in_directory: true, ..Manner::default() })?;
    let (path, good) = (sluice.config().with_file_name("50-soft.toml"), soft(&lab)?);
    config::parse(&(firm(&lab)? + "[global]\ninterfaces = \"lb0\"\n" + &good))
        .map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let mut flows = Flows::open(&lab.client, (NAT_VIP, scene::PORT).into(), 50)?;
    let load = Load::start(&lab.client, (PROXY_VIP, 80).into());
    let (mut status, mut random, mut times) = (sluice.status()?, Random::new(7), Vec::new());
    let mut taken = 0;
    for round in 0..rounds {
        let what = spoil(round, &path, &good, &mut random)?;
        let (is_taken, now, took) =
            reload(&sluice, &path, &status).with_context(|| format!("{what}\n{}", sluice.log()))?;
        status = now;
        taken += usize::from(is_taken);
        times.push((took, what.clone()));
        if round % 25 == 0 {
            flows.exchange(&what)?;
        }
    }
    flows.exchange("after all")?;
    let done = load.stop()?;
    let failed: Vec<_> = done.iter().filter_map(|exchange| exchange.result.as_ref().err()).collect();
    println!(
        "{rounds} spoiled files, {taken} taken up, the slowest {:?}; {} requests, {} failed",
        times.iter().max(),
        done.len(),
        failed.len()
    );
    ensure!(failed.is_empty(), "{:#}\n{}", failed[0], sluice.log());
    ensure!((rounds / 20..rounds / 2).contains(&taken), "{taken} of {rounds} taken up");
    // What is good again is good at once.
    clear(&path)?;
    fs::write(&path, &good)?;
    sluice.command(&["reload"])?;
    ensure!(!sluice.log().contains("panicked at"), "{}", sluice.log());
    Ok(())
}

/// Descriptors of supervisor and worker, and how many sockets listen in the namespace.
fn opened(lab: &Lab, sluice: &Sluice) -> Result<(usize, usize, usize)> {
    let count = |pid: i32| Ok::<_, io::Error>(fs::read_dir(format!("/proc/{pid}/fd"))?.count());
    let status = sluice.status()?;
    let listening = process::run(lab.balancer.command("ss").args(["-Hltn"]))?.lines().count();
    Ok((count(status.pid)?, count(status.worker_pid)?, listening))
}

/// Until nothing else is open than `wanted`: a connection of a probe, or of the control socket, may be for a moment.
fn stays_open(lab: &Lab, sluice: &Sluice, wanted: (usize, usize, usize)) -> Result<()> {
    let open = || opened(lab, sluice);
    let met = lb_tests::wait::until("descriptors as before", SOON, || Ok((open()? == wanted).then_some(())));
    met.with_context(|| format!("{wanted:?}, then {:?}", open()))
}

#[test]
fn one_of_fifty_that_fails_opens_none_of_them() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let servers = lab.servers("web", &["web1"], 8080)?;
    // Probed seldom: descriptors are counted.
    let config = |binds: &str| {
        format!(
            "[frontend.web]\nmode = \"http\"\nbind = [{binds}]\ndefault_backend = \"web\"\n\
             [backend.web]\ncheck = {{ type = \"tcp\", interval = \"30s\" }}\n{servers}"
        )
    };
    let address = |port: u16| format!("\"{PROXY_VIP}:{port}\"");
    let binds = |ports: std::ops::Range<u16>| ports.map(address).collect::<Vec<_>>().join(", ");
    let sluice = Sluice::start(&lab, &config(&binds(80..81)))?;
    let taken = lab.balancer.run(|| TcpListener::bind((PROXY_VIP, 8040)))??;
    let mut before = (opened(&lab, &sluice)?, sluice.status()?);
    let refused = |before: &((usize, usize, usize), Status), what: &str, names: &str| -> Result<()> {
        let output = sluice.cli(&["reload"])?;
        let said = complaint(&output);
        ensure!(output.status.code() == Some(1) && said.contains(names), "{what}: {said}");
        let status = sluice.status()?;
        let same = |status: &Status| (status.generation, status.worker_pid, status.pid);
        ensure!(same(&status) == same(&before.1), "{what}: {status:?}");
        stays_open(&lab, &sluice, before.0).context(what.to_owned())
    };
    sluice.write_config(&lab, &config(&(binds(80..81) + ", " + &binds(8000..8050))))?;
    refused(&before, "an address that is taken", &format!("{PROXY_VIP}:8040"))?;
    drop(taken);
    before.0 = opened(&lab, &sluice)?;

    let certs = lab.directory().join("certs");
    fs::create_dir_all(&certs)?;
    for number in 0..50 {
        secret::keep(&certs.join(format!("{number}.pem")), certificates::made(&format!("{number}.test"))?.1)?;
    }
    let in_tls = format!("{{ address = \"{PROXY_VIP}:443\", tls = {{ certificates = \"certs\" }} }}");
    sluice.write_config(&lab, &config(&(binds(80..81) + ", " + &in_tls)))?;
    let good = fs::read(certs.join("31.pem"))?;
    let key_of_another = [certificates::made("x.test")?.0, certificates::made("31.test")?.1].concat();
    for wrong in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key_of_another] {
        secret::keep(&certs.join("31.pem"), wrong)?;
        refused(&before, "a certificate that is none", "31.pem")?;
    }
    secret::keep(&certs.join("31.pem"), good)?;
    sluice.command(&["reload"])?;
    ensure!(opened(&lab, &sluice)?.2 > before.0.2);
    Ok(())
}
