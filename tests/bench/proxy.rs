//! `bench proxy`: CPU time of the balancer's processes for a request, requests a second, latency, and memory, on the loopback
//! device of a namespace.
//!
//! [`balancers`] are those that take part, all with one thread on one CPU; client and servers have another one. [`work`] is
//! what they are asked to do, [`usage`] what they took for it, [`idle`] holds connections open, [`tls`] has the certificate and
//! the one cipher, [`report`] tells.

mod balancers;
mod idle;
mod origin;
mod report;
mod tls;
mod usage;
mod work;

use anyhow::{Context, Result};
use balancers::{Balancer, Kind, Site};
use clap::Args;
use lb_tests::lab::{self, Lab};
use origin::Origin;
use report::Measured;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::path::PathBuf;
use tls::Tls;
use work::Work;

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every balancer has its turn with every kind of work.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Connections at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Write the result as JSON into this file; `-` prints it in place of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Race this binary of HAProxy too. The bars are of the one that the system has.
    #[arg(long, value_name = "PATH")]
    haproxy: Option<PathBuf>,
}

/// What one turn brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Microseconds of CPU of the balancer's processes, their own and the kernel's for them.
    pub(crate) cpu_per_request: f64,
    pub(crate) requests_per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Measures, and tells.
pub(crate) fn measure(options: &Options) -> Result<()> {
    lab::preflight()?;
    let cpus = Cpus::choose()?;
    let busy_before = crate::cpu::busy_before()?;
    cpus.clients_and_servers()?;
    let lab = Lab::new()?;
    // The balancer's namespace is used alone: its loopback device, and that all in it ends with the lab.
    lab.balancer.run(|| round_by_round(options, &lab, &cpus, busy_before))?
}

fn round_by_round(options: &Options, lab: &Lab, cpus: &Cpus, busy_before: f64) -> Result<()> {
    let tls = Tls::make(lab.directory())?;
    let origin = Origin::start(lab)?;
    let site = Site { lab, tls: &tls, log: origin.log()? };
    let kinds = Kind::all(options.haproxy.as_deref());
    let mut measured = Measured::new(options, &kinds, busy_before);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        // New in each round, so that memory is what these connections take and not what was freed before.
        cpus.balancer()?;
        let running = kinds.iter().map(|kind| Balancer::start(kind, &site)).collect::<Result<Vec<_>>>();
        cpus.clients_and_servers()?;
        let running = running?;
        for balancer in &running {
            let bytes = idle::memory(balancer, &tls).with_context(|| format!("idle, {}", balancer.kind.name))?;
            measured.add_idle(balancer.kind, bytes);
        }
        for work in Work::ALL {
            for balancer in running.iter().filter(|balancer| balancer.kind.does(work)) {
                let turn = turn(options, balancer, &site, work);
                let turn = turn.with_context(|| format!("{}, {}", work.name(), balancer.kind.name))?;
                measured.add(balancer.kind, work, turn);
            }
        }
    }
    let cipher = tls.agreed()?;
    crate::publish(&measured.table(&cipher), &measured.json(&cipher), options.json.as_deref())
}

fn turn(options: &Options, balancer: &Balancer<'_>, site: &Site<'_>, work: Work) -> Result<Turn> {
    /// Seconds of requests before those that are counted: connections to servers, caches and memory are there then.
    const WARM_UP: u32 = 1;
    work.send(balancer, site, options.connections, WARM_UP)?;
    let before = balancer.usage()?;
    let answered = work.send(balancer, site, options.connections, options.seconds)?;
    let used = balancer.usage()?.cpu.saturating_sub(before.cpu);
    Ok(Turn {
        cpu_per_request: used.as_secs_f64() * 1e6 / f64::from(answered.requests),
        requests_per_second: f64::from(answered.requests) / answered.seconds,
        p50: answered.p50,
        p99: answered.p99,
    })
}

/// Who runs where. What is started inherits the CPU of the thread that starts it.
struct Cpus {
    balancer: CpuSet,
    others: CpuSet,
}

impl Cpus {
    /// The first two that this process may use.
    fn choose() -> Result<Self> {
        let usable = sched_getaffinity(None).context("which CPUs are there?")?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| usable.is_set(cpu)).map(|cpu| {
            let mut set = CpuSet::new();
            set.set(cpu);
            set
        });
        let mut next = || cpus.next().context("the balancer takes one CPU, client and servers another: two are needed");
        Ok(Self { balancer: next()?, others: next()? })
    }

    fn balancer(&self) -> Result<()> {
        sched_setaffinity(None, &self.balancer).context("going to the balancer's CPU")
    }

    fn clients_and_servers(&self) -> Result<()> {
        sched_setaffinity(None, &self.others).context("going to the clients' CPU")
    }
}
