//! `tidy`: the rules of this repository that no other tool knows. Pure over the text of the files.

mod source;
mod rules;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lb_ebpf_build::Places;

use self::source::Source;

/// One place that breaks a rule.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    /// From the root of the workspace.
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong and what would be right.
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Reads every Rust file of the workspace; fails when a rule is broken. Long files are named, and do not fail.
pub(crate) fn tidy(places: &Places) -> Result<()> {
    let mut sources = Vec::new();
    read(&places.workspace, &places.workspace, &mut sources)?;
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    for long in sources.iter().filter_map(rules::long) {
        eprintln!("warning: {long}");
    }
    let mut problems: Vec<Problem> = sources.iter().flat_map(rules::of_file).collect();
    problems.extend(rules::stops_without_a_case(&sources));
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    if !problems.is_empty() {
        bail!("tidy: {} in {} files", problems.len(), sources.len());
    }
    println!("tidy: {} files, no problem", sources.len());
    Ok(())
}

/// Collects the Rust files below `directory`, without build output and hidden directories.
fn read(workspace: &Path, directory: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                read(workspace, &path, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let relative = path.strip_prefix(workspace).unwrap_or(&path).to_string_lossy();
            sources.push(Source::new(&relative, &text));
        }
    }
    Ok(())
}
