//! `bench kernel`: nanoseconds a packet, by `BPF_PROG_TEST_RUN`.
//!
//! Before each run the wrapper `rearm` of `lb-ebpf/tools` makes the packet anew; its own cost is measured in each round and
//! subtracted. [`rows`] is what is measured, [`contenders`] who, [`report`] how it is told.

mod contenders;
mod network;
mod report;
mod rows;
mod tables;

use anyhow::{Context, Result, ensure};
use clap::Args;
use contenders::Contenders;
use lb_tests::tools::rearm::{Packets, Rearm, Runs};
use report::Measured;
use rows::{Load, Row};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every program has its turn.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Packets of a turn; at least two for each flow.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    packets: u32,
    /// Most flows that are tried.
    #[arg(long, default_value_t = u32::MAX)]
    most_flows: u32,
    /// Write the result as JSON into this file; `-` prints it in place of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Race another program too: the object of another build of Sluice, with the same maps; or a program that is pinned in a
    /// BPF file system and balances TCP to 192.0.2.20:80.
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
}

/// Measures, and tells.
pub(crate) fn measure(options: &Options) -> Result<()> {
    stay_on_one_cpu()?;
    let contenders = Contenders::load(options.against.as_deref())?;
    let rows = rows::all(contenders.rival())?;
    let loads: Vec<Load> = rows::LOADS.into_iter().filter(|load| load.flows() <= options.most_flows).collect();
    let mut bench = Bench { rearm: Rearm::load()?, contenders, packets: options.packets, new: 0 };
    let mut measured = Measured::new(&rows, &loads, options.rounds, options.packets);
    for _ in 0..options.rounds {
        for load in &loads {
            bench.contenders.wait_for_calm();
            let first = rows.first().context("nothing to measure")?;
            let wrapper = bench.wrapper(first, *load)?;
            measured.add_wrapper(wrapper);
            for row in rows.iter().filter(|row| row.has(*load)) {
                let whole = bench.turn(row, *load).with_context(|| format!("{}, {load}", row.label()))?;
                measured.add(row, *load, whole - wrapper);
            }
        }
    }
    crate::publish(&measured.table(), &measured.json(), options.json.as_deref())
}

/// Tables are a CPU's own, in caches and in the kernel.
fn stay_on_one_cpu() -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu());
    sched_setaffinity(None, &cpus).context("staying on one CPU")
}

struct Bench {
    rearm: Rearm,
    contenders: Contenders,
    packets: u32,
    /// The next flow that nobody has seen.
    new: u32,
}

impl Bench {
    /// Nanoseconds of the wrapper alone, with the packets of any row.
    fn wrapper(&mut self, row: &Row, load: Load) -> Result<f64> {
        self.rearm.empty()?;
        let mut packets = row.packets(load);
        let runs = self.rearm.run(&mut packets, self.packets)?;
        Ok(per_packet(&runs, self.packets))
    }

    /// Nanoseconds a packet of one row under one load, that of the wrapper among them.
    fn turn(&mut self, row: &Row, load: Load) -> Result<f64> {
        let program = self.contenders.program(row.program, row.net, load)?;
        self.rearm.put(program)?;
        let mut packets = row.packets(load);
        let mut count = self.packets;
        match load {
            Load::Known(flows) => {
                for mut opening in row.opening(load) {
                    self.rearm.run(&mut opening, flows)?;
                }
                self.rearm.run(&mut packets, flows)?;
                count = count.max(2 * flows);
            }
            Load::New => {
                packets.next = self.new;
                self.rearm.run(&mut packets, contenders::flood(row.program))?;
            }
        }
        let runs = self.rearm.run(&mut packets, count)?;
        if matches!(load, Load::New) {
            self.new = packets.next;
        }
        sent(&runs, row, &packets)?;
        Ok(per_packet(&runs, count))
    }
}

/// A packet that was not sent would be a cheap one.
fn sent(runs: &Runs, row: &Row, packets: &Packets) -> Result<()> {
    ensure!(runs.action == lb_tests::object::TX, "{} answered {} and not XDP_TX", row.label(), runs.action);
    ensure!(runs.frame != packets.frame, "{} changed nothing", row.label());
    Ok(())
}

fn per_packet(runs: &Runs, count: u32) -> f64 {
    runs.time.as_secs_f64() * 1e9 / f64::from(count)
}
