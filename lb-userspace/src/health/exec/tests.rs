//! What programs find: by our runner in a thread of this process, and by HAProxy.

use super::{Means, converse, facts, finding, probe};
use crate::{
    channel::{Channel, to_memory_file},
    config,
    health::{Checker, Code, Finding, Probers, haproxy::Haproxy, probe::Prober},
    model::{ExecCheck, Model},
    runner::{
        self,
        message::{Ended, How, JOBS, Job, ToRunner},
        testing::executable,
    },
    servers::Live,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::TcpListener,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

/// A runner, in a thread that ends with this value, and the checker that it is made known to.
struct Scene {
    checker: Checker,
    probers: BTreeMap<u64, Prober>,
    model: Model,
}

impl Scene {
    fn new(checks: &[String]) -> Self {
        let model = model(checks);
        let checker = Checker::start().unwrap();
        let live = Live::default().for_model(&model);
        let probers = Probers::new(&model, checker.connectors()).unwrap().for_checker(&checker, &live);
        let probers = probers.wanted.into_iter().collect();
        Self { checker, probers, model }
    }

    /// Starts a runner. With the line that is returned it ends.
    fn start_runner(&self) -> OwnedFd {
        let (supervisor, its_own) = Channel::pair().unwrap();
        let (worker, theirs) = Channel::pair().unwrap();
        let allowed: BTreeSet<ExecCheck> = self.model.exec_checks().cloned().collect();
        let kept = supervisor.try_clone().unwrap();
        thread::spawn(move || {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let supervisor = Channel::new(supervisor).unwrap();
                let list = to_memory_file(&allowed).unwrap();
                supervisor.send(&ToRunner::Allow, &[list.as_fd()]).await.unwrap();
                supervisor.send(&ToRunner::Worker, &[theirs.as_fd()]).await.unwrap();
                drop((supervisor, theirs));
                runner::serve(Channel::new(its_own).unwrap()).await.unwrap();
            });
        });
        self.checker.take_runner(worker);
        kept
    }

    fn probe(&self, number: usize) -> Finding {
        let name = format!("b{number}");
        let identity = self.model.backend(&name).unwrap().servers[0].identity(&name);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { self.probers[&identity].probe().await.0 })
    }
}

/// The backends are called `b0`, `b1` and so on, and their servers `s`.
fn model(checks: &[String]) -> Model {
    let mut text = "[global]\nexec_checks = true\n[frontend.f]\nmode = \"tcp\"\nbind = \"127.0.0.1:1\"\n\
                    default_backend = \"b0\"\n"
        .to_owned();
    for (number, check) in checks.iter().enumerate() {
        let server = "{ name = \"s\", address = \"127.0.0.1:8181\", maxconn = 17 }";
        write!(text, "[backend.b{number}]\ncheck = {check}\nserver = [{server}]\n").unwrap();
    }
    config::parse(&text).unwrap_or_else(|errors| panic!("{errors}")).model
}

#[test]
fn findings_have_haproxys_codes_and_words_and_what_the_program_said_first() {
    let of = |how, said: &[u8]| finding(&Ended { number: 1, how, said: said.to_vec() }).to_string();
    assert_eq!(of(How::Exited(0), b""), "PROCOK External check passed");
    assert_eq!(of(How::Exited(0), b"\n  fine \r\nmore\n"), "PROCOK External check passed: \"fine\"");
    assert_eq!(of(How::Exited(3), b"\x1b[2J"), "PROCERR External check error, code: 3: \"\\x1b[2J\"");
    assert_eq!(of(How::Killed(15), b""), "PROCERR External check error, signal: 15");
    assert_eq!(of(How::TimedOut, b"asking"), "PROCTOUT External check timeout: \"asking\"");
    assert_eq!(of(How::Failed(13), b""), "PROCERR cannot run the program: Permission denied (os error 13)");
    assert_eq!(of(How::Failed(11), b"").split(' ').next(), Some("SOCKERR"), "no process to be had");
    assert_eq!(of(How::Crowded, b"").split(' ').next(), Some("SOCKERR"));
    assert_eq!(of(How::Refused, b"").split(' ').next(), Some("SOCKERR"));
    assert_eq!(of(How::Exited(1), &[b'x'; 1_024]).len(), "PROCERR External check error, code: 1: \"…\"".len() + 120);
}

#[test]
fn a_runner_that_is_not_there_is_waited_for_and_one_that_goes_blames_no_server() {
    let directory = tempfile::tempdir().unwrap();
    let quick = executable(directory.path(), "quick", "#!/bin/sh\nexit 0\n");
    let hangs = executable(directory.path(), "hangs", "#!/bin/sh\nexec /bin/sleep 60\n");
    let check = |command: &Path, timeout| {
        format!(
            "{{ type = \"exec\", command = \"{}\", interval = \"20s\", timeout = \"{timeout}\" }}",
            command.display()
        )
    };
    let scene = Scene::new(&[check(&quick, "100ms"), check(&quick, "20s"), check(&hangs, "20s")]);
    assert_eq!(scene.probe(0).code, Code::SocketError, "nobody is there");
    let mut line = None;
    thread::scope(|scope| {
        let probing = scope.spawn(|| scene.probe(1));
        thread::sleep(Duration::from_millis(100));
        line = Some(scene.start_runner());
        assert_eq!(probing.join().unwrap().code, Code::ProcessOk);
        let probing = scope.spawn(|| scene.probe(2));
        thread::sleep(Duration::from_millis(300));
        let line = line.take().unwrap();
        rustix::net::shutdown(&line, rustix::net::Shutdown::Both).unwrap();
        let found = probing.join().unwrap();
        assert_eq!(found.to_string(), "SOCKERR what runs the program is gone");
        let probing = scope.spawn(|| scene.probe(1));
        let _line = scene.start_runner();
        assert_eq!(probing.join().unwrap().code, Code::ProcessOk, "another one takes its place");
    });
}

#[tokio::test]
async fn a_runner_that_goes_while_it_is_waited_for_is_gone_at_once() {
    let (way, asked) = mpsc::channel(1);
    let _place = way.clone().reserve_owned().await.unwrap();
    let (_told, runner) = watch::channel(Some(way));
    let model = model(&["{ type = \"exec\", command = \"/bin/true\" }".to_owned()]);
    let (facts, means) = (facts(&model, 0, 0).unwrap(), Means { runner, live: None });
    let deadline = Instant::now() + Duration::from_secs(20);
    let check = ExecCheck::default();
    let probing = probe(&check, Some((&facts, &means)), deadline);
    let going = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(asked);
    };
    let (found, ()) = tokio::join!(probing, going);
    assert_eq!(found.to_string(), "SOCKERR what runs the program is gone");
    assert!(Instant::now() < deadline);
}

#[tokio::test]
async fn no_more_is_asked_for_at_once_than_the_runner_takes() {
    let (worker, line) = Channel::pair().unwrap();
    let (way, asked) = mpsc::channel(JOBS + 2);
    let conversing = tokio::spawn(converse(worker, asked));
    let line = Channel::new(line).unwrap();
    let facts = facts(&model(&["{ type = \"exec\", command = \"/bin/true\" }".to_owned()]), 0, 0).unwrap();
    let job = Job { number: 0, check: ExecCheck::default(), facts, connections: 0, timeout: Duration::from_secs(20) };
    // Nobody waits for the first one.
    way.send((job.clone(), oneshot::channel().0)).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..=JOBS {
        let (answer, answered) = oneshot::channel();
        way.send((job.clone(), answer)).await.unwrap();
        waiting.push(answered);
    }
    for number in 1..=u64::try_from(JOBS).unwrap() {
        assert_eq!(line.receive::<Job>().await.unwrap().unwrap().0.number, number);
    }
    assert!(timeout(Duration::from_millis(100), line.receive::<Job>()).await.is_err());
    line.send(&Ended { number: 1, how: How::Exited(0), said: Vec::new() }, &[]).await.unwrap();
    assert!(timeout(Duration::from_secs(20), line.receive::<Job>()).await.is_ok());
    conversing.abort();
}

/// Says of what it was told what it is, beside itself.
const TOLD: &str = "{ echo \"$@\"; env | sort; } > $0.now && mv $0.now $0.told";

/// The text of a program, and whether it has a `PATH`; `None`: nobody may execute it.
const CASES: &[(Option<&str>, bool)] = &[
    (Some("#!/bin/sh\nexit 0\n"), false),
    (Some("#!/bin/sh\necho no >&2\nexit 1\n"), false),
    (Some("#!/bin/sh\nexit 77\n"), false),
    (Some("#!/bin/sh\nexit 255\n"), false),
    (Some("#!/bin/sh\nkill -9 $$\n"), false),
    (Some("#!/bin/sh\nkill -15 $$\n"), false),
    (Some("#!/bin/sh\nsleep 60\n"), true),
    // There is no `sleep` without a `PATH`.
    (Some("#!/bin/sh\nsleep 60\n"), false),
    // What does not say what it is for is for the shell.
    (Some("exit 5\n"), false),
    (Some("#!/nowhere/sh\nexit 0\n"), false),
    (None, false),
    (Some("#!/bin/sh\n[ $# = 4 ] && [ $3 = 127.0.0.1 ] && [ \"$4\" = 8181 ]\n"), false),
    (Some("#!/bin/sh\nexit $HAPROXY_SERVER_MAXCONN\n"), false),
    (Some("#!/bin/sh\ntest \"$HAPROXY_PROXY_NAME/$HAPROXY_SERVER_NAME $HAPROXY_SERVER_PROTO\" = 'b13/s tcp'\n"), false),
];

/// The code, and the exit status, of what HAProxy found.
fn theirs(haproxy: &Haproxy) -> Option<BTreeMap<String, (String, String)>> {
    let text = haproxy.stat()?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names: Vec<_> = lines.next()?.trim_start_matches("# ").split(',').collect();
    let column = |name| names.iter().position(|known| *known == name);
    let (code, status) = (column("check_status")?, column("check_code")?);
    let fields = lines.map(|line| line.split(',').collect::<Vec<_>>()).filter(|fields| fields.get(1) == Some(&"s"));
    // With a star while the next one runs.
    let found = |code: &str| code.trim_start_matches("* ").to_owned();
    Some(fields.map(|fields| (fields[0].to_owned(), (found(fields[code]), fields[status].to_owned()))).collect())
}

/// The programs of the cases, and behind them one that is not there, and one that says what it was told.
fn programs(at: &Path) -> Vec<(PathBuf, bool)> {
    let program = |(number, (text, path)): (usize, &(Option<&str>, bool))| {
        let Some(text) = text else {
            fs::write(at.join("text"), "#!/bin/sh\n").unwrap();
            return (at.join("text"), *path);
        };
        (executable(at, &format!("p{number}"), text), *path)
    };
    let mut programs: Vec<_> = CASES.iter().enumerate().map(program).collect();
    programs.push((at.join("missing"), false));
    programs.push((executable(at, "tells", &format!("#!/bin/sh\n{TOLD}\n")), true));
    programs
}

/// What HAProxy finds by these.
fn by_haproxy(at: &Path, programs: &[(PathBuf, bool)]) -> BTreeMap<String, (String, String)> {
    let bind = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let mut text = "  external-check\n  insecure-fork-wanted\ndefaults\n  mode tcp\n  timeout client 5s\n".to_owned();
    writeln!(text, "  timeout server 5s\n  timeout connect 5s\nfrontend f\n  bind {bind}").unwrap();
    for (number, (program, path)) in programs.iter().enumerate() {
        writeln!(text, "backend b{number}\n  option external-check").unwrap();
        writeln!(text, "  external-check command {}", program.display()).unwrap();
        if *path {
            writeln!(text, "  external-check path /usr/bin:/bin").unwrap();
        }
        writeln!(text, "  server s 127.0.0.1:8181 check inter 700ms fall 1 rise 1 maxconn 17").unwrap();
    }
    let haproxy = Haproxy::start(at, &text);
    let found = (0..200).find_map(|_| {
        thread::sleep(Duration::from_millis(50));
        let found = theirs(&haproxy)?;
        let is_whole = found.len() == programs.len() && found.values().all(|(code, _)| code.starts_with("PROC"));
        is_whole.then_some(found)
    });
    found.expect("findings of HAProxy")
}

#[test]
fn haproxy_finds_the_same_by_the_same_programs() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let programs = programs(at);
    let check = |(program, path): &(PathBuf, bool)| {
        let path = if *path { ", path = \"/usr/bin:/bin\"" } else { "" };
        format!("{{ type = \"exec\", command = \"{}\", interval = \"700ms\"{path} }}", program.display())
    };
    let scene = Scene::new(&programs.iter().map(check).collect::<Vec<_>>());
    let _line = scene.start_runner();
    let ours: Vec<_> = (0..programs.len()).map(|number| scene.probe(number)).collect();
    let told = fs::read_to_string(at.join("tells.told")).unwrap();
    fs::remove_file(at.join("tells.told")).unwrap();
    let theirs = by_haproxy(at, &programs);
    let mut differ = Vec::new();
    for (number, ours) in ours.iter().enumerate() {
        let (code, status) = &theirs[&format!("b{number}")];
        // It tells neither signals nor what it could not run from statuses; what it makes of them no program should use.
        let own = |status: &&str| (1..=254).contains(&status.parse::<u64>().unwrap_or_default());
        let words = ours.detail.strip_prefix("External check error, code: ");
        let same = words.and_then(|words| words.split(':').next()).filter(own) == Some(status.as_str()).filter(own);
        if ours.code.name() != code || !same {
            differ.push(format!("{}\n  HAProxy {code} {status}\n  Sluice  {ours}", programs[number].0.display()));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let codes: BTreeSet<_> = ours.iter().map(|found| found.code.name()).collect();
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["PROCERR", "PROCOK", "PROCTOUT"]);
    // What each counts by itself, and where it was started.
    let same = |text: &str| {
        let own = |line: &&str| !line.starts_with("HAPROXY_PROXY_ID=") && !line.starts_with("PWD=");
        text.lines().filter(own).map(str::to_owned).collect::<Vec<_>>()
    };
    let told_by_haproxy = fs::read_to_string(at.join("tells.told")).unwrap();
    assert_eq!(same(&told), same(&told_by_haproxy));
    assert_eq!(same(&told).len(), 13, "{told}");
}
