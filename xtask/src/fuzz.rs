//! `fuzz`: libFuzzer drives the packet path on the host, the codec of HTTP/1 and the checks of servers, from the corpora in the
//! repository.
//!
//! `cargo-fuzz` is not needed: its layout is kept, and what it tells the compiler is told here. Any compiler serves, because
//! no sanitizer is asked for: neither has `unsafe` code in which one could find anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use lb_ebpf_build::Places;

use crate::run::{cargo, run};
use crate::setup;

/// The crates that hold fuzzers, from the root of the workspace.
pub(crate) const CRATES: [&str; 2] = [PACKETS.at, HTTP1.at];

/// Something to fuzz.
#[derive(Debug, Eq, PartialEq)]
struct Target {
    /// The name of a binary.
    name: &'static str,
    /// The crate that it is of.
    at: &'static str,
}

const PACKETS: Target = Target { name: "packets", at: "lb-ebpf/fuzz" };
const HTTP1: Target = Target { name: "http1", at: "lb-userspace/fuzz" };
const CHECKS: Target = Target { name: "checks", at: "lb-userspace/fuzz" };
/// What there is to fuzz.
static TARGETS: [Target; 3] = [PACKETS, HTTP1, CHECKS];
/// How long a target is fuzzed if nobody says.
const SECONDS: u64 = 60;
/// Longer inputs are not tried.
const LONGEST: &str = "-max_len=4096";

/// Has LLVM count edges and note comparisons, as `cargo fuzz --sanitizer none` does.
const COVERAGE: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

const USAGE: &str = "usage: cargo xtask fuzz [TARGET] [--seconds N] [--keep] [INPUT…]";

/// What was asked for.
#[derive(Debug, Eq, PartialEq)]
struct Options {
    targets: Vec<&'static Target>,
    seconds: u64,
    /// Whether what adds to the corpus is put into the repository.
    keep: bool,
    /// Files to run instead of anything new.
    inputs: Vec<PathBuf>,
}

/// The directories of a target.
struct Directories {
    /// In the repository.
    corpus: PathBuf,
    /// What the golden rows are, and what was found lately.
    seeds: PathBuf,
    found: PathBuf,
    /// What broke something.
    broken: PathBuf,
}

/// Builds and runs the fuzzers.
pub(crate) fn fuzz(places: &Places, arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    setup::prepare(places)?;
    setup::prepare_fuzzing()?;
    for target in &options.targets {
        let directories = directories(places, target)?;
        if *target == &PACKETS && options.inputs.is_empty() {
            write_seeds(&directories.seeds)?;
        }
        let fuzzer = build(places, target)?;
        one(&fuzzer, &options, &directories)?;
        if options.keep {
            keep(&fuzzer, &directories)?;
        }
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options { targets: Vec::new(), seconds: SECONDS, keep: false, inputs: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
            options.seconds = seconds.context("--seconds takes a number")?;
        } else if argument == "--keep" {
            options.keep = true;
        } else if let Some(target) = TARGETS.iter().find(|target| target.name == argument) {
            options.targets.push(target);
        } else if Path::new(argument).is_file() {
            options.inputs.push(argument.into());
        } else {
            let names = TARGETS.each_ref().map(|target| target.name).join(", ");
            bail!("no target and no file: {argument}; targets: {names}\n{USAGE}");
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().collect();
    }
    ensure!(options.inputs.is_empty() || options.targets.len() == 1, "of which target are these inputs?\n{USAGE}");
    Ok(options)
}

fn directories(places: &Places, target: &Target) -> Result<Directories> {
    let at = |what: &str| places.target.join("fuzz").join(what).join(target.name);
    let directories = Directories {
        corpus: places.workspace.join(target.at).join("corpus").join(target.name),
        seeds: at("seeds"),
        found: at("found"),
        broken: at("broken"),
    };
    for directory in [&directories.corpus, &directories.seeds, &directories.found, &directories.broken] {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    Ok(directories)
}

/// Has the tests write the golden rows as inputs.
fn write_seeds(directory: &Path) -> Result<()> {
    let mut command = cargo();
    command.args([
        "test",
        "--locked",
        "--quiet",
        "--package=lb-tests",
        "--test=packets",
        "golden_rows_hold_and_are_seeds",
    ]);
    run(command.env("SLUICE_SEEDS", directory))
}

/// Builds a fuzzer and returns where it lies. With a target named, what cargo runs on the way is built without coverage. Its
/// `Cargo.lock` follows when the workspace's crates come to need others: nobody builds the fuzzers on every change.
fn build(places: &Places, target: &Target) -> Result<PathBuf> {
    let triple = host()?;
    let directory = places.target.join("fuzz");
    let mut command = cargo();
    command.args([
        "build",
        "--locked",
        &format!("--manifest-path={}/Cargo.toml", target.at),
        "--bin",
        target.name,
        "--target",
        &triple,
    ]);
    // Nothing loads the kernel object.
    command.env("SLUICE_EBPF_SKIP", "1");
    run(command.env("CARGO_TARGET_DIR", &directory).env("RUSTFLAGS", COVERAGE.join(" ")))?;
    Ok(directory.join(triple).join("debug").join(target.name))
}

/// What this machine's compiler compiles for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("could not start rustc")?;
    let said = String::from_utf8(output.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn one(fuzzer: &Path, options: &Options, directories: &Directories) -> Result<()> {
    let mut command = Command::new(fuzzer);
    if !options.inputs.is_empty() {
        return run(command.args(&options.inputs));
    }
    command.arg(format!("-artifact_prefix={}/", directories.broken.display()));
    command.arg(format!("-max_total_time={}", options.seconds)).args([LONGEST, "-print_final_stats=1"]);
    command.args([&directories.found, &directories.corpus, &directories.seeds]);
    run(&mut command).with_context(|| {
        format!(
            "what holds of every input did not; the input lies in {} and runs again by `cargo xtask fuzz TARGET INPUT`",
            directories.broken.display()
        )
    })
}

/// Makes the corpus in the repository a small one that reaches all that was reached, however often.
fn keep(fuzzer: &Path, directories: &Directories) -> Result<()> {
    let smaller = directories.found.with_extension("smaller");
    if smaller.exists() {
        fs::remove_dir_all(&smaller)?;
    }
    fs::create_dir_all(&smaller)?;
    let mut command = Command::new(fuzzer);
    command.args(["-set_cover_merge=1", "-use_counters=0", LONGEST]).arg(&smaller);
    command.args([&directories.corpus, &directories.seeds, &directories.found]);
    run(&mut command)?;
    fs::remove_dir_all(&directories.corpus)?;
    fs::create_dir_all(&directories.corpus)?;
    for entry in fs::read_dir(&smaller)? {
        let entry = entry?;
        fs::copy(entry.path(), directories.corpus.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Options> {
        options(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_name_targets_time_and_inputs() {
        let all = Options { targets: TARGETS.iter().collect(), seconds: SECONDS, keep: false, inputs: Vec::new() };
        assert_eq!(of(&[]).unwrap(), all);
        let keep = of(&["packets", "--seconds", "5", "--keep"]).unwrap();
        assert_eq!(keep, Options { targets: vec![&PACKETS], seconds: 5, keep: true, inputs: Vec::new() });
        assert_eq!(of(&["packets", "Cargo.toml"]).unwrap().inputs, [PathBuf::from("Cargo.toml")]);
        for wrong in [&["parsers-of-nothing"][..], &["--seconds"], &["--seconds", "many"]] {
            of(wrong).unwrap_err();
        }
    }

    #[test]
    fn every_target_is_there() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for Target { name, at } in &TARGETS {
            let source = workspace.join(at).join("fuzz_targets").join(name).with_extension("rs");
            assert!(source.is_file(), "{}", source.display());
        }
    }
}
