//! Least privilege: what whoever takes over a process of the daemon can still do, and who can see its secrets.

use crate::{
    capabilities::{field, is_unprivileged, tasks},
    certificates::made,
    scene::{FAST_CHECK, More, SOON, Scene, WEBS, Way},
};
use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    built,
    lab::{Family, Lab, PROXY_VIP},
    origin::{Listen, Nginx},
    process, secret,
    sluice::{Sluice, complaint},
    wait,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// The user of workers in a lab.
const NOBODY: &str = "65534";
const EPERM: &str = "1";
const EACCES: &str = "13";
const ENOSYS: &str = "38";
/// `[global] metrics`.
const METRICS: &str = "127.0.0.1:9100";
const PASSWORD: &str = "c0rrect-h0rse-battery";

/// What `lab-confined` answers.
fn confined(arguments: &[&str]) -> Result<BTreeMap<String, String>> {
    let answers = process::run(Command::new(built("lab-confined")?).args(arguments))?;
    let pair = |line: &str| line.rsplit_once(": ").map(|(name, answer)| (name.to_owned(), answer.to_owned()));
    Ok(answers.lines().filter_map(pair).collect())
}

#[test]
fn whoever_takes_over_the_worker_has_its_maps_and_connections_and_nothing_else() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let pins = scene.lab.pins();
    let answers = confined(&["worker", NOBODY, NOBODY, pins.to_str().context("a name")?])?;
    ensure!(answers.len() > 50, "{answers:?}");
    for (name, answer) in &answers {
        let wanted = match name.as_str() {
            "datagrams" | "connections" => "done",
            "servers in the maps" => "3",
            "clone3" => ENOSYS,
            // Before that call there is bind(2), which Landlock refuses.
            "listen" if answer == EACCES => EACCES,
            _ => EPERM,
        };
        ensure!(answer == wanted, "{name}: {answer}, not {wanted}");
    }
    scene.over()
}

/// A daemon with all that is secret: a key, a password in the configuration, and one in a file. With it, what must be shown to
/// nobody: the lines of the key and its bytes, and the passwords.
fn secretive(directory: &Path) -> Result<(String, Vec<Vec<u8>>)> {
    let pair = rcgen::generate_simple_self_signed(["a.test".to_owned()])?;
    let (pem, der) = (pair.signing_key.serialize_pem(), pair.signing_key.serialize_der());
    secret::keep(&directory.join("a.pem"), pair.cert.pem() + &pem)?;
    secret::keep(&directory.join("password"), PASSWORD)?;
    let directory = directory.display();
    let more = format!(
        r#"
[frontend.secure]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:443", tls = {{ certificates = "{directory}/a.pem" }} }}]
default_backend = "secure"
[backend.secure]
check = {{ type = "redis", password_file = "{directory}/password", interval = "100ms", timeout = "1s" }}
server = [{{ name = "s", address = "192.0.2.77:6379" }}]
[userlist.staff]
user = [{{ name = "u", insecure_password = "{PASSWORD}-too" }}]
"#
    );
    let lines =
        pem.lines().filter(|line| !line.starts_with("-----") && line.len() > 20).map(|line| line.as_bytes().to_vec());
    // Of the DER form the middle, where the private number is; the end is the public one.
    let inside = der.get(36..60).context("a key")?.to_vec();
    let hex: Vec<u8> = inside.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
    let hidden = lines.chain([inside, hex, PASSWORD.as_bytes().to_vec()]).collect();
    Ok((more, hidden))
}

fn shows(text: &[u8], hidden: &[Vec<u8>]) -> bool {
    hidden.iter().any(|hidden| text.windows(hidden.len()).any(|window| window == hidden))
}

/// Files of dead processes in a directory.
fn cores(directory: &Path) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_core = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"core"));
    Ok(paths.into_iter().filter(is_core).collect())
}

/// Ends the worker by a signal that leaves a core, and waits for the next one.
fn end(sluice: &Sluice, signal: Signal) -> Result<()> {
    let worker = sluice.status()?.worker()?;
    kill_process(worker, signal)?;
    let another = || Ok(sluice.status().ok().filter(|status| status.worker().is_ok_and(|next| next != worker)));
    wait::until("another worker", SOON, another).map(drop)
}

#[test]
fn keys_and_passwords_are_in_no_log_no_answer_no_core_file_and_no_debugger() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (more, hidden) = secretive(directory.path())?;
    ensure!(shows(&fs::read(directory.path().join("a.pem"))?, &hidden), "it would not be found");
    // What is started from here on may leave cores of any size.
    let none = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: None, maximum: None })?;
    let way = Way::within("nat", Family::V4);
    let global = format!("metrics = \"{METRICS}\"\n");
    let scene = Scene::of(way, &WEBS, More { global: &global, frontend: &more, ..More::default() })?;
    setrlimit(Resource::Core, none)?;
    let supervisor = scene.sluice.supervisor();
    let worker = scene.sluice.status()?.worker()?;

    for pid in [supervisor, worker].map(Pid::as_raw_nonzero) {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let cores = limits.lines().find(|line| line.starts_with("Max core file size")).context("no such limit")?;
        ensure!(cores.split_whitespace().filter(|word| *word == "0").count() == 2, "{cores}");
        // Of one that cannot be dumped everything belongs to root, whoever it runs as.
        ensure!(fs::metadata(format!("/proc/{pid}/environ"))?.uid() == 0);
    }
    ensure!(is_unprivileged(worker)? > 1);
    for status in tasks(worker)? {
        ensure!(field(&status, "Seccomp")? == "2", "a thread without a filter:\n{status}");
    }

    let number = worker.as_raw_nonzero().to_string();
    let traced = confined(&["trace", NOBODY, NOBODY, &number])?;
    ensure!(traced.values().all(|answer| answer == EPERM || answer == EACCES), "{traced:?}");
    // Another process of that user can be traced: it is not the user that is refused.
    let mut other = Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "sleep", "60"])
        .spawn()?;
    let traced = wait::until("a process that can be traced", SOON, || {
        let traced = confined(&["trace", NOBODY, NOBODY, &other.id().to_string()])?;
        Ok((traced.get("read its environment").map(String::as_str) == Some("done")).then_some(traced))
    });
    other.kill().and_then(|()| other.wait())?;
    traced?;

    let curl = |path: &str| {
        process::run(scene.lab.balancer.command("curl").args(["--silent", &format!("http://{METRICS}{path}")]))
    };
    let mut told = vec![scene.sluice.cli(&["status", "--json"])?.stdout, scene.sluice.cli(&["maps", "--json"])?.stdout];
    told.push(curl("/metrics")?.into_bytes());
    scene.sluice.command(&["reload"])?;
    // The message shows the line, without the password in it.
    let text = fs::read_to_string(scene.sluice.config())?;
    fs::write(scene.sluice.config(), text.replace("name = \"u\"", "nam = \"u\""))?;
    let refused = scene.sluice.cli(&["reload"])?;
    ensure!(complaint(&refused).contains("unknown key `nam`"), "{}", complaint(&refused));
    fs::write(scene.sluice.config(), text)?;

    // Relative to where the daemon works, unless this machine sends cores elsewhere.
    let place = fs::read_link(format!("/proc/{}/cwd", supervisor.as_raw_nonzero()))?;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    println!("cores go to {}: {}", place.display(), pattern.trim());
    let before = cores(&place)?;
    end(&scene.sluice, Signal::ABORT)?;
    end(&scene.sluice, Signal::QUIT)?;
    ensure!(cores(&place)? == before, "a core file: {:?}", cores(&place)?);
    let log = scene.sluice.log();
    ensure!(
        log.contains("signal: 6 (SIGABRT)") && log.contains("signal: 3 (SIGQUIT)") && !log.contains("core dumped"),
        "{log}"
    );
    told.push(log.into_bytes());
    ensure!(!told.iter().any(|told| shows(told, &hidden)), "something secret was told");
    scene.over()
}

#[test]
fn the_supervisor_keeps_the_capabilities_that_it_uses() -> Result<()> {
    /// BPF, PERFMON, NET_ADMIN, NET_BIND_SERVICE, SETUID, SETGID, SETPCAP, KILL, DAC_OVERRIDE: linux/capability.h.
    const NEEDED: [u32; 9] = [39, 38, 12, 10, 7, 6, 8, 5, 1];
    let needed = NEEDED.iter().fold(0_u64, |set, bit| set | 1 << bit);
    let scene = Scene::start("nat", &WEBS, "")?;
    for status in tasks(scene.sluice.supervisor())? {
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let held = u64::from_str_radix(field(&status, set)?, 16)?;
            ensure!(held & !needed == 0, "{set} has {held:x}, of which {needed:x} are needed");
        }
    }
    scene.over()
}

/// What the daemon says when it does not start.
fn refused(lab: &Lab, config: &str) -> Result<String> {
    match Sluice::start(lab, config) {
        Ok(_) => anyhow::bail!("it started"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn pins_and_keys_that_others_can_reach_are_refused_before_anything_starts() -> Result<()> {
    let lab = Lab::beside_others()?;
    let echo = crate::scene::config(&lab, "nat", &WEBS)?;
    let (pins, elsewhere) = (lab.pins(), lab.pins().with_file_name(format!("{}-elsewhere", lab.name())));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));

    fs::create_dir(&pins)?;
    mode(&pins, 0o755)?;
    let said = refused(&lab, &echo)?;
    ensure!(said.contains(&format!("{} is not ours alone", pins.display())) && said.contains("mode 0755"), "{said}");
    mode(&pins, 0o700)?;
    std::os::unix::fs::chown(&pins, Some(1), None)?;
    let said = refused(&lab, &echo)?;
    ensure!(said.contains("belongs to user 1 and has mode 0700, and must belong to user 0"), "{said}");
    fs::remove_dir(&pins)?;
    fs::create_dir(&elsewhere)?;
    let linked = symlink(&elsewhere, &pins);
    let said = linked.is_ok().then(|| refused(&lab, &echo)).transpose();
    fs::remove_file(&pins).ok();
    fs::remove_dir(&elsewhere)?;
    if let Some(said) = said? {
        ensure!(said.contains("is no directory but a link"), "{said}");
    }

    // As certbot has them: the link is open to everyone, and the file counts.
    let (_, with_key) = made("a.test")?;
    let (file, link) = (lab.directory().join("archive.pem"), lab.directory().join("live.pem"));
    secret::keep(&file, with_key)?;
    symlink(&file, &link)?;
    mode(&file, 0o644)?;
    let _nginx =
        Nginx::start(lab.machine("web1")?, lab.directory(), &[Listen { site: "web", port: 8080, keep_alive: true }])?;
    let secure = format!(
        "[frontend.web]\nmode = \"http\"\nbind = [{{ address = \"{PROXY_VIP}:443\", tls = {{ certificates = \"live.pem\" }} }}]\n\
         default_backend = \"web\"\n[backend.web]\ncheck = {FAST_CHECK}\n{}",
        lab.servers("web", &["web1"], 8080)?
    );
    let said = refused(&lab, &secure)?;
    ensure!(said.contains("this private key is open to every user of this machine (mode 0644): chmod 600"), "{said}");
    mode(&file, 0o640)?;
    Sluice::start(&lab, &secure)?.stop()
}
