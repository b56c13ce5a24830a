//! `demo`: shows on one computer, without a network card, what Sluice promises, and checks it while it does.
//!
//! [`story`] is what happens, in order; [`report`] is how it is told. Exit code: 0 if every step held, 1 if one did not,
//! 2 for a wrong command line, 3 if all steps held but the kernel half could not be shown on this computer.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a demo is for")]

mod report;
mod story;
mod public;
mod tally;
mod limited;

use lb_tests::{lab, reaper};
use report::Report;
use std::process::ExitCode;

const USAGE: &str = "\
usage: demo [--json] [--keep] | demo --clean
  --json    print one JSON object instead of the story
  --keep    leave the network and the programs running, and say how to play with them
  --clean   remove what --keep left";

fn main() -> ExitCode {
    let (mut json, mut keep) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            "--keep" => keep = true,
            "--clean" => return clean(),
            "--help" | "-h" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    tell(Report::new(json), keep)
}

fn tell(mut report: Report, keep: bool) -> ExitCode {
    report.say("\nSluice: XDP in the kernel for packets, a proxy for requests, one health check for both\n");
    match lab::preflight() {
        Ok(()) => {
            let told = story::tell(&mut report, keep);
            report.end(told)
        }
        Err(reason) => {
            let reason = format!("{reason:#}").trim_end().replace('\n', "; ");
            report.say(&format!("  The kernel half cannot be shown here: {reason}\n  What can be shown without it:\n"));
            report.fact("kernel_half", format!("not shown: {reason}"));
            let told = limited::tell(&mut report);
            match report.end(told) {
                code if code == ExitCode::SUCCESS => ExitCode::from(3),
                code => code,
            }
        }
    }
}

fn clean() -> ExitCode {
    match reaper::remove(lab::KEPT) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
