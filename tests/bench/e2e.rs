//! `bench e2e`: requests a second, CPU of the whole machine a request, and the slowest requests, through a network of
//! namespaces.
//!
//! [`ways`] are the ways a request can take to a server and back, of which only one is open at a time; [`traffic`] sends the
//! requests, [`cpu`] reads what the machine did meanwhile, [`report`] tells.

mod report;
mod traffic;
mod ways;

use crate::cpu::{self, Cpu};
use anyhow::{Context, Result};
use clap::Args;
use lb_tests::{
    lab::{self, Lab},
    origin::{Listen, Nginx},
};
use report::Measured;
use std::path::PathBuf;
use traffic::Traffic;
use ways::{SERVERS, Way};

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every way has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Connections, which are kept alive.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    connections: u32,
    /// Write the result as JSON into this file; `-` prints it in place of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What one turn brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) requests_per_second: f64,
    /// Microseconds of CPU, of all programs and the kernel.
    pub(crate) cpu_per_request: f64,
    /// Milliseconds within which 99 of 100 requests were answered.
    pub(crate) p99: f64,
}

/// Measures, and tells.
pub(crate) fn measure(options: &Options) -> Result<()> {
    lab::preflight()?;
    let idle = cpu::busy_before()?;
    let lab = Lab::new()?;
    let sites = [Listen { site: "bench", port: ways::SERVER_PORT, keep_alive: true }];
    let servers = SERVERS.map(|name| Nginx::start_everywhere(lab.machine(name)?, lab.directory(), &sites));
    let _servers = servers.into_iter().collect::<Result<Vec<_>>>()?;
    ways::pave(&lab)?;
    let ways = ways::all(&lab)?;
    let mut measured = Measured::new(&ways, options, idle);
    for round in 1..=options.rounds {
        for way in &ways {
            eprintln!("round {round} of {}: {}", options.rounds, way.name);
            measured.add(way, turn(&lab, way, options).with_context(|| way.name.to_owned())?);
        }
    }
    crate::publish(&measured.table(), &measured.json(), options.json.as_deref())
}

/// Opens a way, sends requests over it, and closes it.
fn turn(lab: &Lab, way: &Way, options: &Options) -> Result<Turn> {
    /// Requests before those that are counted: connections, neighbours and caches are there when it begins.
    const WARM_UP: u32 = 1;
    let open = way.open(lab)?;
    let traffic = Traffic { lab, targets: &way.targets, connections: options.connections };
    traffic.send(WARM_UP)?;
    let before = Cpu::now()?;
    let answered = traffic.send(options.seconds)?.without_errors()?;
    let used = Cpu::now()?.since(before);
    open.close(answered.requests.into())?;
    Ok(Turn {
        requests_per_second: f64::from(answered.requests) / answered.seconds,
        cpu_per_request: used.busy.as_secs_f64() * 1e6 / f64::from(answered.requests),
        p99: answered.p99,
    })
}
