//! wrk, which sends requests over HTTP/1.1 as fast as they are answered, and what it tells.

use anyhow::{Context, Result, ensure};
use lb_tests::process;
use serde::Deserialize;
use std::{fs, path::Path, process::Command};

/// What came of the requests.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Answered {
    pub(crate) requests: u32,
    pub(crate) seconds: f64,
    /// Milliseconds within which half of the requests were answered.
    pub(crate) p50: f64,
    /// The same for 99 of 100.
    pub(crate) p99: f64,
    /// Connections that failed or broke, answers that did not come, and those that were no success.
    pub(crate) errors: u32,
}

impl Answered {
    /// The same, if all of it was answered well.
    pub(crate) fn without_errors(self) -> Result<Self> {
        ensure!(self.errors == 0, "{} of {} requests failed", self.errors, self.requests);
        Ok(self)
    }
}

/// Says what came of the requests as JSON, in the last line.
const DONE: &str = r#"
function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format('{ "requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "errors": %d }\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
"#;

/// Runs wrk: `command` with all its options but the script, which is given as text.
pub(crate) fn run(mut command: Command, script: &str, directory: &Path, url: &str) -> Result<Answered> {
    let path = directory.join("wrk.lua");
    fs::write(&path, format!("{script}{DONE}"))?;
    read(&process::run(command.arg("-s").arg(&path).arg(url))?)
}

/// The result is the last line that wrk prints.
fn read(printed: &str) -> Result<Answered> {
    let result = printed.lines().last().unwrap_or_default();
    let answered: Answered = serde_json::from_str(result).with_context(|| format!("wrk said\n{printed}"))?;
    ensure!(answered.requests > 0, "nobody answered:\n{printed}");
    Ok(answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_result() {
        let printed =
            "Running 3s test\n{ \"requests\": 300, \"seconds\": 3.0, \"p50\": 0.2, \"p99\": 0.42, \"errors\": 0 }\n";
        let answered = read(printed).unwrap();
        assert_eq!((answered.requests, answered.errors), (300, 0));
        assert!(read(&printed.replace("300", "0")).is_err(), "no answer is no result");
        assert!(read("unable to connect\n").is_err());
    }
}
