//! Programs, run and killed: by a runner in this process, which is asked as a worker asks.

use super::{
    message::{Ended, Facts, How, Job, SAID, ToRunner},
    serve,
    testing::executable,
};
use crate::{
    channel::{Channel, to_memory_file},
    model::check::{ExecCheck, Spoken},
};
use rustix::process::{Pid, test_kill_process};
use std::{
    collections::BTreeSet,
    fs,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// A runner that may run all of `checks`, and the line of a worker.
struct Scene {
    supervisor: Channel,
    worker: Channel,
    runner: JoinHandle<()>,
}

impl Scene {
    async fn new(checks: &[ExecCheck]) -> Self {
        let (ours, theirs) = Channel::pair().unwrap();
        let (supervisor, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        let runner = tokio::spawn(async { serve(theirs).await.unwrap() });
        let worker = line(&supervisor).await;
        let scene = Self { supervisor, worker, runner };
        scene.allow(checks).await;
        scene
    }

    async fn allow(&self, checks: &[ExecCheck]) {
        let list = to_memory_file(&checks.iter().collect::<BTreeSet<_>>()).unwrap();
        self.supervisor.send(&ToRunner::Allow, &[list.as_fd()]).await.unwrap();
    }

    /// Has a program run, and waits for its end.
    async fn run(&self, check: &ExecCheck, limit: Duration) -> Ended {
        self.worker.send(&job(7, check, limit), &[]).await.unwrap();
        self.hear().await
    }

    async fn hear(&self) -> Ended {
        timeout(LONG, self.worker.receive::<Ended>()).await.expect("an answer").unwrap().expect("an answer").0
    }
}

/// Another worker's line.
async fn line(supervisor: &Channel) -> Channel {
    let (one, other) = Channel::pair().unwrap();
    supervisor.send(&ToRunner::Worker, &[other.as_fd()]).await.unwrap();
    Channel::new(one).unwrap()
}

fn job(number: u64, check: &ExecCheck, timeout: Duration) -> Job {
    let facts = Facts {
        backend: "shop".to_owned(),
        backend_id: 3,
        server: "web1".to_owned(),
        server_id: 2,
        address: "[2001:db8::1]:8080".parse().unwrap(),
        maxconn: 17,
        tls: true,
    };
    Job { number, check: check.clone(), facts, connections: 5, timeout }
}

/// A script of the shell with that body.
fn script(directory: &Path, name: &str, body: &str) -> ExecCheck {
    program(directory, name, &format!("#!/bin/sh\n{body}\n"))
}

fn program(directory: &Path, name: &str, text: &str) -> ExecCheck {
    let command = executable(directory, name, text);
    ExecCheck { command, args: Vec::new(), path: "/usr/bin:/bin".to_owned(), spoken: Spoken::Http2 }
}

/// The number that a script has written there.
async fn pid(path: PathBuf) -> Pid {
    let until = Instant::now() + LONG;
    loop {
        let read = fs::read_to_string(&path).unwrap_or_default();
        if let Some(pid) = read.strip_suffix('\n').and_then(|text| Pid::from_raw(text.parse().ok()?)) {
            return pid;
        }
        assert!(Instant::now() < until, "nothing in {}", path.display());
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until that process is gone, or dead and not yet waited for.
async fn gone(process: Pid) {
    let until = Instant::now() + LONG;
    let is_dead = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
        test_kill_process(process).is_err() || stat.contains(") Z ")
    };
    while !is_dead() {
        assert!(Instant::now() < until, "process {process:?} goes on");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn how_a_program_ends_and_what_it_says_is_told() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let cases = [
        (script(at, "passes", "echo all is well"), How::Exited(0), "all is well\n"),
        (script(at, "fails", "echo no >&2; exit 3"), How::Exited(3), "no\n"),
        (script(at, "dies", "kill -9 $$"), How::Killed(9), ""),
        (script(at, "reads", "cat; exit 1"), How::Exited(1), ""),
        (script(at, "closes", "exec >&- 2>&-; exit 4"), How::Exited(4), ""),
        (program(at, "mute", "echo $#\nexit 5\n"), How::Exited(5), "4\n"),
        (ExecCheck { command: at.join("missing"), ..ExecCheck::default() }, How::Failed(2), ""),
        (ExecCheck { command: at.to_owned(), ..ExecCheck::default() }, How::Failed(13), ""),
        (program(at, "no-interpreter", "#!/nowhere/sh\n"), How::Failed(2), ""),
    ];
    let scene = Scene::new(&cases.each_ref().map(|(check, ..)| check.clone())).await;
    for (check, how, said) in &cases {
        let ended = scene.run(check, LONG).await;
        let text = String::from_utf8(ended.said).unwrap();
        assert_eq!((ended.number, ended.how, text.as_str()), (7, *how, *said), "{}", check.command.display());
    }
}

#[tokio::test]
async fn a_program_is_told_what_haproxy_tells_it_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let told = script(directory.path(), "told", "echo \"$@\"; env | sort");
    let told = ExecCheck { args: vec!["--deep".to_owned(), "a b".to_owned()], ..told };
    let scene = Scene::new(slice::from_ref(&told)).await;
    let said = String::from_utf8(scene.run(&told, LONG).await.said).unwrap();
    let own = format!("PWD={}\n", std::env::current_dir().unwrap().display());
    let expected = "NOT_USED NOT_USED 2001:db8::1 8080 --deep a b\n\
                    HAPROXY_PROXY_ADDR=\nHAPROXY_PROXY_ID=3\nHAPROXY_PROXY_NAME=shop\nHAPROXY_PROXY_PORT=\n\
                    HAPROXY_SERVER_ADDR=2001:db8::1\nHAPROXY_SERVER_CURCONN=5\nHAPROXY_SERVER_ID=2\n\
                    HAPROXY_SERVER_MAXCONN=17\nHAPROXY_SERVER_NAME=web1\nHAPROXY_SERVER_PORT=8080\n\
                    HAPROXY_SERVER_PROTO=h2\nHAPROXY_SERVER_SSL=1\nPATH=/usr/bin:/bin\n";
    assert_eq!(said.replace(&own, ""), expected);
}

#[tokio::test]
async fn what_is_printed_is_read_to_the_end_and_kept_in_part() {
    let directory = TempDir::new().unwrap();
    let floods = script(directory.path(), "floods", "head -c 3000000 /dev/zero | tr '\\0' x; exit 6");
    let scene = Scene::new(slice::from_ref(&floods)).await;
    let ended = scene.run(&floods, LONG).await;
    assert_eq!((ended.how, ended.said), (How::Exited(6), vec![b'x'; SAID]));
}

#[tokio::test]
async fn one_that_prints_for_ever_delays_neither_its_end_nor_others() {
    let directory = TempDir::new().unwrap();
    let floods = script(directory.path(), "floods", "exec cat /dev/zero");
    let quick = script(directory.path(), "quick", "exit 0");
    let scene = Scene::new(&[floods.clone(), quick.clone()]).await;
    scene.worker.send(&job(1, &floods, Duration::from_secs(2)), &[]).await.unwrap();
    let first = scene.run(&quick, LONG).await;
    assert_eq!((first.number, first.how), (7, How::Exited(0)));
    let second = scene.hear().await;
    assert_eq!((second.number, second.how, second.said), (1, How::TimedOut, vec![0; SAID]));
}

#[tokio::test]
async fn at_the_timeout_all_of_the_group_is_killed() {
    let directory = TempDir::new().unwrap();
    let files = ["parent", "child"].map(|name| directory.path().join(name));
    let body = format!(
        "echo waiting\nsh -c 'echo $$ > {}; trap \"\" TERM; while :; do sleep 60; done' &\necho $$ > {}\nwait",
        files[1].display(),
        files[0].display()
    );
    let hangs = script(directory.path(), "hangs", &body);
    let scene = Scene::new(slice::from_ref(&hangs)).await;
    let begun = Instant::now();
    let ended = scene.run(&hangs, Duration::from_millis(700)).await;
    assert_eq!((ended.how, ended.said.as_slice()), (How::TimedOut, b"waiting\n".as_slice()));
    assert!(begun.elapsed() >= Duration::from_millis(700));
    for file in files {
        gone(pid(file).await).await;
    }
}

#[tokio::test]
async fn what_a_program_leaves_behind_neither_delays_its_end_nor_stays() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("left");
    let leaves = script(directory.path(), "leaves", &format!("sleep 60 &\necho $! > {}\nexit 0", file.display()));
    let scene = Scene::new(slice::from_ref(&leaves)).await;
    assert_eq!(scene.run(&leaves, LONG).await.how, How::Exited(0));
    gone(pid(file).await).await;
}

#[tokio::test]
async fn only_what_is_allowed_is_run() {
    let directory = TempDir::new().unwrap();
    let [one, other] = ["one", "other"].map(|name| script(directory.path(), name, "exit 0"));
    let scene = Scene::new(slice::from_ref(&one)).await;
    assert_eq!(scene.run(&other, LONG).await.how, How::Refused);
    let changed = ExecCheck { args: vec!["-x".to_owned()], ..one.clone() };
    assert_eq!(scene.run(&changed, LONG).await.how, How::Refused);
    assert_eq!(scene.run(&one, LONG).await.how, How::Exited(0));
    scene.allow(slice::from_ref(&other)).await;
    // Two lines have no order among them.
    let until = Instant::now() + LONG;
    while scene.run(&one, LONG).await.how != How::Refused {
        assert!(Instant::now() < until);
    }
    assert_eq!(scene.run(&other, LONG).await.how, How::Exited(0));
}

#[tokio::test]
async fn so_many_run_at_once_and_who_waits_too_long_is_not_run() {
    let directory = TempDir::new().unwrap();
    let waits = script(directory.path(), "waits", "exec sleep 60");
    let quick = script(directory.path(), "quick", "exit 0");
    let scene = Scene::new(&[waits.clone(), quick.clone()]).await;
    for number in 0..super::AT_ONCE {
        let number = u64::try_from(number).unwrap();
        scene.worker.send(&job(number, &waits, Duration::from_secs(5)), &[]).await.unwrap();
    }
    assert_eq!(scene.run(&quick, Duration::from_millis(300)).await.how, How::Crowded);
    scene.worker.send(&job(99, &quick, LONG), &[]).await.unwrap();
    let mut ended = Vec::new();
    for _ in 0..=super::AT_ONCE {
        ended.push(scene.hear().await);
    }
    assert_eq!(ended.iter().filter(|ended| ended.how == How::TimedOut).count(), super::AT_ONCE);
    let waited = ended.iter().find(|ended| ended.number == 99).map(|ended| ended.how);
    assert_eq!(waited, Some(How::Exited(0)), "it runs as soon as there is room");
}

#[tokio::test]
async fn with_the_line_of_a_worker_its_programs_end() {
    let directory = TempDir::new().unwrap();
    let files = ["first", "second", "third"].map(|name| directory.path().join(name));
    let checks = files.each_ref().map(|file| {
        let name = format!("{}.sh", file.file_name().unwrap().display());
        script(directory.path(), &name, &format!("echo $$ > {}\nexec sleep 60", file.display()))
    });
    let scene = Scene::new(&checks).await;
    let [first, second, third] = files;
    scene.worker.send(&job(1, &checks[0], LONG), &[]).await.unwrap();
    let one = pid(first).await;
    let Scene { supervisor, worker, runner } = scene;
    // Its line is still open.
    let other = line(&supervisor).await;
    gone(one).await;
    assert!(timeout(LONG, worker.receive::<Ended>()).await.expect("its end").unwrap().is_none());
    other.send(&job(1, &checks[1], LONG), &[]).await.unwrap();
    let two = pid(second).await;
    drop(other);
    gone(two).await;
    let last = line(&supervisor).await;
    last.send(&job(1, &checks[2], LONG), &[]).await.unwrap();
    let three = pid(third).await;
    drop(supervisor);
    gone(three).await;
    timeout(LONG, runner).await.expect("its end").unwrap();
}

#[tokio::test]
async fn a_worker_that_asks_and_never_listens_is_not_listened_to() {
    let scene = Scene::new(&[]).await;
    let refused = job(1, &ExecCheck::default(), LONG);
    let asking = async { while scene.worker.send(&refused, &[]).await.is_ok() {} };
    timeout(LONG, asking).await.expect("its end");
    assert!(!scene.runner.is_finished());
}

#[tokio::test]
async fn a_worker_that_talks_nonsense_is_not_listened_to() {
    let scene = Scene::new(&[]).await;
    scene.worker.send(&"run everything", &[]).await.unwrap();
    assert!(timeout(LONG, scene.worker.receive::<Ended>()).await.expect("its end").unwrap().is_none());
    assert!(!scene.runner.is_finished());
}
