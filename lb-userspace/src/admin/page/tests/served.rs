//! The page over real sockets: who sees it, who may act, and what it costs.

use super::*;
use crate::admin::{
    page::guard,
    protocol::{Answer, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
};
use tokio::{
    sync::mpsc,
    task::{LocalSet, spawn_local},
    time::Instant,
};

/// A daemon with that page, for as long as the client lives that is told where it is. How often it was looked at, what was said to
/// it, and what the client says.
fn with_page<T: Send + 'static>(
    change: impl FnOnce(&mut StatsPage),
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> (usize, Vec<String>, T) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut page = page(&["alice"]);
    page.binds = vec![address];
    change(&mut page);
    let client = std::thread::spawn(move || client(address));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (looks, said) = LocalSet::new().block_on(&runtime, async {
        let (looks, mut looks_in) = mpsc::channel::<Look>(1);
        let (requests, mut requests_in) = mpsc::channel(1);
        let desk = Rc::new(Desk::new(looks, requests));
        desk.configure(&[page]);
        spawn_local(serve(listener, address, desk));
        let (mut count, mut said) = (0, Vec::new());
        while !client.is_finished() {
            tokio::select! {
                Some(look) = looks_in.recv() => {
                    count += 1;
                    look.send(seen("")).unwrap_or_default();
                }
                Some(asked) = requests_in.recv() => {
                    let crate::admin::socket::Asked { request, answer } = asked;
                    let Request::Runtime { words, .. } = request else { panic!("{request:?}") };
                    let known = words.iter().any(|word| word == "web/web1");
                    said.push(words.join(" "));
                    let is = if known { Answer::Ok("".into()) } else { Answer::Error("No such server.".to_owned()) };
                    answer.send(is).unwrap_or_default();
                }
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        (count, said)
    });
    (looks, said, client.join().unwrap())
}

/// What is answered to that request.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn basic(name: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{name}:{password}")))
}

fn get(address: SocketAddr, target: &str, fields: &str) -> String {
    ask(address, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n"))
}

fn post(address: SocketAddr, fields: &str, form: &str) -> String {
    let length = form.len();
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    ask(
        address,
        &format!("POST /stats;up HTTP/1.1\r\nHost: {address}\r\n{kind}Content-Length: {length}\r\n{fields}\r\n{form}"),
    )
}

fn token() -> String {
    format!("token={}&", guard::token("ops", "alice").unwrap())
}

#[test]
fn a_page_is_for_those_who_know_the_password() {
    let (looks, _, (answers, took)) = with_page(
        |_| {},
        |address| {
            let begun = Instant::now();
            let wrong = [basic("alice", "wrong"), basic("bob", "bob"), "Authorization: Basic %\r\n".to_owned()];
            let mut answers = vec![get(address, "/stats", "")];
            answers.extend(wrong.iter().map(|field| get(address, "/stats", field)));
            answers.push(get(address, "/elsewhere", ""));
            let took = begun.elapsed();
            answers.push(get(address, "/stats", &basic("alice", "ecila")));
            answers.push(get(address, "/elsewhere", &basic("alice", "ecila")));
            (answers, took)
        },
    );
    let [refused @ .., page, elsewhere] = answers.as_slice() else { panic!() };
    for answer in refused {
        assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
        assert!(
            answer.contains("www-authenticate: Basic realm=\"Sluice\"\r\n") && !answer.contains("web1"),
            "{answer}"
        );
    }
    assert!(took >= Duration::from_millis(900), "each wrong one costs its time: {took:?}");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("web1"), "{page}");
    for field in [
        "refresh: 10\r\n",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-frame-options: DENY\r\n",
        "cache-control: no-store\r\n",
        "content-type: text/html; charset=utf-8\r\n",
    ] {
        assert!(page.contains(field), "{field} is not in {page}");
    }
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    assert_eq!(looks, 1, "who may not see it costs the daemon nothing");
}

#[test]
fn tools_get_haproxys_forms() {
    let (.., answers) = with_page(
        |page| page.users.users.clear(),
        |address| ["/stats;csv", "/stats/;csv;norefresh", "/stats;json", "/stats;typed"].map(|it| get(address, it, "")),
    );
    let [csv, telegraf, json, typed] = answers;
    for csv in [csv, telegraf] {
        assert!(csv.contains("content-type: text/plain\r\n") && csv.contains("\r\n\r\n# pxname,svname,qcur"), "{csv}");
        assert!(!csv.contains("refresh:"), "{csv}");
    }
    assert!(json.contains("application/json") && json.contains("\"objType\":\"Server\""), "{json}");
    assert!(typed.contains("S.2.1.0.pxname.1:KNS:str:web\n"), "{typed}");
}

#[test]
fn who_has_the_page_acts_once_and_comes_back_to_it() {
    let (_, said, answers) = with_page(
        |_| {},
        |address| {
            let alice = basic("alice", "ecila");
            let here = format!("{alice}Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n");
            let form = |rest: &str| token() + rest;
            [
                post(address, &here, &form("b=web&s=web1&action=drain")),
                post(address, &here, &form("b=web&s=web1&s=web9&action=maint")),
                post(address, &here, &form("b=web&s=web9&action=maint")),
                post(address, &here, &form("b=web&action=maint")),
                post(address, &alice, &form(&format!("b=web&s=web1&action=ready&x={}", "x".repeat(1 << 17)))),
            ]
        },
    );
    for (answer, outcome) in answers.iter().zip(["DONE", "PART", "ERRP", "NONE", "EXCD"]) {
        assert!(answer.starts_with("HTTP/1.1 303 See Other\r\n"), "{answer}");
        assert!(answer.contains(&format!("location: /stats;up;st={outcome}\r\n")), "{answer}");
    }
    let expected = [
        "set server web/web1 state drain",
        "set server web/web1 state maint",
        "set server web/web9 state maint",
        "set server web/web9 state maint",
    ];
    assert_eq!(said, expected);
}

#[test]
fn nobody_else_acts() {
    let (_, said, answers) = with_page(
        |_| {},
        |address| {
            let alice = basic("alice", "ecila");
            let with = |field: &str| format!("{alice}{field}");
            let acts = "b=web&s=web1&action=maint";
            let good = token() + acts;
            vec![
                post(address, "", &good),
                post(address, &basic("alice", "wrong"), &good),
                post(address, &alice, acts),
                post(address, &alice, &format!("token=AAAA&{acts}")),
                post(address, &with("Origin: http://evil.example\r\n"), &good),
                post(address, &with("Origin: null\r\n"), &good),
                post(address, &with("Sec-Fetch-Site: cross-site\r\n"), &good),
                get(address, &format!("/stats?{good}"), &alice),
                ask(address, &format!("PUT /stats HTTP/1.1\r\nHost: {address}\r\n{alice}\r\n")),
                ask(
                    address,
                    &format!(
                        "POST /stats HTTP/1.1\r\nHost: {address}\r\n{alice}Content-Type: text/plain\r\n\
                         Content-Length: {}\r\n\r\n{good}",
                        good.len()
                    ),
                ),
            ]
        },
    );
    let statuses: Vec<_> = answers.iter().filter_map(|answer| answer.split(' ').nth(1)).collect();
    assert_eq!(statuses, ["401", "401", "403", "403", "403", "403", "403", "200", "405", "415"]);
    assert_eq!(said, [""; 0]);
}

#[test]
fn on_a_page_without_admin_there_is_nothing_to_press_and_nothing_is_done() {
    let (_, said, (page, answer)) = with_page(
        |page| page.admin = false,
        |address| {
            let alice = basic("alice", "ecila");
            let page = get(address, "/stats", &alice);
            (page, post(address, &alice, &(token() + "b=web&s=web1&action=maint")))
        },
    );
    assert!(!page.contains("<button") && !page.contains("<form method=\"post\""), "{page}");
    assert!(answer.starts_with("HTTP/1.1 403 ") && said.is_empty(), "{answer}");
}

#[test]
fn a_storm_of_readers_asks_the_daemon_once_a_second_and_an_action_is_seen_at_once() {
    let (looks, said, took) = with_page(
        |_| {},
        |address| {
            let (alice, begun) = (basic("alice", "ecila"), Instant::now());
            for _ in 0..40 {
                assert!(get(address, "/stats", &alice).starts_with("HTTP/1.1 200 "));
            }
            let took = begun.elapsed();
            post(address, &alice, &(token() + "b=web&s=web1&action=maint"));
            get(address, "/stats", &alice);
            took
        },
    );
    assert!(looks as u64 <= took.as_secs() + 2, "{looks} in {took:?}");
    assert!(looks >= 2 && said.len() == 1, "{looks}");
}

#[test]
fn silent_clients_and_long_headers_do_not_keep_others_out() {
    let (.., answers) = with_page(
        |page| page.users.users.clear(),
        |address| {
            let silent: Vec<_> = (0..15).map(|_| TcpStream::connect(address).unwrap()).collect();
            let mut endless = TcpStream::connect(address).unwrap();
            let parts = std::iter::repeat_n([b'a'; 4_096], 64);
            endless.write_all(b"GET /stats HTTP/1.1\r\nX: ").unwrap();
            // It may be cut off while we write.
            parts.into_iter().for_each(|part| endless.write_all(&part).unwrap_or_default());
            let mut cut = String::new();
            endless.read_to_string(&mut cut).map(|_| ()).unwrap_or_default();
            let answer = get(address, "/stats", "");
            drop(silent);
            (cut, answer)
        },
    );
    assert!(!answers.0.starts_with("HTTP/1.1 200"), "{}", answers.0);
    assert!(answers.1.starts_with("HTTP/1.1 200"), "{}", answers.1);
}
