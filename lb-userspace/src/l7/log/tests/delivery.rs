//! How lines come to their targets, and what becomes of those that do not.

use super::*;
use crate::l7::log::{SinkReport, outlet, sink::BATCH_LINES};
use std::{
    collections::BTreeMap, fs, io::Read, net::UdpSocket, os::unix::net::UnixDatagram, path::Path, thread::sleep,
};

const SOON: Duration = Duration::from_millis(10);
/// Far longer than anything takes here, however busy the machine is.
const AT_LAST: Duration = Duration::from_mins(1);

/// Waits until a report of the only target is as wanted.
fn until(sinks: &Sinks, wanted: impl Fn(&SinkReport) -> bool) {
    let began = Instant::now();
    loop {
        let report = sinks.report().remove(0);
        if wanted(&report) {
            return;
        }
        assert!(began.elapsed() < AT_LAST, "still {report:?}");
        sleep(SOON);
    }
}

struct Scene {
    logging: Logging,
    sinks: Sinks,
    logger: Logger,
    pen: Pen,
}

impl Scene {
    fn new(target: Target) -> Self {
        let logging = logging([log(target, "%ST %U")]);
        let sinks = Sinks::default().update([&logging].into_iter(), &[], BTreeMap::new(), 2).expect("sinks");
        let logger = Logger::new(&logging, &sinks).expect("a logger");
        Self { logging, sinks, logger, pen: Pen::new(0) }
    }

    fn file(path: &Path) -> Self {
        let scene = Self::new(Target::File(path.to_owned()));
        scene.reopen(path);
        scene
    }

    fn reopen(&self, path: &Path) {
        self.sinks.reopen(BTreeMap::from([(path.to_owned(), outlet::open(path).expect("a file"))]));
    }

    /// Logs lines that count from `first`.
    fn log(&mut self, lines: std::ops::Range<u64>) {
        for bytes_from_client in lines {
            self.logger.log(&mut self.pen, &Record { bytes_from_client, ..record() });
        }
    }

    fn report(&self) -> SinkReport {
        self.sinks.report().remove(0)
    }

    /// Waits until a report is as wanted.
    fn until(&self, wanted: impl Fn(&SinkReport) -> bool) {
        until(&self.sinks, wanted);
    }
}

fn numbered(lines: std::ops::Range<u64>) -> String {
    lines.map(|line| ["200 ", &line.to_string(), "\n"].concat()).collect::<Vec<_>>().concat()
}

#[test]
fn lines_are_appended_and_go_on_in_the_file_that_is_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    fs::write(&path, "before\n").expect("written");
    let mut scene = Scene::file(&path);
    scene.log(0..3);
    scene.until(|report| report.written == 3);
    fs::rename(&path, directory.path().join("old")).expect("renamed");
    scene.log(3..4);
    scene.until(|report| report.written == 4);
    scene.reopen(&path);
    scene.log(4..6);
    scene.until(|report| report.written == 6);
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).expect("a file");
    assert_eq!(read("old"), format!("before\n{}", numbered(0..4)));
    assert_eq!(read("access.log"), numbered(4..6));
    assert_eq!(scene.report().lost, 0);
}

#[test]
fn each_line_is_a_datagram() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    udp.set_read_timeout(Some(AT_LAST)).expect("a timeout");
    let mut scene = Scene::new(Target::Udp(udp.local_addr().expect("an address")));
    scene.log(0..200);
    let mut buffer = [0; 100];
    for line in 0..200 {
        let length = udp.recv(&mut buffer).expect("a datagram");
        assert_eq!(buffer[..length], *format!("200 {line}").as_bytes());
    }
    assert_eq!(scene.report().lost, 0);
}

#[test]
fn a_daemon_of_syslog_that_comes_late_gets_what_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let mut scene = Scene::new(Target::Unix(path.clone()));
    scene.log(0..3);
    scene.until(|report| report.failing);
    let socket = UnixDatagram::bind(&path).expect("a socket");
    scene.until(|report| report.written == 3 && !report.failing);
    drop(socket);
    fs::remove_file(&path).expect("removed");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    scene.log(3..4);
    scene.until(|report| report.written == 4);
    let mut buffer = [0; 100];
    let length = socket.recv(&mut buffer).expect("a datagram");
    assert_eq!((&buffer[..length], scene.report().lost), (&b"200 3"[..], 0));
}

#[test]
fn a_datagram_that_nobody_can_take_is_lost_alone() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut scene = Scene::new(Target::Udp(udp.local_addr().expect("an address")));
    let handle = std::sync::Arc::clone(scene.sinks.get(&scene.logging.targets[0].target).expect("a sink"));
    handle.push(0, &vec![b'x'; 70_000]);
    scene.log(0..1);
    // The other one tells of the first.
    scene.until(|report| report.lost == 1 && report.written == 2);
    let mut buffer = [0; 100];
    let mut next = || udp.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
    let mut arrived = [next().expect("a datagram"), next().expect("a datagram")];
    arrived.sort();
    assert_eq!(arrived, ["200 0", "access log lines lost: 1"]);
}

/// A pipe that nobody reads, as standard output may be one.
#[test]
fn a_target_that_is_stuck_costs_lines_that_are_counted_and_told_of() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe");
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&path).expect("the pipe");
    let mut scene = Scene::file(&path);
    // What fits the pipe and one batch behind it, twice over.
    let lines = 4 * BATCH_LINES as u64;
    scene.log(0..lines);
    scene.until(|report| report.failing);
    // Nobody reads the pipe yet: whoever waited for it would stay here.
    scene.log(lines..2 * lines);
    let lost = scene.report().lost;
    assert!(lost > 0);
    let end = format!("200 {}\n", 2 * lines);
    let all = std::thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while !text.ends_with(end.as_bytes()) {
            let length = reader.read(&mut buffer).expect("bytes");
            text.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(text).expect("text")
    });
    scene.until(|report| !report.failing && report.written + report.lost > 2 * lines);
    scene.log(2 * lines..2 * lines + 1);
    let text = all.join().expect("a reader");
    let told = text.lines().filter_map(|line| line.strip_prefix("access log lines lost: "));
    assert_eq!(told.map(|count| count.parse::<u64>().expect("a number")).sum::<u64>(), lost);
    let numbers: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("200 ")?.parse().ok()).collect();
    assert_eq!(numbers.len() as u64, 2 * lines - lost + 1, "none is broken");
    assert!(numbers.is_sorted_by(|a, b| a < b), "none is out of turn or there twice");
}

#[test]
fn a_reload_keeps_the_queue_and_its_counters_and_what_is_not_named_any_more_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let (kept, gone) = (directory.path().join("kept"), directory.path().join("gone"));
    let target = |path: &Path| Target::File(path.to_owned());
    let both = logging([log(target(&kept), "a"), log(target(&gone), "b")]);
    let open = |path: &Path| (path.to_owned(), outlet::open(path).expect("a file"));
    let files = BTreeMap::from([open(&kept), open(&gone)]);
    let sinks = Sinks::default().update([&both].into_iter(), &[], files, 1).expect("sinks");
    let logger = Logger::new(&both, &sinks).expect("a logger");
    let mut pen = Pen::new(0);
    logger.log(&mut pen, &record());
    let one = logging([log(target(&kept), "c")]);
    let next = sinks.update([&one].into_iter(), &[], BTreeMap::new(), 1).expect("sinks");
    drop(sinks);
    // A request of before the reload ends after it.
    logger.log(&mut pen, &record());
    drop(logger);
    Logger::new(&one, &next).expect("a logger").log(&mut pen, &record());
    let arrived = |path: &Path, expected: &str| {
        let (began, read) = (Instant::now(), || fs::read_to_string(path).expect("a file"));
        while read() != expected {
            assert!(began.elapsed() < AT_LAST, "still {:?}", read());
            sleep(SOON);
        }
    };
    arrived(&kept, "a\na\nc\n");
    arrived(&gone, "b\nb\n");
    // A line is there before it is counted.
    until(&next, |report| report.written == 3);
    assert_eq!((next.report().len(), next.report()[0].lost), (1, 0));
}

#[tokio::test]
async fn closing_writes_what_waits_and_does_not_wait_for_what_is_stuck() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    let mut scene = Scene::file(&path);
    scene.log(0..1_000);
    scene.sinks.close(AT_LAST).await;
    assert_eq!(fs::read_to_string(&path).expect("a file"), numbered(0..1_000));

    let mut scene = Scene::new(Target::Unix(directory.path().join("nobody")));
    scene.log(0..10);
    // In all that time nobody comes to take them.
    let closing = scene.sinks.clone().close(Duration::from_hours(24));
    tokio::time::timeout(AT_LAST, closing).await.expect("nothing waits for what is stuck");
    assert_eq!(scene.report().lost, 10);
}

#[test]
fn what_a_frontend_skips_is_not_logged() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    let mut scene = Scene::file(&path);
    let Record { times, date, client, local, .. } = record();
    let null = Record::new(times.start, date, client, local, "web");
    scene.logging.skip_null = true;
    scene.logging.skip_normal = true;
    let logger = Logger::new(&scene.logging, &scene.sinks).expect("a logger");
    for skipped in [null, record()] {
        logger.log(&mut scene.pen, &skipped);
    }
    for (status, retries, termination) in [
        (503, 0, Termination::DONE),
        (201, 1, Termination::DONE),
        (202, 0, Termination::new(Cause::Client, Phase::Data)),
    ] {
        logger.log(&mut scene.pen, &Record { status: Some(status), retries, termination, ..record() });
    }
    scene.until(|report| report.written == 3);
    assert_eq!(fs::read_to_string(&path).expect("a file"), "503 120\n201 120\n202 120\n");
}
