//! Each rule fires where it is meant to, and only there.

use super::*;

fn messages(path: &str, code: &str) -> Vec<String> {
    let text = format!("//! Heading.\n{code}");
    of_file(&Source::new(path, &text)).iter().map(ToString::to_string).collect()
}

fn clean(path: &str, code: &str) {
    assert_eq!(messages(path, code), Vec::<String>::new());
}

fn broken(path: &str, code: &str, expected: &str) {
    let messages = messages(path, code);
    assert!(messages.len() == 1 && messages[0].contains(expected), "{messages:?} is not one about {expected:?}");
}

#[test]
fn a_file_begins_with_what_it_is() {
    let problems = of_file(&Source::new("a.rs", "use std::fmt;\n"));
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].line, 1);
}

#[test]
fn names_that_say_nothing_are_refused() {
    broken("lb-userspace/src/utils.rs", "", "utils");
    broken("lb-userspace/src/l7/mod.rs", "", "mod");
    clean("lb-userspace/src/model.rs", "");
}

#[test]
fn our_own_names_use_our_words() {
    broken("a.rs", "struct UpstreamList;", "backend");
    broken("a.rs", "let session_count = 1;", "flow");
    broken("a.rs", "fn clusters() {}", "backend");
    broken("a.rs", "let x = REAL_SERVERS;", "server");
    clean("a.rs", "// a session\nlet realm = \"cluster\"; let surreal = 1;");
}

#[test]
fn names_of_other_crates_are_theirs() {
    clean("a.rs", "use foreign::SessionStore;\nlet x = foreign::session(); x.session_storage = y;");
    clean("lb-userspace/src/l7/tls/resume.rs", "let session_cache = 1;");
}

#[test]
fn aya_toml_and_rustls_are_named_in_one_place_each() {
    broken("lb-userspace/src/plan/diff.rs", "use aya::Ebpf;", "only lb-userspace/src/dataplane names aya");
    broken("lb-userspace/src/l7.rs", "fn f(x: toml::Value) {}", "config");
    broken("lb-userspace/src/l7/http.rs", "use rustls::ServerConfig;", "l7/tls");
    broken("lb-userspace/src/config.rs", "use tokio_rustls::TlsAcceptor;", "l7/tls");
    clean("lb-userspace/src/dataplane/load.rs", "use aya::Ebpf;");
    clean("lb-userspace/src/config/file.rs", "use toml::Spanned;");
    clean("lb-userspace/src/l7/tls.rs", "use rustls::ServerConfig;");
    clean("tests/harness/lib.rs", "use aya::Ebpf;");
    clean("lb-userspace/src/l7.rs", "fn f(toml: u8) { let aya = toml; }\n#[cfg(test)]\nmod tests { use toml::Value; }");
}

#[test]
fn the_plan_is_pure() {
    for code in ["use std::fs;", "use tokio::net;", "let t = Instant::now();", "use std::{fmt, io};"] {
        broken("lb-userspace/src/plan/tables.rs", code, "clock");
    }
    clean("lb-userspace/src/plan/tables.rs", "use std::net::Ipv4Addr;\nfn f(now: Instant) -> Instant { now }");
}

#[test]
fn the_proxy_does_not_know_the_dataplane() {
    broken("lb-userspace/src/l7/http.rs", "use crate::dataplane::writer;", "maps");
    clean("lb-userspace/src/plan.rs", "use crate::dataplane::writer;");
}

#[test]
fn what_is_to_be_done_later_is_not_in_the_code() {
    broken("a.rs", "// TODO: faster", "do it");
    clean("a.rs", "const TODO: &str = \"TODO\";");
}

#[test]
fn every_stop_has_a_case() {
    let stop = Source::new("lb-common/src/stop.rs", "enum Stop {\n    NotIpv4 = 0,\n    Fragment = 7,\n}\n");
    let cases = Source::new("tests/cases/stops.rs", "expect: Stop::NotIpv4, // Stop::Fragment");
    let elsewhere = Source::new("lb-ebpf/src/parse.rs", "return Err(Stop::Fragment)");
    let problems = stops_without_a_case(&[stop, cases, elsewhere]);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].line, 3);
    assert!(problems[0].message.contains("Fragment"));
}

#[test]
fn only_long_files_are_called_long() {
    assert!(long(&Source::new("a.rs", &"\n".repeat(LONG))).is_none());
    assert!(long(&Source::new("a.rs", &"\n".repeat(LONG + 1))).is_some());
}
