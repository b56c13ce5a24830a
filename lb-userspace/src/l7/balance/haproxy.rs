//! What HAProxy does with the same requests: Debian's runs on loopback, and the servers that it chooses are compared one
//! by one with those that are chosen here.

use super::{tests::flow, *};
use crate::{
    config::{Format, parse},
    health::haproxy::{Haproxy, free_addresses},
    l7::{
        Snapshot,
        acl::{Connection, Scene, Variables, tests::Fixed},
        message::{Fields, Method, Version},
        tests::model::{backend, model},
    },
    model::balance::{Function, Uri},
    servers::Live,
};
use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    sync::Arc,
};

/// A way to balance, in both languages.
struct Way {
    haproxy: &'static str,
    hash_type: &'static str,
    ours: Balance,
}

/// HAProxy with a frontend for each of some ways.
struct Frontends {
    haproxy: Haproxy,
    _directory: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
}

impl Frontends {
    /// One frontend a way; its servers are all the same, and the answer says which was chosen.
    fn start(ways: &[Way], weights: &[u16]) -> Self {
        let addresses = free_addresses(ways.len() + 1);
        let (answer, addresses) = addresses.split_first().expect("an address");
        let mut text = format!(
            " nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             listen answer\n bind {answer}\n http-request return status 200\n"
        );
        for (index, (way, address)) in ways.iter().zip(addresses).enumerate() {
            write!(
                text,
                "listen l{index}\n bind {address}\n balance {}\n http-response set-header server %[srv_name]\n",
                way.haproxy
            )
            .expect("text");
            if !way.hash_type.is_empty() {
                writeln!(text, " hash-type {}", way.hash_type).expect("text");
            }
            for (server, weight) in weights.iter().enumerate() {
                writeln!(text, " server {server} {answer} weight {weight}").expect("text");
            }
        }
        let directory = tempfile::tempdir().expect("directory");
        let haproxy = Haproxy::start(directory.path(), &text);
        Self { haproxy, _directory: directory, addresses: addresses.to_vec() }
    }

    /// The servers that it chooses for these requests, one after the other on one connection.
    fn choices(&self, way: usize, requests: &[Request]) -> Vec<usize> {
        let mut stream = self.haproxy.connect(self.addresses[way]);
        let mut lines = BufReader::new(stream.try_clone().expect("stream")).lines();
        let answer = |request: &Request| {
            let mut text = format!("GET {} HTTP/1.1\r\n", String::from_utf8_lossy(&request.target));
            for (name, value) in request.fields.iter() {
                let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                write!(text, "{name}: {value}\r\n").expect("text");
            }
            stream.write_all(format!("{text}\r\n").as_bytes()).expect("sent");
            let head: Vec<_> =
                lines.by_ref().map(|line| line.expect("answer")).take_while(|it| !it.is_empty()).collect();
            let server = head.iter().find_map(|line| line.strip_prefix("server: "));
            server.unwrap_or_else(|| panic!("no server in {head:?}")).parse().expect("number")
        };
        requests.iter().map(answer).collect()
    }
}

/// The servers that are chosen here for the same requests, each done before the next.
fn ours(balance: &Balance, weights: &[u16], requests: &[Request]) -> Vec<usize> {
    let mut backend = backend("web", (1..).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).take(weights.len()));
    backend.balance = balance.clone();
    for (server, weight) in backend.servers.iter_mut().zip(weights) {
        server.weight = *weight;
    }
    let model = Arc::new(model(vec![], vec![backend]));
    let live = Arc::new(Live::default().for_model(&model));
    let snapshot = Snapshot::new(model, live).expect("snapshot");
    let route = snapshot.backend(0).expect("backend");
    let flow = Flow { client: ([127, 0, 0, 1], 1).into(), ..flow(1) };
    let choose = |request: &Request| {
        let connection = Connection { source: flow.client, destination: flow.local, tls: None };
        let scene =
            Scene { connection: &connection, payload: None, backend: Some(0), numbers: &Fixed, unique_id: None };
        let variables = Variables::default();
        let facts = Facts { scene: &scene, request: Some(request), response: None, variables: &variables };
        let key = route.order.key(&flow, Some(request), Some(&facts));
        match route.order.choose(&route.live, key, &Tried::default()) {
            Some(Place::Server(server) | Place::Bound(server)) => server,
            other => panic!("{other:?}"),
        }
    };
    requests.iter().map(choose).collect()
}

fn request(target: String, fields: &[(&str, &str)]) -> Request {
    let fields: Fields = fields.iter().copied().collect();
    Request { method: Method::Get, target: target.into(), version: Version::Http11, fields }
}

/// Targets, parameters and hosts of many forms; also without what is hashed.
fn requests() -> Vec<Request> {
    let hosts = ["a.example.com", "www.haproxy.1wt.eu", "example.org:8080", "localhost", "b.example.net", "x.y.z"];
    let one = |n: usize| {
        let target = match n % 6 {
            0 => format!("/{n}"),
            1 => format!("/dir{}/sub{}/file{n}?userid=u{}", n % 7, n % 5, n % 40),
            2 => format!("/dir{}/?x=1&userid={n}&y=2", n % 11),
            3 => format!("/a/b/c/d/{n}?q=/{n}/"),
            4 => format!("/?userid2=5&other={n}"),
            _ => format!("/%7E{n}/?userid=%41{n}"),
        };
        let (key, cookies) = (format!("key {n}, other"), format!("a=1; userid=u{}; b=2", n % 37));
        let mut fields = vec![("Host", hosts[n % hosts.len()]), ("X-Key", &key)];
        match n % 5 {
            0 => {}
            1 => fields.push(("Cookie", "userid=; a=1")),
            2 => fields.extend([("Cookie", &*cookies), ("X-Key", "second")]),
            _ => fields.push(("Cookie", &cookies)),
        }
        request(target, &fields)
    };
    let mut requests: Vec<_> = (0..300).map(one).collect();
    requests.extend((0..10).map(|n| request(format!("/none{n}"), &[("Host", "h")])));
    requests
}

/// By the value of an expression, as the configuration has it.
fn expression(typed: &str, consistent: bool, function: Function, avalanche: bool) -> Balance {
    let text = format!(
        "[frontend.f]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\nbalance = \"hash {typed}\"\nserver = [{{ name = \"s\", address = \"192.0.2.1:80\" }}]\n"
    );
    let model = parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(Format::Full))).model;
    match model.backends.into_iter().next().map(|backend| backend.balance) {
        Some(Balance::Hash { by, .. }) => hash(by, consistent, function, avalanche),
        other => panic!("{other:?}"),
    }
}

fn hash(by: Keyed, consistent: bool, function: Function, avalanche: bool) -> Balance {
    Balance::Hash { by, kind: HashType { consistent, function, avalanche } }
}

#[rustfmt::skip]
fn ways() -> Vec<Way> {
    let uri = |parts| Keyed::Uri(parts);
    let all = Uri::default();
    let header = |name: &str, domain_only| Keyed::Header { name: name.into(), domain_only };
    let way = |haproxy, hash_type, ours| Way { haproxy, hash_type, ours };
    vec![
        way("roundrobin", "", Balance::RoundRobin),
        way("static-rr", "", Balance::StaticRoundRobin),
        way("leastconn", "", Balance::LeastConn),
        way("source", "map-based", hash(Keyed::Source, false, Function::Sdbm, false)),
        way("source", "consistent", hash(Keyed::Source, true, Function::Sdbm, true)),
        way("uri", "", hash(uri(all), false, Function::Sdbm, false)),
        way("uri whole", "map-based djb2", hash(uri(Uri { whole: true, ..all }), false, Function::Djb2, false)),
        way("uri depth 2", "map-based wt6", hash(uri(Uri { depth: Some(2), ..all }), false, Function::Wt6, false)),
        way("uri len 6", "map-based crc32", hash(uri(Uri { len: Some(6), ..all }), false, Function::Crc32, false)),
        way("uri path-only", "map-based sdbm avalanche",
            hash(uri(Uri { path_only: true, ..all }), false, Function::Sdbm, true)),
        way("uri", "consistent", hash(uri(all), true, Function::Sdbm, true)),
        way("uri whole", "consistent djb2", hash(uri(Uri { whole: true, ..all }), true, Function::Djb2, false)),
        way("uri", "consistent wt6 avalanche", hash(uri(all), true, Function::Wt6, true)),
        way("uri", "consistent crc32", hash(uri(all), true, Function::Crc32, false)),
        way("url_param userid", "", hash(Keyed::UrlParam("userid".into()), false, Function::Sdbm, false)),
        way("hdr(X-Key)", "map-based", hash(header("x-key", false), false, Function::Sdbm, false)),
        way("hdr(host)", "map-based djb2", hash(header("host", false), false, Function::Djb2, false)),
        way("hdr(host) use_domain_only", "map-based", hash(header("host", true), false, Function::Sdbm, false)),
        way("hdr(host)", "consistent", hash(header("host", false), true, Function::Sdbm, true)),
        way("hash path", "", expression("path", false, Function::Sdbm, false)),
        way("hash path,lower", "consistent", expression("path,lower", true, Function::Sdbm, true)),
        way("hash src", "map-based", expression("src", false, Function::Sdbm, false)),
        way("hash req.cook(userid)", "map-based", expression("req.cook(userid)", false, Function::Sdbm, false)),
        way("hash req.cook(userid)", "consistent wt6", expression("req.cook(userid)", true, Function::Wt6, false)),
        way("hash hdr(x-key)", "map-based djb2 avalanche", expression("hdr(x-key)", false, Function::Djb2, true)),
        way("hash hdr_cnt(x-key)", "map-based crc32", expression("hdr_cnt(x-key)", false, Function::Crc32, false)),
        way("hash url_param(userid)", "", expression("url_param(userid)", false, Function::Sdbm, false)),
        way("hash query,xxh64", "map-based", expression("query,xxh64", false, Function::Sdbm, false)),
        way("hash path,field(2,/),length", "", expression("path,field(2,/),length", false, Function::Sdbm, false)),
    ]
}

#[test]
fn the_same_servers_are_chosen() {
    let (ways, requests) = (ways(), requests());
    for weights in [&[1, 1, 1, 1][..], &[1, 1], &[3, 2, 1], &[5, 1, 1], &[10, 20, 30], &[7, 3, 250, 1, 90]] {
        let haproxy = Frontends::start(&ways, weights);
        for (index, way) in ways.iter().enumerate() {
            let (theirs, ours) = (haproxy.choices(index, &requests), ours(&way.ours, weights, &requests));
            let first = theirs.iter().zip(&ours).position(|(theirs, ours)| theirs != ours);
            let said = |at: usize| String::from_utf8_lossy(&requests[at].target).into_owned();
            let shown = first.map(|at| (at, said(at), theirs[at], ours[at]));
            assert_eq!(shown, None, "balance {}, hash-type {}, weights {weights:?}", way.haproxy, way.hash_type);
        }
    }
}
