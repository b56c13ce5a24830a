//! What is explained is what is served.

use super::*;
use crate::config;

const SITE: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
acl.host_api = "hdr(host) -i api.example.com"
acl.path_admin = ["path_beg /admin/", "path /admin"]
acl.from_inside = "src 10.0.0.0/8"
rule = [
{ on = "connection", if = "{ src 203.0.113.0/24 }", reject = true },
{ if = "path_admin !from_inside", deny = 403 },
{ set_header = { name = "X-Seen", value = "%[path]" } },
{ if = "host_api", use = "api" },
]
default_backend = "web"
[backend.api]
balance = "uri"
rule = [{ if = "{ path_beg /v1/ }", replace_path = { match = "^/v1(/.*)$", with = '\1' } }]
server = [{ name = "a", address = "10.0.0.1:80" }, { name = "b", address = "10.0.0.2:80" }]
[backend.web]
fallback = "sorry"
server = [{ name = "a", address = "10.0.0.3:80" }, { name = "b", address = "10.0.0.4:80", backup = true }]
[backend.sorry]
server = [{ name = "s", address = "10.0.0.5:80" }]
"#;

fn ask(host: &str, target: &str, client: &str, takes: &dyn Fn(&str, &str) -> bool) -> Explanation {
    let model = config::parse(SITE).unwrap_or_else(|errors| panic!("{errors}")).model;
    let question = Question {
        client: client.parse().unwrap(),
        destination: None,
        sni: None,
        method: "GET".to_owned(),
        target: target.to_owned(),
        fields: vec![("Host".to_owned(), host.to_owned())],
    };
    explain(&model, frontend(&model, None, None).unwrap(), &question, takes).unwrap()
}

/// What each rule was found to do.
fn steps(explained: &Explanation) -> Vec<(&str, bool)> {
    explained.steps.iter().map(|step| (step.action.as_str(), step.holds)).collect()
}

#[test]
fn every_rule_is_told_with_what_its_acls_saw_until_one_decides() {
    let refused = ask("www.example.com", "/admin/x", "192.0.2.1:7", &|_, _| true);
    assert_eq!(steps(&refused), [("reject", false), ("deny 403", true)]);
    let deny = &refused.steps[1];
    assert_eq!(deny.condition.as_deref(), Some("if = \"path_admin !from_inside\""));
    let expressions = |seen: &Seen| seen.expressions.clone();
    let saw = |value: &str| Some(value.to_owned());
    assert_eq!(
        expressions(&deny.acls[0]),
        [("path_beg /admin/".to_owned(), saw("/admin/x"), true), ("path /admin".to_owned(), saw("/admin/x"), false)]
    );
    assert_eq!(expressions(&deny.acls[1]), [("src 10.0.0.0/8".to_owned(), saw("192.0.2.1"), false)]);
    assert!(refused.backend.is_none() && refused.outcome == "it is refused: 403", "{refused:?}");

    let closed = ask("www.example.com", "/", "203.0.113.9:7", &|_, _| true);
    assert_eq!(
        (steps(&closed), closed.outcome.as_str()),
        (vec![("reject", true)], "the connection is closed before a byte is read")
    );
}

#[test]
fn a_request_is_followed_to_its_server_with_all_that_was_changed_of_it() {
    let explained = ask("API.example.com", "/v1/things?q=1", "10.1.2.3:7", &|_, _| true);
    assert_eq!(
        steps(&explained),
        [
            ("reject", false),
            ("deny 403", false),
            ("set_header X-Seen", true),
            ("use api", true),
            ("replace_path", true)
        ]
    );
    assert_eq!(explained.backend.as_deref(), Some("api"));
    assert_eq!(explained.request.as_deref(), Some("GET /things?q=1\nHost: API.example.com\nX-Seen: /v1/things"));
    // Hashes lead to one; whoever cannot take it leaves it to the other.
    let alone = |only: &'static str| move |_: &str, name: &str| name == only;
    let server = |only| ask("api.example.com", "/", "10.1.2.3:7", &alone(only)).server;
    assert_eq!([server("a"), server("b")], ["server a, by the hash", "server b, by the hash"]);
}

#[test]
fn servers_that_take_nothing_leave_it_to_backups_and_those_to_the_fallback() {
    let by = |takes: &dyn Fn(&str, &str) -> bool| ask("www.example.com", "/", "10.1.2.3:7", takes).server;
    assert_eq!(by(&|_, _| true), "one of a (weight 1), by turns");
    assert_eq!(by(&|_, name| name != "a"), "one of b (weight 1), by turns");
    let sorry = "no server takes new traffic; fallback sorry: one of s (weight 1), by turns";
    assert_eq!(by(&|backend, _| backend == "sorry"), sorry);
    assert!(by(&|_, _| false).ends_with("fallback sorry: no server takes new traffic: 503"));
}

#[test]
fn a_frontend_is_found_by_name_by_address_or_as_the_only_one() {
    let model = config::parse(&SITE.replace("[backend.api]", "[frontend.other]\nmode = \"tcp\"\nbind = \"*:81\"\ndefault_backend = \"api\"\n[backend.api]").replace("balance = \"uri\"\nrule = [{ if = \"{ path_beg /v1/ }\", replace_path = { match = \"^/v1(/.*)$\", with = '\\1' } }]\n", "").replace("{ if = \"host_api\", use = \"api\" },\n", "").replace("acl.host_api = \"hdr(host) -i api.example.com\"\n", ""));
    let model = model.unwrap_or_else(|errors| panic!("{errors}")).model;
    let name = |name, at: Option<&str>| {
        frontend(&model, name, at.map(|at| at.parse().unwrap())).map(|frontend| frontend.name.clone())
    };
    assert_eq!(name(None, None), Ok("www".to_owned()));
    assert_eq!(name(Some("other"), None), Ok("other".to_owned()));
    assert_eq!(name(None, Some("192.0.2.1:81")), Ok("other".to_owned()));
    assert_eq!(name(None, Some("192.0.2.1:82")), Err(Unexplained::NoFrontend("192.0.2.1:82".to_owned())));
    assert_eq!(name(Some("none"), None), Err(Unexplained::NoFrontend("none".to_owned())));
}
