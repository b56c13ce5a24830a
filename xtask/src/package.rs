//! `package`: the Debian package, made of the release build and of what lies in `lb-userspace/package`.
//!
//! The same source makes the same bytes: times are those of `SOURCE_DATE_EPOCH`, or of the last commit.

mod contents;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use lb_ebpf_build::Places;

use self::contents::Tree;
use crate::run::{cargo, run_aside};
use crate::setup;

/// How the package was asked for.
struct Wanted {
    /// A debug build, compressed in haste: for tests.
    debug: bool,
    /// A binary that is there, instead of one that is built.
    binary: Option<PathBuf>,
    /// Another version than that of the workspace.
    version: Option<String>,
    /// The directory of the package; default: `debian` in the target directory.
    to: Option<PathBuf>,
}

impl Wanted {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut wanted = Self { debug: false, binary: None, version: None, to: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} what?"));
            match argument.as_str() {
                "--debug" => wanted.debug = true,
                "--binary" => wanted.binary = Some(value()?.into()),
                "--version" => wanted.version = Some(value()?.clone()),
                "--to" => wanted.to = Some(value()?.into()),
                unknown => {
                    bail!("`package` knows --debug, --binary FILE, --version V, --to DIRECTORY; not `{unknown}`")
                }
            }
        }
        Ok(wanted)
    }
}

/// Builds the package and prints where it is.
pub(crate) fn package(places: &Places, arguments: &[String]) -> Result<()> {
    let wanted = Wanted::parse(arguments)?;
    setup::prepare_packaging()?;
    let binary = match &wanted.binary {
        Some(binary) => binary.clone(),
        None => build(places, wanted.debug)?,
    };
    let epoch = epoch()?;
    let version = wanted.version.map_or_else(|| version(places), Ok)?;
    let architecture = said(Command::new("dpkg").arg("--print-architecture"))?;
    let directory = wanted.to.unwrap_or_else(|| places.target.join("debian"));
    let name = format!("sluice_{version}_{architecture}");
    let tree = Tree { root: directory.join(&name), version, architecture, epoch };
    tree.fill(&binary)?;
    let package = directory.join(format!("{name}.deb"));
    let compression: &[&str] = if wanted.debug { &["-Zgzip", "-z1"] } else { &["-Zxz"] };
    run_aside(
        Command::new("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", &tree.epoch)
            .args(["--root-owner-group"])
            .args(compression)
            .arg("--build")
            .args([&tree.root, &package]),
    )?;
    fs::remove_dir_all(&tree.root)?;
    println!("{}", package.display());
    Ok(())
}

fn build(places: &Places, debug: bool) -> Result<PathBuf> {
    let profile = if debug { "dev" } else { "release" };
    run_aside(cargo().args(["build", "--locked", "--package=lb-userspace", "--bin=sluice", "--profile", profile]))?;
    Ok(places.target.join(if debug { "debug" } else { "release" }).join("sluice"))
}

/// Seconds since 1970, as text.
fn epoch() -> Result<String> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => Ok(epoch),
        Err(_unset) => said(Command::new("git").args(["log", "-1", "--format=%ct"]))
            .context("no commit tells the time of this source; set SOURCE_DATE_EPOCH"),
    }
}

/// That of the workspace, which is that of the binary.
fn version(places: &Places) -> Result<String> {
    let manifest = fs::read_to_string(places.workspace.join("Cargo.toml"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(line.context("Cargo.toml names no version")?.to_owned())
}

/// What a command says, without the end of its line.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Compresses a file in place, without name and time.
fn gzip(file: &Path) -> Result<()> {
    said(Command::new("gzip").args(["-9", "--no-name", "--force"]).arg(file)).map(drop)
}
