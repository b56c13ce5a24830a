//! `sluice check`: a configuration and all its errors, without running it.

use super::{complain, format_for_people, preflight, print};
use crate::{
    config::{self, Diagnostics, Format},
    exit::Exit,
    model::Model,
    servers::Registry,
};
use serde::Serialize;
use std::{path::Path, process::ExitCode};

/// How it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// One line an error.
    pub(super) short: bool,
    /// All of it as JSON, on standard output.
    pub(super) json: bool,
    /// Look at this machine as well.
    pub(super) host: bool,
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether the configuration can be used.
    valid: bool,
    /// How many it has; 0, if it cannot be used.
    frontends: usize,
    /// Likewise.
    backends: usize,
    /// Likewise, of all backends.
    servers: usize,
    /// Errors; or warnings and notes.
    found: Vec<Found>,
    /// With `--host`: what this machine lacks, a line each.
    host: Vec<String>,
}

/// One error, warning or note.
#[derive(Debug, Serialize)]
struct Found {
    /// `error`, `warning` or `note`.
    severity: &'static str,
    /// The file; `null`: it is about no place in particular.
    file: Option<String>,
    /// From 1.
    line: Option<usize>,
    /// From 1, in characters.
    column: Option<usize>,
    /// What is wrong, or could be better.
    message: String,
    /// What to do about it.
    help: Option<String>,
}

pub(super) fn run(path: &Path, manner: Manner) -> anyhow::Result<ExitCode> {
    let format = if manner.short { Format::Short } else { format_for_people() };
    let bundle = config::collect(path)?;
    let loaded = match config::load(&bundle) {
        Ok(loaded) => loaded,
        Err(errors) if manner.json => {
            print_json(&Report { found: found(&errors), ..Report::default() })?;
            return Ok(Exit::Faulty.into());
        }
        Err(errors) => {
            complain(&errors.render(format));
            return Ok(Exit::Faulty.into());
        }
    };
    Registry::default().update(&loaded.model)?;
    let host = if manner.host { preflight::found(&loaded.model)? } else { Vec::new() };
    let host: Vec<_> = host.iter().map(ToString::to_string).collect();
    let Model { frontends, backends, .. } = &loaded.model;
    let (frontends, servers) = (frontends.len(), backends.iter().map(|backend| backend.servers.len()).sum());
    let backends = backends.len();
    if manner.json {
        let found = [&loaded.warnings, &loaded.notes].into_iter().flat_map(found).collect();
        print_json(&Report { valid: true, frontends, backends, servers, found, host })?;
    } else {
        complain(&loaded.warnings.render(format));
        complain(&loaded.notes.render(format));
        complain(&host.iter().flat_map(|finding| [finding, "\n"]).collect::<String>());
        print(&format!("{}: {frontends} frontends, {backends} backends, {servers} servers", path.display()))?;
    }
    Ok(Exit::Fine.into())
}

fn print_json(report: &Report) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(report)?)
}

fn found(diagnostics: &Diagnostics) -> Vec<Found> {
    let one = |diagnostic: &config::Diagnostic| {
        let place = diagnostics.place(diagnostic);
        Found {
            severity: diagnostic.severity.word(),
            file: place.map(|(file, _)| file.to_owned()),
            line: place.map(|(_, at)| at.line),
            column: place.map(|(_, at)| at.column),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    };
    diagnostics.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told_with_its_place() {
        let errors = config::parse("[global]\nthreads = 0\nthread = 1\n").unwrap_err();
        let found = serde_json::to_value(found(&errors)).unwrap();
        let threads = found.as_array().unwrap().iter().find(|one| one["line"] == 2).unwrap();
        assert_eq!(threads["severity"], "error");
        assert_eq!((&threads["file"], &threads["column"]), (&"sluice.toml".into(), &11.into()));
        assert_eq!(threads["message"], "`threads` must be from 1 to 1024");
        let unknown = found.as_array().unwrap().iter().find(|one| one["line"] == 3).unwrap();
        assert_eq!(unknown["help"], "did you mean `threads`?");
    }
}
