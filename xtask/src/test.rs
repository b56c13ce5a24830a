//! `test`: the tests in groups, and one honest line at the end.
//!
//! - host: everything that needs no privilege;
//! - kernel: the object in the real kernel, through `BPF_PROG_TEST_RUN`; root;
//! - network: the daemon between network namespaces; root;
//! - kernels: the kernel group in other kernels, emulated; only when asked for;
//! - differential: generated packets without end through host and kernel; only when asked for.
//!
//! A group that cannot run is skipped loudly, and each of its tests is counted. A test that finds at run time that it
//! cannot do its work prints a line `SKIPPED: reason` and is counted as skipped, not as passed.

use std::env;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use lb_ebpf_build::Places;

use crate::kernels::{self, KERNELS, Kernel};
use crate::run::{cargo, is_root, run, show};
use crate::setup;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Group {
    Host,
    Kernel,
    Network,
    /// The kernel tests, in another kernel than this machine's.
    Other(&'static Kernel),
    /// One of the kernel tests, with many more packets.
    Differential,
}

/// How many packets of [`Group::Differential`] are sent, unless the environment says otherwise: those of some minutes.
const PACKETS: (&str, &str) = ("SLUICE_PACKETS", "10000000");

impl Group {
    fn needs_root(self) -> bool {
        matches!(self, Self::Kernel | Self::Network | Self::Differential)
    }
}

/// What came of the tests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    /// Passed, as the test programs count: with those that said they did nothing.
    passed: u64,
    failed: u64,
    /// Not started.
    ignored: u64,
    /// Started, and said that they could not do their work.
    gave_up: u64,
}

/// Runs the groups that the arguments name, all of them when they name none.
pub(crate) fn test(places: &Places, arguments: &[String]) -> Result<ExitCode> {
    let (groups, rest) = chosen(arguments);
    setup::prepare(places)?;
    if groups.iter().any(|group| matches!(group, Group::Other(_))) {
        setup::prepare_emulation()?;
    }
    let mut tally = Tally::default();
    let mut broken = false;
    for group in groups {
        let outcome = if group.needs_root() && !is_root() { skip(group)? } else { execute(group, &rest)? };
        tally = tally.plus(outcome.tally);
        broken |= !outcome.success;
    }
    println!("\n{tally}");
    if broken && tally.failed == 0 {
        println!("not every test program ran to its end; see above");
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Splits the options that are ours from what goes to the test programs.
fn chosen(arguments: &[String]) -> (Vec<Group>, Vec<String>) {
    let mut groups = Vec::new();
    let mut rest = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--host" => groups.push(Group::Host),
            "--kernel" => groups.push(Group::Kernel),
            "--network" => groups.push(Group::Network),
            "--kernels" => groups.extend(KERNELS.iter().map(Group::Other)),
            "--differential" => groups.push(Group::Differential),
            "--all" | "--" => {}
            other => rest.push(other.to_owned()),
        }
    }
    if groups.is_empty() {
        groups = vec![Group::Host, Group::Kernel, Group::Network];
    }
    (groups, rest)
}

/// What `cargo test` is told for a group.
fn command(group: Group) -> Result<Command> {
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast"]);
    match group {
        Group::Host => command.arg("--workspace"),
        Group::Kernel => command.args(["--package=lb-tests", "--features=kernel", "--test=kernel", "--test=dataplane"]),
        Group::Network => command.args(["--package=lb-tests", "--features=network", "--test=network"]),
        Group::Other(kernel) => command
            .args(["--package=lb-tests", "--features=kernel", "--test=kernel", "--config"])
            .arg(kernels::runner(kernel)?),
        Group::Differential => {
            let (name, packets) = PACKETS;
            command.env(name, env::var_os(name).unwrap_or_else(|| packets.into()));
            command.args(["--package=lb-tests", "--features=kernel", "--test=kernel", "differential::"])
        }
    };
    Ok(command)
}

struct Outcome {
    tally: Tally,
    success: bool,
}

/// Runs a group; its output goes through, and is counted on the way.
fn execute(group: Group, rest: &[String]) -> Result<Outcome> {
    if group == Group::Network {
        // The tests start the daemon; cargo builds only what they link.
        run(cargo().args(["build", "--locked", "--package=lb-userspace", "--bin=sluice"]))?;
    }
    let mut command = command(group)?;
    command.arg("--").args(rest).stdout(Stdio::piped());
    if group != Group::Host {
        command.arg("--show-output"); // or a test's reason to give up would be lost
    }
    if group == Group::Network {
        command.arg("--test-threads=2"); // those that need the machine for themselves wait for their turn
    }
    if matches!(group, Group::Other(_)) {
        command.args(kernels::arguments());
    }
    eprintln!("$ {}", show(&command));
    let mut child = command.spawn().context("could not start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("could not read cargo's output")?;
        println!("{line}");
        count.read(&line);
    }
    let tally = count.tally;
    let success = child.wait().context("could not wait for cargo")?.success();
    if success && tally == Tally::default() && group != Group::Host {
        bail!("the {group:?} group has no tests");
    }
    Ok(Outcome { tally, success })
}

/// Counts the tests of a group that cannot run here.
fn skip(group: Group) -> Result<Outcome> {
    let mut build = command(group)?;
    run(build.arg("--no-run"))?;
    let mut list = command(group)?;
    let output = list.args(["--", "--list"]).output().context("could not start cargo")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let ignored = listed.lines().filter(|line| line.ends_with(": test")).fold(0, |count, _| count + 1);
    println!("\nSKIPPED: {ignored} tests of the {group:?} group, which needs root");
    Ok(Outcome { tally: Tally { ignored, ..Tally::default() }, success: output.status.success() })
}

/// Counts over the output of test programs, one after the other.
#[derive(Default)]
struct Count {
    tally: Tally,
    /// The tests of the program that is running. A test may run a test program of its own, whose output then stands
    /// inside that of the outer one and is not counted.
    running: Option<u64>,
}

impl Count {
    fn read(&mut self, line: &str) {
        if line.starts_with("SKIPPED: ") {
            self.tally.gave_up += 1;
        } else if let Some(announced) = line.strip_prefix("running ") {
            let announced = announced.split(' ').next().and_then(|number| number.parse().ok());
            self.running = self.running.or(announced);
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let result = Tally::of_result(result);
            if self.running == Some(result.passed + result.failed + result.ignored) {
                self.tally = self.tally.plus(result);
                self.running = None;
            }
        }
    }
}

impl Tally {
    /// Reads `ok. 19 passed; 0 failed; 1 ignored; …`.
    fn of_result(result: &str) -> Self {
        let count = |what: &str| {
            let before = result.split_once(what).map(|(before, _)| before);
            before.and_then(|before| before.rsplit(' ').next()).and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Self { passed: count(" passed"), failed: count(" failed"), ignored: count(" ignored"), gave_up: 0 }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            ignored: self.ignored + other.ignored,
            gave_up: self.gave_up + other.gave_up,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.passed.saturating_sub(self.gave_up);
        write!(formatter, "{passed} passed, {} failed, {} skipped", self.failed, self.ignored + self.gave_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> String {
        let mut count = Count::default();
        output.lines().for_each(|line| count.read(line));
        count.tally.to_string()
    }

    #[test]
    fn results_of_several_programs_add_up() {
        let output = "running 20 tests\n\
                      test result: ok. 19 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                      running 5 tests\n\
                      test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out\n";
        assert_eq!(tally(output), "21 passed, 3 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_gave_up_is_skipped_and_not_passed() {
        let output = "running 2 tests\n---- nat stdout ----\nSKIPPED: no veth here\n\n\
                      test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(tally(output), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_test_program_inside_a_test_is_not_counted() {
        let output = "running 3 tests\n---- child stdout ----\nrunning 1 test\n\
                      test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out\n\
                      test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(tally(output), "2 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn options_choose_groups_and_the_rest_goes_on() {
        let (groups, rest) = chosen(&["--kernel".to_owned(), "--".to_owned(), "nat".to_owned()]);
        assert_eq!((groups, rest), (vec![Group::Kernel], vec!["nat".to_owned()]));
        assert_eq!(chosen(&[]).0.len(), 3);
        assert_eq!(chosen(&["--kernels".to_owned()]).0, KERNELS.iter().map(Group::Other).collect::<Vec<_>>());
        assert_eq!(chosen(&["--differential".to_owned()]).0, [Group::Differential]);
    }
}
