//! `sluice import`: a configuration of ours from one of HAProxy's.

use super::{complain, print};
use crate::import::{self, Effect, Source};
use anyhow::Context as _;
use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// More than any configuration has: what is larger is something else.
const MOST: u64 = 64 << 20;

/// 0: all of it was carried over; 1: there are differences; 2: it could not be read or written.
pub(super) fn run(files: &[PathBuf], output: Option<&Path>) -> ExitCode {
    match convert(files, output) {
        Ok(whole) => ExitCode::from(u8::from(!whole)),
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Whether all of it was carried over.
fn convert(files: &[PathBuf], output: Option<&Path>) -> anyhow::Result<bool> {
    let sources = files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let imported = import::import(&sources);
    match output {
        Some(path) => write(path, &imported.text).with_context(|| format!("cannot write {}", path.display()))?,
        None => print(&imported.text)?,
    }
    for difference in &imported.differences {
        complain(&difference.to_string());
    }
    let count = |wanted: Effect| imported.differences.iter().filter(|found| found.effect == wanted).count();
    let (lost, changed, notes) = (count(Effect::Lost), count(Effect::Changed), count(Effect::Note));
    complain(&format!("{lost} not carried over, {changed} changed, {notes} notes"));
    Ok(imported.is_whole())
}

/// `-` is standard input.
fn read(path: &Path) -> anyhow::Result<Source> {
    let named = path.display().to_string();
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(MOST).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {named}"))?;
    Ok(Source { path: named, text })
}

/// It may have passwords. What is there already is not written over.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}
