//! HAProxy's own reader of logs reads ours.

use super::*;
use crate::model::log::{Dialect, parse::HTTPLOG};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// What `halog` says of these lines. Installed with HAProxy.
fn halog(options: &[&str], lines: &str) -> String {
    let mut halog = Command::new("halog")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("halog, of Debian's package haproxy");
    halog.stdin.take().expect("its input").write_all(lines.as_bytes()).expect("written");
    String::from_utf8(halog.wait_with_output().expect("its output").stdout).expect("text")
}

/// Twelve requests: ten answered by srv1, one cut short by srv2, one that found no server.
fn lines(framing: Framing) -> String {
    let mut logging = logging([log(Target::Stdout, HTTPLOG)]);
    logging.targets[0].framing = framing;
    let mut record = record();
    let mut lines = message(&logging, &record).repeat(10);
    record.server = Some("srv2");
    record.termination = Termination::new(Cause::Server, Phase::Data);
    lines += &message(&logging, &record);
    record.server = None;
    record.status = Some(503);
    record.times.connect = None;
    record.times.response = None;
    record.termination = Termination::new(Cause::Server, Phase::Connect);
    lines + &message(&logging, &record)
}

/// The rows of a table by server or the like, without its head.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn halog_reads_bare_lines() {
    let lines = lines(Framing::Raw);
    // It expects month, day, time, host and tag; one field more or less is one more or less than 1.
    let bare = |option| halog(&["-s", "-4", option], &lines);
    let servers = bare("-srv");
    let row = |name: &str| rows(&servers).into_iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{servers}"));
    // Responses by class 1xx to 5xx, others, all, good ones, their share, mean %Tc and %Tr.
    assert_eq!(row("static/srv1")[1..], ["0", "10", "0", "0", "0", "0", "10", "10", "100.0", "30", "69"]);
    assert_eq!(row("static/srv2")[1..9], ["0", "1", "0", "0", "0", "0", "1", "1"]);
    assert_eq!(row("static/<NOSRV>")[1..9], ["0", "0", "0", "0", "1", "0", "1", "0"]);
    assert_eq!(rows(&bare("-st")).iter().map(|row| row.join(" ")).collect::<Vec<_>>(), ["200 11", "503 1"]);
    let mut causes: Vec<_> = rows(&bare("-tc")).iter().map(|row| row.join(" ")).collect();
    causes.sort();
    assert_eq!(causes, ["-- 10", "SC 1", "SD 1"]);
    // Percentiles of %TR, %Tw, %Tc, %Tr and of the time of data, of the requests that reached a server.
    let percentiles = bare("-pct");
    let median = rows(&percentiles).into_iter().find(|row| row[0] == "50.0").unwrap_or_else(|| panic!("{percentiles}"));
    assert_eq!(median[2..], ["10", "30", "69", "0"]);
}

#[test]
fn halog_reads_lines_of_syslog_as_daemons_store_them() {
    let framing = Framing::Syslog { dialect: Dialect::Rfc3164, facility: 16, level: 6, error_level: 6 };
    let lines = lines(framing);
    let bare = |line: &str| line.split_once('>').expect("its priority").1.to_owned() + "\n";
    let stored = lines.lines().map(bare).collect::<Vec<_>>().concat();
    let statuses: Vec<_> = rows(&halog(&["-st"], &stored)).iter().map(|row| row.join(" ")).collect();
    assert_eq!(statuses, ["200 11", "503 1"]);
}
