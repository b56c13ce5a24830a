//! The reference in `docs/reference` and the schema beside it, made of what the code says: `cargo xtask reference` writes them, and
//! the test here fails where they lag behind.

mod commands;
mod errors;
mod events;
mod json;
mod markdown;
mod metrics;
mod options;
mod reasons;
mod runtime;
mod source;

use crate::config::schema::schema;
use std::{env, fmt::Write as _, fs, path::Path};

/// Set by `cargo xtask reference`: write, do not complain.
const WRITE: &str = "SLUICE_REFERENCE";

/// A page below `docs/reference`: its name, what it has, and its text.
type Page = (&'static str, &'static str, String);

fn pages() -> [Page; 8] {
    [
        ("options.md", "every key of the configuration", options::page()),
        ("errors.md", "what is said of a configuration that is wrong", errors::page()),
        ("commands.md", "every command, its options and its exit statuses", commands::page()),
        ("json.md", "what commands print with `--json`", json::page()),
        ("runtime-api.md", "what may be said on the control socket", runtime::page()),
        ("metrics.md", "what `/metrics` has", metrics::page()),
        ("reasons.md", "why packets leave the kernel half early", reasons::page()),
        ("events.md", "what the event log and `sluice events` say", events::page()),
    ]
}

/// Below `docs`: the files, and what is in them.
fn files() -> Vec<(String, String)> {
    let mut index =
        "# Reference\n\nMade by `cargo xtask reference` of what the code says; changes here are lost.\n\n".to_owned();
    let mut files = Vec::new();
    for (name, about, text) in pages() {
        _ = writeln!(index, "- [{name}]({name}): {about}");
        files.push((format!("reference/{name}"), text));
    }
    index += "\n[sluice.schema.json](../sluice.schema.json) has the options for editors; `sluice schema` prints it as well.\n";
    files.push(("reference/README.md".to_owned(), index));
    files.push(("sluice.schema.json".to_owned(), serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
    files
}

#[test]
fn what_is_in_docs_is_what_the_code_says() {
    let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"));
    fs::create_dir_all(docs.join("reference")).unwrap();
    let files = files();
    if env::var_os(WRITE).is_some() {
        for (name, text) in &files {
            fs::write(docs.join(name), text).unwrap();
        }
    }
    for (name, text) in &files {
        let there = fs::read_to_string(docs.join(name)).unwrap_or_default();
        let line = there.lines().zip(text.lines()).position(|(old, new)| old != new).map_or(0, |line| line + 1);
        assert!(there == *text, "{name} lags behind the code from line {line} on: run `cargo xtask reference`");
    }
    for entry in fs::read_dir(docs.join("reference")).unwrap() {
        let name = format!("reference/{}", entry.unwrap().file_name().into_string().unwrap());
        assert!(files.iter().any(|(known, _)| *known == name), "{name} is of nobody");
    }
}
