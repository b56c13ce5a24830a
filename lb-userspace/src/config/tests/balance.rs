//! `balance`, `hash_type`, and what belongs to queues and retries.

use super::{assert_errors, model, said};
use crate::{
    config::{Format, parse},
    model::{
        Affinity, Balance, Limits, RetryOn,
        acl::Fetch,
        balance::{Function, HashType, Keyed, Uri},
    },
};
use std::{collections::BTreeSet, time::Duration};

/// An `http` frontend whose backend has these keys.
fn http(backend: &str) -> String {
    format!(
        "[frontend.a]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n\n[backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n{backend}\n"
    )
}

fn balance(keys: &str) -> Balance {
    model(&http(keys)).backend("b").expect("backend").balance.clone()
}

/// Line, column and message of the only error.
fn error(keys: &str) -> String {
    let errors = parse(&http(keys)).expect_err("an error").render(Format::Short);
    errors.lines().next().expect("a line").trim_start_matches("sluice.toml:").to_owned()
}

#[test]
fn every_word_of_haproxy_is_understood() {
    let by = |by: Keyed| Balance::Hash { by, kind: HashType::default() };
    for (typed, expected) in [
        ("roundrobin", Balance::RoundRobin),
        ("static-rr", Balance::StaticRoundRobin),
        ("leastconn", Balance::LeastConn),
        ("first", Balance::First),
        ("random", Balance::Random { draws: 2 }),
        ("random(3)", Balance::Random { draws: 3 }),
        ("maglev", Balance::Maglev),
        ("source", Balance::Maglev),
        ("uri", by(Keyed::Uri(Uri::default()))),
        (
            "uri whole path_only len 20  depth 2",
            by(Keyed::Uri(Uri { whole: true, path_only: true, len: Some(20), depth: Some(2) })),
        ),
        ("url_param(userid)", by(Keyed::UrlParam("userid".into()))),
        ("url_param userid", by(Keyed::UrlParam("userid".into()))),
        ("hdr(X-Key)", by(Keyed::Header { name: "x-key".into(), domain_only: false })),
        ("hdr(Host) use_domain_only", by(Keyed::Header { name: "host".into(), domain_only: true })),
    ] {
        assert_eq!(balance(&format!("balance = \"{typed}\"")), expected, "{typed}");
    }
}

#[test]
fn any_expression_is_hashed_by_any_hash_type() {
    let found = balance("balance = \"hash url_param('a b'),lower\"\nhash_type = \"consistent\"");
    let Balance::Hash { by: Keyed::Expression(expression), kind } = found else { panic!("{found:?}") };
    assert!(matches!(expression.fetch, Fetch::Parameter { name, .. } if *name == *"a b"));
    assert_eq!((expression.converters.len(), kind.consistent, kind.avalanche), (1, true, true));
}

#[test]
fn hash_types_have_haproxys_defaults() {
    for (typed, consistent, function, avalanche) in [
        ("map-based", false, Function::Sdbm, false),
        ("map-based djb2 avalanche", false, Function::Djb2, true),
        ("consistent", true, Function::Sdbm, true),
        ("consistent sdbm", true, Function::Sdbm, false),
        ("consistent wt6 avalanche", true, Function::Wt6, true),
        ("consistent crc32", true, Function::Crc32, false),
        ("map-based none", false, Function::None, false),
    ] {
        let found = balance(&format!("balance = \"source\"\nhash_type = \"{typed}\""));
        let kind = HashType { consistent, function, avalanche };
        assert_eq!(found, Balance::Hash { by: Keyed::Source, kind }, "{typed}");
    }
    let source = model(&http("balance = \"source\""));
    assert_eq!(source.backends[0].affinity, Affinity::Source, "without a hash type: by maglev");
}

#[test]
fn errors_point_at_the_word() {
    for (keys, expected) in [
        ("balance = \"\"", "8:11: error: `balance` names no way to balance"),
        ("balance = \"lestconn\"", "8:12: error: `lestconn` is not a way to balance"),
        ("balance = \"leastconn now\"", "8:22: error: `now` means nothing after `leastconn`"),
        ("balance = \"first(2)\"", "8:18: error: `first` takes no argument"),
        ("balance = \"random(0)\"", "8:19: error: the number of draws must be from 1 to 16"),
        ("balance = \"random(2\"", "8:12: error: `random(2` has no closing parenthesis"),
        ("balance = \"uri dept 2\"", "8:16: error: `dept` is not an option of `uri`"),
        ("balance = \"uri depth\"", "8:16: error: `depth` needs a number"),
        ("balance = \"uri len x\"", "8:20: error: `x` is no such number"),
        ("balance = \"uri len 0\"", "8:20: error: `0` is no such number"),
        ("balance = \"url_param\"", "8:12: error: `url_param` needs a name"),
        ("balance = \"url_param(a=b)\"", "8:22: error: `a=b` is not the name of a parameter"),
        ("balance = \"hdr()\"", "8:16: error: `` is not the name of a header"),
        ("balance = \"hdr\"", "8:12: error: `hdr` needs a name"),
        ("balance = \"hdr(host) domain\"", "8:22: error: `domain` is not an option of `hdr`"),
        ("balance = \"hash\"", "8:12: error: `hash` needs an expression"),
        ("balance = \"hash  \"", "8:12: error: `hash` needs an expression"),
        ("balance = \"hash paht\"", "8:17: error: nothing called `paht` can be looked at"),
        ("balance = \"hash path lower\"", "8:22: error: `lower` means nothing after the expression"),
        ("balance = \"hash path,lowr\"", "8:22: error: no converter is called `lowr`"),
        ("balance = \"hash path_beg\"", "8:17: error: a value is not compared"),
        ("balance = \"hash status\"", "8:17: error: a server is picked before there is a response"),
        ("balance = \"hash ssl_fc\"", "8:17: error: `hash` takes bytes, and here comes yes or no"),
        (
            "balance = \"hash req.ssl_sni\"",
            "8:17: error: frontend `a` of mode `http` does not relay what it could hash",
        ),
        ("balance = 3", "8:11: error: `balance`: expected a string, found an integer"),
        ("balance = \"uri\"\nhash_type = \"\"", "9:13: error: `hash_type` names no type"),
        ("balance = \"uri\"\nhash_type = \"mapped\"", "9:14: error: `mapped` is not a hash type"),
        ("balance = \"uri\"\nhash_type = \"consistent md5\"", "9:25: error: `md5` is not a hash function"),
        ("balance = \"uri\"\nhash_type = \"consistent sdbm x\"", "9:30: error: `x` is not a hash modifier"),
        (
            "balance = \"uri\"\nhash_type = \"map-based sdbm avalanche x\"",
            "9:39: error: `x` means nothing after `avalanche`",
        ),
        (
            "balance = \"first\"\nhash_type = \"consistent\"",
            "9:13: error: `hash_type` has no meaning without a key to hash",
        ),
        ("hash_type = \"consistent\"", "8:13: error: `hash_type` has no meaning without a key to hash"),
        ("fullconn = 0", "8:12: error: `fullconn` must be from 1 to 100000000"),
        ("retries = 101", "8:11: error: `retries` must be from 0 to 100"),
        ("redispatch = 3", "8:14: error: `redispatch`: expected `true` or `false`, found an integer"),
        ("retry_on = \"conn-fail\"", "8:12: error: `conn-fail` is not a failure to retry on"),
        ("retry_on = [\"503\", \"0rtt-rejected\"]", "8:20: error: `0rtt-rejected` is not supported yet"),
        ("timeout_queue = \"0s\"", "8:17: error: `timeout_queue` must be from 1ms to 365d"),
    ] {
        assert_eq!(error(keys), expected, "{keys}");
    }
}

#[test]
fn slips_are_recognised() {
    assert_errors(
        &http("balance = \"uri deph 2\""),
        "error: `deph` is not an option of `uri`\n --> sluice.toml:8:16\n  |\n8 | balance = \"uri deph 2\"\n  |                ^^^^\n  |\n  = help: did you mean `depth`?\n",
    );
}

#[test]
fn requests_are_hashed_where_there_are_some() {
    let tcp = http("balance = \"uri\"").replace("\"http\"", "\"tcp\"");
    assert_eq!(said(&tcp), ["frontend `a` of mode `tcp` has no requests to hash"]);
    for (looked_at, expected) in [
        ("src,ipmask(24)", None),
        ("dst_port", None),
        ("req.ssl_sni", None),
        ("path", Some("frontend `a` of mode `tcp` has no requests to hash")),
        ("var(txn.x)", Some("frontend `a` of mode `tcp` has no requests to hash")),
    ] {
        let tcp = http(&format!("balance = \"hash {looked_at}\"")).replace("\"http\"", "\"tcp\"");
        assert_eq!(said(&tcp), expected.into_iter().collect::<Vec<_>>(), "{looked_at}");
    }
    let hashed = http("balance = \"source\"\nhash_type = \"consistent\"").replace("\"http\"", "\"tcp\"");
    assert_eq!(said(&hashed), [""; 0]);
    let l4 = |keys| {
        super::l4(
            "bind = \"10.0.0.9:80\"",
            &format!("forward = \"nat\"\n{keys}\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]"),
        )
    };
    assert_eq!(
        said(&l4("balance = \"leastconn\"")),
        ["l4 frontends balance by maglev or source, but backend `b` does not"]
    );
    assert_eq!(
        said(&l4("balance = \"source\"\nhash_type = \"consistent\"")),
        ["`hash_type` has no meaning for l4 frontends"]
    );
}

#[test]
fn queues_and_retries_are_read_and_have_defaults() {
    let plain = model(&http("")).backends.remove(0);
    assert_eq!((plain.pressure.retry.retries, plain.pressure.retry.redispatch), (3, true));
    assert_eq!(plain.pressure.retry.on, BTreeSet::from([RetryOn::ConnFailure]));
    assert_eq!((plain.pressure.timeout_queue, plain.fullconn(), plain.servers[0].limits), (None, 0, Limits::default()));
    let text =
        http("fullconn = 9\nretries = 0\nredispatch = false\nretry_on = [\"none\", \"503\"]\ntimeout_queue = \"3s\"")
            .replace("10.0.0.1:80\"", "10.0.0.1:80\", maxconn = 5, minconn = 2, maxqueue = 7, slowstart = \"30s\"");
    let full = model(&text).backends.remove(0);
    assert_eq!((full.fullconn(), full.pressure.timeout_queue), (9, Some(Duration::from_secs(3))));
    assert_eq!((full.pressure.retry.retries, full.pressure.retry.redispatch), (0, false));
    assert_eq!(full.pressure.retry.on, BTreeSet::from([RetryOn::Status(503)]));
    assert_eq!(full.servers[0].limits, Limits { maxconn: 5, minconn: 2, maxqueue: 7 });
    assert_eq!(full.servers[0].slowstart, Some(Duration::from_secs(30)));
    let inherited = model(&format!("[defaults]\ntimeout_queue = \"4s\"\n{}", http(""))).backends.remove(0);
    assert_eq!(inherited.pressure.timeout_queue, Some(Duration::from_secs(4)));
}

#[test]
fn limits_must_make_sense() {
    let server = |keys: &str| said(&http("").replace("10.0.0.1:80\"", &format!("10.0.0.1:80\", {keys}")));
    assert_eq!(server("maxconn = 1000001"), ["`maxconn` must be from 0 to 1000000"]);
    assert_eq!(server("maxconn = 1, minconn = 2"), ["`minconn` is more than `maxconn`"]);
    assert_eq!(server("maxqueue = 2"), ["`maxqueue` has no meaning without `maxconn`"]);
    assert_eq!(server("slowstart = \"2d\""), ["`slowstart` must be from 1ms to 1d"]);
}

#[test]
fn all_backups_are_asked_for_where_there_are_several() {
    let backups = |count: usize| {
        let servers: Vec<_> = (0..count)
            .map(|n| format!("{{ name = \"b{n}\", address = \"10.0.1.{n}:80\", backup = true }}, "))
            .collect();
        http("allbackups = true").replace("server = [", &format!("server = [{}", servers.concat()))
    };
    assert!(!model(&http("")).backends[0].allbackups);
    assert!(model(&backups(2)).backends[0].allbackups);
    let warned = parse(&backups(1)).expect("a model").warnings;
    let warned: Vec<_> = warned.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warned, ["`allbackups` has no effect without several backup servers"]);
}
