//! What the operator gets: models, or errors word for word.

mod agents;
mod balance;
mod bundle;
mod check_types;
mod checks;
mod checks_exec;
mod checks_sql;
mod checks_web;
mod cookie;
mod error_files;
mod examples;
mod forward;
mod hosts;
mod kernel;
mod limits;
mod lint;
mod logs;
mod model;
mod quorums;
mod rules;
mod schema;
mod stats_pages;
mod stats_sockets;
mod syntax;
mod told;
mod tls;
mod traffic;
mod values;
mod vips;

use super::{Bundle, ConfigFile, Diagnostics, Format, Loaded, PemFile, load, parse};
use crate::model::{Model, Secret};
use std::collections::BTreeMap;

/// `text` is refused with exactly the errors `expected`.
fn assert_errors(text: &str, expected: &str) {
    match parse(text) {
        Ok(loaded) => panic!("no error, but {loaded:?}"),
        Err(errors) => assert_eq!(errors.render(Format::Full), expected, "got:\n{errors}"),
    }
}

/// `text` is accepted with exactly the warnings `expected`.
fn assert_warnings(text: &str, expected: &str) {
    let warnings = parse(text).expect("a configuration that can be used").warnings;
    assert_eq!(warnings.render(Format::Full), expected, "got:\n{warnings}");
}

/// An `l4` frontend with these keys, and the backend `b` with these.
fn l4(frontend: &str, backend: &str) -> String {
    format!(
        "[global]\ninterfaces = \"eth0\"\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n\n[frontend.a]\nmode = \"l4\"\n{frontend}\ndefault_backend = \"b\"\n\n[backend.b]\n{backend}\n"
    )
}

/// The errors or warnings of `text`, one a line, without their places.
fn said(text: &str) -> Vec<String> {
    let found = parse(text).map_or_else(|errors| errors, |loaded| loaded.warnings);
    found.iter().map(|diagnostic| diagnostic.message.clone()).collect()
}

/// `text` with a certificate in the directory of that name, and what else `add` puts beside it.
fn certified(text: &str, directory: &str, add: impl FnOnce(&mut Bundle)) -> Result<Loaded, Diagnostics> {
    let certified = rcgen::generate_simple_self_signed(["www.example.com".to_owned()]).expect("a certificate");
    let pem = certified.cert.pem() + &certified.signing_key.serialize_pem();
    let file = PemFile { path: format!("{directory}/www.pem"), pem: Secret::new(pem), staple: None };
    let certificates = BTreeMap::from([(directory.to_owned(), Ok(vec![file]))]);
    let files = vec![ConfigFile { path: "sluice.toml".to_owned(), text: text.to_owned() }];
    let mut bundle = Bundle { files, certificates, ..Bundle::default() };
    add(&mut bundle);
    load(&bundle)
}

fn model(text: &str) -> Model {
    parse(text).expect("a configuration that can be used").model
}
