//! `balance = "hash …"`: what has the same key meets at one server.

use super::{
    model::backend,
    origin::Origin,
    proxy::{Proxy, read_to_end},
};
use crate::{
    config,
    model::{Backend, Frontend, FrontendKind, Model},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};
use tokio::{io::AsyncWriteExt as _, net::TcpSocket};

/// What serves the frontend of a configuration with these lines, in front of five servers that say who they are.
async fn proxy(mode: &str, frontend: &str, balance: &str) -> Proxy {
    let text = format!(
        "[frontend.www]\nmode = \"{mode}\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n{frontend}\n\
         [backend.web]\nbalance = \"{balance}\"\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
    );
    let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(config::Format::Short)));
    let Model { frontends, backends, .. } = loaded.model;
    let (Some(Frontend { kind, .. }), Some(Backend { balance, .. })) =
        (frontends.into_iter().next(), backends.into_iter().next())
    else {
        panic!("a frontend and a backend")
    };
    let mut addresses = Vec::new();
    for name in ["0", "1", "2", "3", "4"] {
        addresses.push(Origin::named(name).await.address);
    }
    Proxy::with(kind, vec![Backend { balance, ..backend("web", addresses) }], |_| ())
}

/// The server that answers to a request with these fields, sent from that address.
async fn server(proxy: &Proxy, source: &str, fields: &str) -> char {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind(SocketAddr::new(source.parse().expect("address"), 0)).expect("bind");
    let mut client = socket.connect(proxy.address).await.expect("connect");
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("write");
    let relayed = matches!(proxy.model.frontends[0].kind, FrontendKind::Tcp(_));
    if relayed {
        client.shutdown().await.expect("shutdown");
    }
    let answer = read_to_end(&mut client).await;
    answer.chars().last().unwrap_or_else(|| panic!("no answer from {source} to {request:?}"))
}

#[tokio::test]
async fn requests_with_one_cookie_meet_and_those_without_take_turns() {
    let proxy = proxy("http", "", "hash req.cook(user),lower").await;
    let mut servers = BTreeMap::new();
    for round in 0..3 {
        for user in 0..20 {
            let name = if round == 1 { "User" } else { "uSER" };
            let server = server(&proxy, "127.0.0.1", &format!("Cookie: a=b; user={name}{user}\r\n")).await;
            assert_eq!(*servers.entry(user).or_insert(server), server, "user {user}");
        }
    }
    assert_eq!(servers.into_values().collect::<BTreeSet<_>>().len(), 5);
    let mut turns = Vec::new();
    for _ in 0..10 {
        turns.push(server(&proxy, "127.0.0.1", "").await);
    }
    assert!(turns[..5].iter().collect::<BTreeSet<_>>().len() == 5 && turns[..5] == turns[5..], "{turns:?}");
}

#[tokio::test]
async fn what_a_rule_has_kept_is_a_key() {
    let rule = "rule = [{ set_var = { name = \"txn.key\", value = \"req.hdr(x-key),field(1,-)\" } }]";
    let proxy = proxy("http", rule, "hash var(txn.key)").await;
    let mut servers = BTreeSet::new();
    for key in 0..15 {
        let one = server(&proxy, "127.0.0.1", &format!("X-Key: {key}-a\r\n")).await;
        let other = server(&proxy, "127.0.0.1", &format!("X-Key: {key}-b\r\n")).await;
        assert_eq!(one, other, "{key}");
        servers.insert(one);
    }
    assert!(servers.len() > 2, "{servers:?}");
}

#[tokio::test]
async fn connections_are_hashed_by_what_is_known_of_them_and_by_what_was_waited_for() {
    let by_source = proxy("tcp", "", "hash src").await;
    let mut servers = BTreeSet::new();
    for last in 1..=10 {
        let address = format!("127.0.0.{last}");
        let first = server(&by_source, &address, "").await;
        assert_eq!(server(&by_source, &address, "").await, first, "{address}");
        servers.insert(first);
    }
    assert!(servers.len() > 2, "{servers:?}");

    let waits = "inspect_delay = \"5s\"\nrule = [{ unless = \"{ req.len ge 100 }\", reject = true }]";
    let by_content = proxy("tcp", waits, "hash req.payload(28,3)").await;
    let mut servers = BTreeSet::new();
    for key in 100..110 {
        let fields = |rest: char| format!("X: {key}{}\r\n", rest.to_string().repeat(100));
        let first = server(&by_content, "127.0.0.1", &fields('a')).await;
        assert_eq!(server(&by_content, "127.0.0.1", &fields('b')).await, first, "{key}");
        servers.insert(first);
    }
    assert!(servers.len() > 2, "{servers:?}");
}
