//! The example files load, and warn of nothing but their placeholder of a key.

use super::{certified, parse};
use crate::config::Loaded;
use lb_common::Forward;
use std::{collections::BTreeMap, fs, path::Path};

/// What each example of the kernel half is about.
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

/// The examples of the proxy. Each is driven with real traffic by the tests over the network.
const PROXIED: [&str; 6] =
    ["databases.toml", "ftp-proxied.toml", "reload.toml", "routing.toml", "tls-passthrough.toml", "web.toml"];

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"))
}

fn read(file: &str) -> String {
    fs::read_to_string(directory().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn warnings(loaded: &Loaded) -> Vec<&str> {
    loaded.warnings.iter().map(|warning| warning.message.as_str()).collect()
}

#[test]
fn every_example_is_tested() {
    let names = fs::read_dir(directory()).expect("examples").map(|entry| entry.expect("an entry").file_name());
    let mut files: Vec<_> = names.map(|name| name.into_string().expect("a name")).collect();
    files.retain(|name| Path::new(name).extension().is_some_and(|ending| ending == "toml"));
    // The reference has a test of its own, and so has what is about the proxy alone.
    files.retain(|name| !["sluice.toml", "overload.toml"].contains(&name.as_str()));
    files.sort();
    let mut tested: Vec<_> = ways().into_keys().chain(PROXIED).collect();
    tested.sort_unstable();
    assert_eq!(files, tested);
}

#[test]
fn every_way_to_forward_has_an_example_that_loads() {
    for (file, forward) in ways() {
        let loaded = parse(&read(file)).unwrap_or_else(|errors| panic!("{file}:\n{errors}"));
        let expected = ["without a `hash_key` of your own clients can compute which server they get"];
        assert_eq!(warnings(&loaded), expected, "{file}");
        assert!(loaded.model.kernel_backends().all(|backend| backend.forward == forward), "{file}");
        assert!(loaded.model.needs_kernel(), "{file}");
    }
}

/// What keepalived makes of its files, the tests over the network find out.
#[test]
fn what_keepalived_asks_of_and_moves_is_what_the_example_beside_it_has() {
    let loaded = parse(&read("keepalived/sluice.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let expected = ["without a `hash_key` of your own clients can compute which server they get"];
    assert_eq!(warnings(&loaded), expected);
    let frontends = &loaded.model.frontends;
    for file in ["keepalived/active-standby.conf", "keepalived/active-active.conf"] {
        let text = read(file);
        let scripts = text.lines().filter_map(|line| line.trim().strip_prefix("script \"")?.strip_suffix('"'));
        for name in scripts.flat_map(|script| script.split(" --frontend ").skip(1)) {
            assert!(frontends.iter().any(|frontend| frontend.name == name), "{file}: {name}");
        }
        for bind in frontends.iter().flat_map(|frontend| &frontend.binds) {
            let (ip, length) = (bind.address.ip(), if bind.address.is_ipv4() { 32 } else { 128 });
            assert!(text.contains(&format!("\n        {ip}/{length} dev eth0\n")), "{file}: {ip}");
        }
    }
}

#[test]
fn the_examples_of_the_proxy_load_without_a_word() {
    for file in PROXIED {
        let loaded =
            certified(&read(file), "/etc/sluice/certs", |_| ()).unwrap_or_else(|errors| panic!("{file}:\n{errors}"));
        assert_eq!(warnings(&loaded), [""; 0], "{file}");
        assert!(!loaded.model.needs_kernel(), "{file}");
    }
}
