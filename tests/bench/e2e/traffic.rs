//! The client: wrk, two threads, connections that are kept alive.

use anyhow::{Context, Result, ensure};
use lb_tests::{lab::Lab, process};
use serde::Deserialize;
use std::{fmt::Write, fs, net::SocketAddrV4};

/// wrk's own threads; each has a target.
const THREADS: u32 = 2;

/// Requests to be sent.
pub(super) struct Traffic<'a> {
    pub(super) lab: &'a Lab,
    /// Where to; the threads take them in turn.
    pub(super) targets: &'a [SocketAddrV4],
    pub(super) connections: u32,
}

/// What came of them.
#[derive(Debug, Deserialize)]
pub(super) struct Answered {
    pub(super) requests: u32,
    pub(super) seconds: f64,
    /// Milliseconds.
    pub(super) p99: f64,
    /// Connections that failed or broke, answers that did not come, and those that were no 200.
    pub(super) errors: u32,
}

impl Traffic<'_> {
    /// Sends requests for a time.
    pub(super) fn send(&self, seconds: u32) -> Result<Answered> {
        let first = self.targets.first().context("no target")?;
        let path = self.lab.directory().join("wrk.lua");
        fs::write(&path, script(self.targets)?)?;
        let mut wrk = self.lab.client.command("wrk");
        wrk.args([format!("-t{THREADS}"), format!("-c{}", self.connections), format!("-d{seconds}s")]);
        wrk.arg("-s").arg(&path).arg(format!("http://{first}/health"));
        read(&process::run(&mut wrk)?)
    }
}

/// The result is the last line that wrk prints.
fn read(printed: &str) -> Result<Answered> {
    let result = printed.lines().last().unwrap_or_default();
    let answered: Answered = serde_json::from_str(result).with_context(|| format!("wrk said\n{printed}"))?;
    ensure!(answered.requests > 0, "nobody answered:\n{printed}");
    Ok(answered)
}

/// What wrk is told: a target for each thread, and to say what came of it as JSON. `/health` is what nginx does not log.
fn script(targets: &[SocketAddrV4]) -> Result<String> {
    let mut text = String::from("local targets = {");
    for target in targets {
        write!(text, " {{ \"{}\", \"{}\" }},", target.ip(), target.port())?;
    }
    text.push_str(
        r#" }
local threads = 0
function setup(thread)
    local target = targets[threads % #targets + 1]
    thread.addr = wrk.lookup(target[1], target[2])[1]
    threads = threads + 1
end
function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format('{ "requests": %d, "seconds": %.6f, "p99": %.3f, "errors": %d }\n',
        summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3, failed))
end
"#,
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_result() {
        let printed = "Running 3s test\n{ \"requests\": 300, \"seconds\": 3.0, \"p99\": 0.42, \"errors\": 0 }\n";
        let answered = read(printed).unwrap();
        assert_eq!((answered.requests, answered.errors), (300, 0));
        assert!(read(&printed.replace("300", "0")).is_err(), "no answer is no result");
        assert!(read("unable to connect\n").is_err());
    }

    #[test]
    fn every_target_is_in_the_script() {
        let text = script(&["10.1.1.11:80", "10.1.1.12:8080"].map(|target| target.parse().unwrap())).unwrap();
        assert!(text.contains(r#"{ { "10.1.1.11", "80" }, { "10.1.1.12", "8080" }, }"#), "{text}");
    }
}
