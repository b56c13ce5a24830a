//! What the balancers are asked to do, and who asks.
//!
//! wrk asks over HTTP/1.1, with and without TLS: one thread of it is faster than any balancer here with one. With
//! `Connection: close` it opens a new connection for each request and never resumes a TLS handshake, which `h2load` (one
//! connection for all its requests) and `ab` (slower than a balancer) cannot do; `openssl s_time` sends one request at a time.
//! h2load asks over HTTP/2. The CPU time of what asks is not counted, so it need not be cheap, only let no balancer wait long.

use super::balancers::{Balancer, Site};
use crate::{
    bars::Bar,
    wrk::{self, Answered},
};
use anyhow::{Context, Result, ensure};
use lb_tests::process;
use std::fs;

/// One kind of requests.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Work {
    /// HTTP/1.1, connections kept alive.
    Http,
    /// The same over TLS.
    Https,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/1.1 that the balancer does not look into.
    Tcp,
    /// A connection for each request.
    NewPlain,
    /// A connection and a full TLS handshake for each request.
    NewTls,
}

/// Requests at a time on a connection of HTTP/2.
pub(super) const STREAMS: u32 = 1;

impl Work {
    pub(super) const ALL: [Self; 6] = [Self::Http, Self::Https, Self::Http2, Self::Tcp, Self::NewPlain, Self::NewTls];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP/1.1",
            Self::Https => "HTTPS",
            Self::Http2 => "HTTP/2 over TLS",
            Self::Tcp => "TCP",
            Self::NewPlain => "new connection",
            Self::NewTls => "new TLS connection",
        }
    }

    /// The share of HAProxy's CPU time that ours may be.
    pub(super) fn bar(self) -> Option<Bar> {
        match self {
            Self::Http | Self::Https => Some(0.80),
            Self::Http2 | Self::Tcp => Some(0.95),
            Self::NewTls => Some(0.60),
            Self::NewPlain => None,
        }
    }

    /// Sends requests for a time; each must be answered with success.
    pub(super) fn send(
        self,
        balancer: &Balancer<'_>,
        site: &Site<'_>,
        connections: u32,
        seconds: u32,
    ) -> Result<Answered> {
        let (scheme, address) = match self {
            Self::Http | Self::NewPlain => ("http", balancer.plain()),
            Self::Https | Self::NewTls | Self::Http2 => ("https", balancer.tls()),
            Self::Tcp => ("http", balancer.relay()),
        };
        let url = format!("{scheme}://{address}/api/");
        if self == Self::Http2 {
            return h2load(site, connections, seconds, &url)?.without_errors();
        }
        let mut command = site.lab.balancer.command("wrk");
        site.tls.restrict(&mut command);
        command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
        let each = matches!(self, Self::NewPlain | Self::NewTls);
        let script = if each { "wrk.headers[\"Connection\"] = \"close\"\n" } else { "" };
        wrk::run(command, script, site.lab.directory(), &url)?.without_errors()
    }
}

fn h2load(site: &Site<'_>, connections: u32, seconds: u32, url: &str) -> Result<Answered> {
    let log = site.lab.directory().join("h2load.log");
    let mut command = site.lab.balancer.command("h2load");
    site.tls.restrict(&mut command);
    command.args(["-t1", &format!("-c{connections}"), &format!("-m{STREAMS}"), &format!("-D{seconds}")]);
    command.arg("--log-file").arg(&log).arg(url);
    let printed = process::run(&mut command)?;
    let answered = read(&printed, &fs::read_to_string(&log)?).with_context(|| format!("h2load said\n{printed}"));
    fs::remove_file(&log)?;
    answered
}

/// Reads the line `requests: …` of what h2load prints, and its log: start, status and microseconds of each request.
fn read(printed: &str, log: &str) -> Result<Answered> {
    let line =
        |start: &str| printed.lines().find_map(|line| line.strip_prefix(start)).with_context(|| format!("no {start}"));
    let seconds = line("finished in ")?.split('s').next().context("no time")?.parse()?;
    let counts = line("requests: ")?;
    let count = |what: &str| {
        let found = counts.split(", ").find_map(|part| part.strip_suffix(what)?.trim().parse::<u32>().ok());
        found.with_context(|| format!("no number of {what}"))
    };
    let succeeded = count("succeeded")?;
    ensure!(succeeded > 0, "nobody answered");
    let mut taken = log
        .lines()
        .map(|line| Ok(line.split('\t').nth(2).context("a short line")?.parse::<u32>()?))
        .collect::<Result<Vec<_>>>()?;
    taken.sort_unstable();
    let milliseconds = |share: usize| {
        let taken = taken.get(taken.len() * share / 100).context("an empty log")?;
        anyhow::Ok(f64::from(*taken) / 1e3)
    };
    Ok(Answered {
        requests: succeeded,
        seconds,
        p50: milliseconds(50)?,
        p99: milliseconds(99)?,
        errors: count("failed")?,
    })
}

/// Memory of idle connections: at most HAProxy's.
pub(super) const IDLE_BAR: Bar = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "starting benchmark...\n\nfinished in 2.00s, 50.00 req/s, 7.32KB/s\n\
        requests: 103 total, 103 started, 102 done, 100 succeeded, 2 failed, 0 errored, 0 timeout\nstatus codes: 100 2xx\n";

    #[test]
    fn what_h2load_prints_and_logs_is_read() {
        let line = |number: u32| format!("1700000000\t200\t{}\n", number * 1_000);
        let log = (1..=100).rev().map(line).collect::<Vec<_>>().concat();
        let answered = read(PRINTED, &log).unwrap();
        assert_eq!((answered.requests, answered.errors), (100, 2));
        assert_eq!((answered.seconds, answered.p50, answered.p99), (2.0, 51.0, 100.0));
        assert!(answered.without_errors().is_err());
    }

    #[test]
    fn no_answer_is_no_result() {
        assert!(read(&PRINTED.replace("100 succeeded", "0 succeeded"), "").is_err());
        assert!(read("error\n", "").is_err());
    }
}
