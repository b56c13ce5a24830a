//! `soak`: hours of mixed traffic, reloads and failures, and whether the daemon is at their end as it was after the first
//! minutes.
//!
//! [`site`] is what runs, [`traffic`] what it is asked for, [`trouble`] what befalls it, [`sample`] what is looked at every few
//! seconds, and [`verdict`] whether any of that grew. Exit code: 0 if nothing did and the traffic was served, 1 otherwise; 2 for
//! a wrong command line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a soak is for")]

mod site;
mod traffic;
mod trouble;
mod sample;
mod verdict;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lb_tests::lab;
use sample::Sample;
use serde_json::json;
use site::Site;
use std::{fs, path::PathBuf, process::ExitCode, thread, time::Duration};
use tokio::time::Instant;
use traffic::Traffic;
use trouble::Trouble;

/// Mixed traffic, reloads and failures for a long time, and whether anything grows meanwhile.
#[derive(Parser)]
#[command(name = "soak")]
struct Options {
    /// How long, the warm-up included, which is a fifth
    #[arg(long, default_value_t = 30.0, value_parser = minutes)]
    minutes: f64,
    /// Says what befalls the servers, and when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The result for a machine
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Samples of a run, whatever its length.
const SAMPLES: f64 = 180.0;
/// The share of exchanges that may fail: those that were under way with a server when it was killed or stopped.
const FAILED: f64 = 0.01;
/// How often the log says how it stands.
const TELL: Duration = Duration::from_secs(30);

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.1..=100_000.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number of minutes from 0.1 to 100000".to_owned()),
    }
}

fn main() -> ExitCode {
    match lab::preflight().and_then(|()| soak(&Options::parse())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it was.
fn soak(options: &Options) -> Result<bool> {
    let whole = Duration::from_secs_f64(options.minutes * 60.0);
    let (every, warm) = (whole.div_f64(SAMPLES), whole / 5);
    let mut site = Site::start()?;
    let traffic = Traffic::start(&site);
    let mut trouble = Trouble::new(options.seed);
    let (began, mut told, mut samples) = (Instant::now(), Instant::now(), Vec::new());
    println!("soaking for {whole:?}, of which {warm:?} are the warm-up");
    while began.elapsed() < whole {
        let due = began + every * u32::try_from(samples.len() + 1).context("too many samples")?;
        while Instant::now() < due {
            trouble.step(&mut site)?;
            thread::sleep(Duration::from_millis(100));
        }
        samples.push(Sample::take(&site, began.elapsed())?);
        if told.elapsed() >= TELL {
            told = Instant::now();
            println!("{:>6.0?} {} {}", began.elapsed(), samples.last().context("no sample")?, trouble.done());
        }
    }
    let troubles = trouble.end(&mut site)?;
    let served = traffic.stop()?;
    let settled: Vec<_> = samples.iter().filter(|sample| sample.at >= warm).copied().collect();
    let verdicts = verdict::all(&settled);
    println!("\n{}\n{}\nwhat befell it: {troubles}", verdict::table(&verdicts), traffic::table(&served));
    ensure!(!site.sluice.log().contains("panicked at"), "something in the daemon panicked:\n{}", site.sluice.log());
    let starved: Vec<_> = served.iter().filter(|work| work.failed_share() > FAILED).map(|work| work.name).collect();
    if !starved.is_empty() {
        println!("more than {} % failed: {}", FAILED * 100.0, starved.join(", "));
    }
    if let Some(path) = &options.json {
        let result = json!({
            "seconds": whole.as_secs_f64(), "seed": options.seed, "samples": samples, "verdicts": verdicts, "traffic": served,
        });
        fs::write(path, format!("{result:#}\n")).with_context(|| path.display().to_string())?;
    }
    site.stop()?;
    Ok(starved.is_empty() && verdicts.iter().all(|verdict| verdict.flat))
}
