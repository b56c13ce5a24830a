//! The example files load, and warn of nothing but their placeholder of a key.

use super::parse;
use lb_common::Forward;
use std::{collections::BTreeMap, fs, path::Path};

/// What each example is about.
fn ways() -> BTreeMap<&'static str, Forward> {
    BTreeMap::from([
        ("l4-direct.toml", Forward::Direct),
        ("l4-nat.toml", Forward::Nat),
        ("l4-ipip.toml", Forward::Ipip),
        ("l4-gue.toml", Forward::Gue),
        ("l4-fullnat.toml", Forward::FullNat),
        ("ftp.toml", Forward::Nat),
    ])
}

#[test]
fn every_way_to_forward_has_an_example_that_loads() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let names = fs::read_dir(&directory).expect("examples").map(|entry| entry.expect("an entry").file_name());
    let mut files: Vec<_> = names.map(|name| name.into_string().expect("a name")).collect();
    files.retain(|name| name != "sluice.toml"); // the reference has a test of its own
    files.sort();
    assert!(files.iter().eq(ways().keys()), "{files:?}");
    for (file, forward) in ways() {
        let text = fs::read_to_string(directory.join(file)).expect("an example");
        let loaded = parse(&text).unwrap_or_else(|errors| panic!("{file}:\n{errors}"));
        let warnings: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(warnings, ["without a `hash_key` of your own clients can compute which server they get"], "{file}");
        assert!(loaded.model.kernel_backends().all(|backend| backend.forward == forward), "{file}");
        assert!(loaded.model.needs_kernel(), "{file}");
    }
}
