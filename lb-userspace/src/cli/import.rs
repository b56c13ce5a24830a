//! `sluice import`: a configuration of ours from one of HAProxy's.

use super::{complain, print};
use crate::{
    exit::Exit,
    import::{self, Effect, Source},
};
use anyhow::Context as _;
use serde_json::json;
use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// More than any configuration has: what is larger is something else.
const MOST: u64 = 64 << 20;

pub(super) fn run(files: &[PathBuf], output: Option<&Path>, json: bool) -> ExitCode {
    let exit = match convert(files, output, json) {
        Ok(true) => Exit::Whole,
        Ok(false) => Exit::Differs,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            Exit::Unwritten
        }
    };
    exit.into()
}

/// Whether all of it was carried over.
fn convert(files: &[PathBuf], output: Option<&Path>, json: bool) -> anyhow::Result<bool> {
    let sources = files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let imported = import::import(&sources);
    if let Some(path) = output {
        write(path, &imported.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if json {
        let text = output.is_none().then_some(&imported.text);
        let report =
            json!({ "whole": imported.is_whole(), "differences": imported.differences, "configuration": text });
        print(&serde_json::to_string_pretty(&report)?)?;
        return Ok(imported.is_whole());
    }
    if output.is_none() {
        print(&imported.text)?;
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
