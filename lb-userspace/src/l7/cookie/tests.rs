//! Cookies as they come and go, in each mode.

use super::*;
use crate::l7::{
    message::{Fields, Version},
    tests::model::{backend, cookie},
};
use std::time::Duration;

const NOW: u64 = 1_700_000_000;

/// Three servers: `a`, `b`, and one without a value.
fn persistence(cookie: Cookie) -> Persistence {
    let mut backend = backend("web", (1..=3).map(|port| ([10, 0, 0, 1], port).into()));
    backend.cookie = Some(cookie);
    backend.servers[0].cookie = Some("a".into());
    backend.servers[1].cookie = Some("b".into());
    Persistence::new(&backend).expect("a cookie")
}

fn all() -> Available {
    Available::new([(0, 1), (1, 1), (2, 1)])
}

fn request(lines: &[&str]) -> Request {
    let fields = lines.iter().map(|line| ("Cookie", *line)).collect();
    Request { method: Method::Get, target: "/".into(), version: Version::Http11, fields }
}

fn lines(fields: &Fields) -> Vec<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(name, value)| format!("{}: {}", text(name).to_lowercase(), text(value))).collect()
}

/// Server, letter, and the cookies that the server sees.
fn read(persistence: &Persistence, available: &Available, given: &[&str]) -> (Option<usize>, char, Vec<String>) {
    let mut request = request(given);
    let binding = persistence.read(&mut request, available, NOW);
    (binding.server, char::from(termination::Cookie::from(binding.letter) as u8), lines(&request.fields))
}

/// The letter, and what the client sees of an answer of `server` that has these fields.
fn write(
    persistence: &Persistence,
    given: &[&str],
    server: usize,
    set: &[&str],
    method: &Method,
) -> (char, Vec<String>) {
    let binding = persistence.read(&mut request(given), &all(), NOW);
    let fields = set.iter().map(|line| ("Set-Cookie", *line)).collect();
    let mut response = Response { fields, ..Response::new(200) };
    let letter = persistence.write(&mut response, &binding, server, method, NOW);
    (letter, lines(&response.fields))
}

fn get(persistence: &Persistence, given: &[&str], server: usize, set: &[&str]) -> (char, Vec<String>) {
    write(persistence, given, server, set, &Method::Get)
}

const NONE: [String; 0] = [];

#[test]
fn the_cookie_names_the_server_and_indirect_hides_it() {
    let plain = persistence(cookie(CookieMode::Insert));
    assert_eq!(read(&plain, &all(), &["x=1; SRV=b; y=2"]), (Some(1), 'V', vec!["cookie: x=1; SRV=b; y=2".into()]));
    assert_eq!(read(&plain, &all(), &["srv=b", "XSRV=a"]).1, 'N', "names are compared as they are");
    assert_eq!(read(&plain, &all(), &["SRV=c"]), (None, 'I', vec!["cookie: SRV=c".into()]));
    let hidden = persistence(Cookie { indirect: true, ..cookie(CookieMode::Insert) });
    assert_eq!(read(&hidden, &all(), &["x=1; SRV=b; y=2"]), (Some(1), 'V', vec!["cookie: x=1; y=2".into()]));
    assert_eq!(read(&hidden, &all(), &["SRV=a", "z=3;SRV=b"]), (Some(0), 'V', vec!["cookie: z=3".into()]));
    assert_eq!(read(&hidden, &all(), &["SRV=a"]), (Some(0), 'V', NONE.to_vec()));
}

#[test]
fn a_server_that_is_down_is_left_unless_clients_persist() {
    let plain = persistence(cookie(CookieMode::Insert));
    let others = Available::new([(1, 1), (2, 1)]);
    assert_eq!(read(&plain, &others, &["SRV=a"]).1, 'D');
    assert_eq!(read(&plain, &others, &["SRV=a"]).0, None);
    let persisting = persistence(Cookie { persist: true, ..cookie(CookieMode::Insert) });
    assert_eq!(read(&persisting, &others, &["SRV=a"]), (Some(0), 'D', vec!["cookie: SRV=a".into()]));
    // One that drains, and a backup that is not needed, take no new clients but keep theirs.
    assert_eq!(read(&plain, &others.keeping([0]), &["SRV=a"]).0, Some(0));
}

#[test]
fn insert_tells_the_client_what_it_does_not_know() {
    let plain = persistence(cookie(CookieMode::Insert));
    assert_eq!(
        get(&plain, &[], 0, &["x=1"]),
        ('I', vec!["set-cookie: x=1".into(), "set-cookie: SRV=a; path=/".into()])
    );
    assert_eq!(get(&plain, &["SRV=a"], 0, &[]), ('N', NONE.to_vec()));
    assert_eq!(get(&plain, &["SRV=a"], 1, &[]), ('I', vec!["set-cookie: SRV=b; path=/".into()]), "after a redispatch");
    let gone = "set-cookie: SRV=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/";
    assert_eq!(get(&plain, &["SRV=a"], 2, &[]), ('I', vec![gone.into()]));
    assert_eq!(get(&plain, &["SRV=a"], 0, &["SRV=own; Secure"]), ('D', NONE.to_vec()));
    let full = Cookie { nocache: true, attributes: "; domain=d; Secure".into(), ..cookie(CookieMode::Insert) };
    let set = vec!["set-cookie: SRV=a; path=/; domain=d; Secure".into(), "cache-control: private".into()];
    assert_eq!(get(&persistence(full), &[], 0, &[]), ('I', set));
    let post = persistence(Cookie { postonly: true, ..cookie(CookieMode::Insert) });
    assert_eq!(get(&post, &[], 0, &[]), ('N', NONE.to_vec()));
    assert_eq!(write(&post, &[], 0, &[], &Method::Post).0, 'I');
    let preserve = persistence(Cookie { preserve: true, ..cookie(CookieMode::Insert) });
    assert_eq!(get(&preserve, &[], 0, &["SRV=own"]), ('P', vec!["set-cookie: SRV=own".into()]));
}

#[test]
fn rewrite_and_prefix_use_the_servers_cookie() {
    let rewrite = persistence(cookie(CookieMode::Rewrite));
    assert_eq!(get(&rewrite, &[], 1, &["SRV=own; path=/x"]), ('R', vec!["set-cookie: SRV=b; path=/x".into()]));
    assert_eq!(get(&rewrite, &[], 1, &["x=1"]), ('N', vec!["set-cookie: x=1".into()]));
    assert_eq!(get(&rewrite, &[], 2, &["SRV=own"]), ('P', vec!["set-cookie: SRV=own".into()]));
    let prefix = persistence(cookie(CookieMode::Prefix));
    assert_eq!(get(&prefix, &[], 0, &["SRV=id7; Secure"]), ('R', vec!["set-cookie: SRV=a~id7; Secure".into()]));
    assert_eq!(read(&prefix, &all(), &["SRV=a~id7~8; x=1"]), (Some(0), 'V', vec!["cookie: SRV=id7~8; x=1".into()]));
    assert_eq!(read(&prefix, &all(), &["SRV=a"]), (None, 'I', vec!["cookie: SRV=a".into()]));
}

#[test]
fn dates_are_checked_and_refreshed() {
    let idle = persistence(Cookie { maxidle: Some(Duration::from_secs(100)), ..cookie(CookieMode::Insert) });
    let dated = |ago: u64| format!("SRV=a{}", Dates { last: Some(NOW - ago), first: None });
    let value = |ago| read(&idle, &all(), &[&dated(ago)]);
    assert_eq!((value(100).0, value(100).1), (Some(0), 'V'));
    assert_eq!((value(104).0, value(104).1), (None, 'E'));
    let future = format!("SRV=a{}", Dates { last: Some(NOW + FUTURE + 4), first: None });
    assert_eq!(read(&idle, &all(), &[&future]).1, 'E');
    let fresh = format!("set-cookie: {}; path=/", dated(0));
    assert_eq!(get(&idle, &[&dated(8)], 0, &[]), ('U', vec![fresh.clone()]));
    assert_eq!(get(&idle, &[&dated(0)], 0, &[]), ('N', NONE.to_vec()), "it is of now");
    assert_eq!(get(&idle, &["SRV=a"], 0, &[]), ('U', vec![fresh]), "it had no date");
    let life = persistence(Cookie { maxlife: Some(Duration::from_secs(1000)), ..cookie(CookieMode::Insert) });
    let born = |ago: u64| format!("SRV=a{}", Dates { last: Some(NOW - 8), first: Some(NOW - ago) });
    assert_eq!(read(&life, &all(), &[&born(1000)]).1, 'V');
    assert_eq!(read(&life, &all(), &[&born(1004)]).1, 'O');
    let kept = format!("set-cookie: SRV=a{}; path=/", Dates { last: Some(NOW), first: Some(NOW - 400) });
    assert_eq!(get(&life, &[&born(400)], 0, &[]), ('U', vec![kept]), "it keeps its day of birth");
}
