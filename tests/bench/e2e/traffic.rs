//! The client: wrk, two threads, connections that are kept alive.

use crate::wrk::{self, Answered};
use anyhow::{Context, Result};
use lb_tests::lab::Lab;
use std::{fmt::Write, net::SocketAddrV4};

/// wrk's own threads; each has a target.
const THREADS: u32 = 2;

/// Requests to be sent.
pub(super) struct Traffic<'a> {
    pub(super) lab: &'a Lab,
    /// Where to; the threads take them in turn.
    pub(super) targets: &'a [SocketAddrV4],
    pub(super) connections: u32,
}

impl Traffic<'_> {
    /// Sends requests for a time.
    pub(super) fn send(&self, seconds: u32) -> Result<Answered> {
        let first = self.targets.first().context("no target")?;
        let mut wrk = self.lab.client.command("wrk");
        wrk.args([format!("-t{THREADS}"), format!("-c{}", self.connections), format!("-d{seconds}s")]);
        wrk::run(wrk, &script(self.targets)?, self.lab.directory(), &format!("http://{first}/health"))
    }
}

/// A target for each thread. `/health` is what nginx does not log.
fn script(targets: &[SocketAddrV4]) -> Result<String> {
    let mut text = String::from("local targets = {");
    for target in targets {
        write!(text, " {{ \"{}\", \"{}\" }},", target.ip(), target.port())?;
    }
    text.push_str(
        r" }
local threads = 0
function setup(thread)
    local target = targets[threads % #targets + 1]
    thread.addr = wrk.lookup(target[1], target[2])[1]
    threads = threads + 1
end
",
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_in_the_script() {
        let text = script(&["10.1.1.11:80", "10.1.1.12:8080"].map(|target| target.parse().unwrap())).unwrap();
        assert!(text.contains(r#"{ { "10.1.1.11", "80" }, { "10.1.1.12", "8080" }, }"#), "{text}");
    }
}
