//! What requests come to by the rules, and what they look like then.

use super::{Outcome, monitor, request, route};
use crate::{
    config::{self, parse},
    l7::{
        acl::{Facts, Variables, tests::Stage},
        message::Fields,
    },
    model::{
        FrontendKind, HttpFrontend,
        rule::{Action, Format},
    },
};

/// A frontend with these lines, and the backends `a` and `b`, of which `a` is the default.
fn frontend(lines: &str) -> HttpFrontend {
    let text = format!(
        "[frontend.f]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"a\"\n{lines}\n[backend.a]\nserver = [{{ name = \"s\", address = \"192.0.2.1:80\" }}]\n[backend.b]\nserver = [{{ name = \"s\", address = \"192.0.2.1:80\" }}]\n[userlist.staff]\nuser = [{{ name = \"user\", insecure_password = \"pass\" }}]\n"
    );
    let model = parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(config::Format::Full))).model;
    match &model.frontends[0].kind {
        FrontendKind::Http(http) => http.clone(),
        FrontendKind::L4(_) | FrontendKind::Tcp(_) => panic!("not http"),
    }
}

/// A format as the configuration has it.
pub(in crate::l7) fn format_of(text: &str) -> Format {
    let frontend = frontend(&format!("rule = [{{ set_path = '{text}' }}]"));
    let Action::SetPath(format) = &frontend.rules.request[0].action else { panic!("another action") };
    format.clone()
}

/// What `rules` do with a request.
fn run(rules: &str, stage: &mut Stage) -> Outcome {
    let frontend = frontend(&format!("rule = [{rules}]"));
    let (mut changed, mut variables) = (stage.request.clone(), Variables::default());
    let outcome = stage.with(|facts| request(&frontend.rules.request, facts.scene, &mut changed, &mut variables));
    (stage.request, stage.variables) = (changed, variables);
    outcome
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn answer(rules: &str, mut stage: Stage) -> (u16, Fields, String) {
    let (Outcome::Answer(response, body) | Outcome::Deny(response, body)) = run(rules, &mut stage) else {
        panic!("no answer")
    };
    (response.status, response.fields, text(&body))
}

#[test]
fn rules_change_requests_one_after_the_other() {
    let mut stage = Stage::new("/old/x?q=1", &[("Host", "a.test"), ("X-Gone", "1"), ("X-List", "a1, b2"), ("X", "1")]);
    let outcome = run(
        r#"{ set_header = { name = "X", value = "%[src]:%[hdr(host),upper] 100%%" } },
        { add_header = { name = "X-New", value = "%[path]" } },
        { del_header = "x-gone" },
        { replace_value = { name = "x-list", match = "^([a-z])([0-9])$", with = '\2\1' } },
        { set_var = { name = "txn.first", value = "path,field(2,/)" } },
        { if = "{ path_beg /old/ }", replace_path = { match = "^/old(/.*)$", with = '/%[var(txn.first)]-new\1' } },
        { if = "{ path_beg /old-new/ }", set_query = "was=%[query]" },
        { unless = "{ var(txn.first) -m str old }", set_method = "POST" }"#,
        &mut stage,
    );
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    assert_eq!(text(&stage.request.target), "/old-new/x?was=q=1");
    let fields: Vec<_> =
        stage.request.fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    assert_eq!(fields, ["Host=a.test", "X-List=1a, 2b", "X=192.0.2.7:A.TEST 100%", "X-New=/old/x"]);
    assert_eq!(stage.request.method.name(), b"GET");
}

#[test]
fn what_a_client_sends_cannot_end_a_line_or_a_target() {
    let mut stage = Stage::new("/?u=a%0d%0aEvil:%201%20x", &[]);
    let outcome = run(
        r#"{ set_header = { name = "X", value = "%[urlp(u),url_dec]" } }, { set_path = "/%[urlp(u),url_dec]" }"#,
        &mut stage,
    );
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    assert_eq!(stage.request.fields.get("x").map(text).as_deref(), Some("a  Evil: 1 x"));
    assert_eq!(text(&stage.request.target), "/a%20%20Evil:%201%20x?u=a%0d%0aEvil:%201%20x");
}

#[test]
fn an_empty_path_is_the_one_of_the_root() {
    let cases = [
        ("/a?q", r#"{ set_path = "%[hdr(none)]" }"#, "/?q"),
        ("/a", r#"{ set_path = "%[hdr(none)]" }"#, "/"),
        ("/a/b", r#"{ replace_path = { match = "^/a/b$", with = "" } }"#, "/"),
        ("http://h.test/a?q", r#"{ set_path = "%[hdr(none)]" }"#, "http://h.test/?q"),
        ("/a?q", r#"{ set_uri = "%[hdr(none)]" }"#, "/"),
        ("*", r#"{ set_query = "q" }"#, "*"),
        ("/a", r#"{ set_query = "q" }"#, "/a?q"),
    ];
    for (target, rule, expected) in cases {
        let mut stage = Stage::new(target, &[]);
        run(rule, &mut stage);
        assert_eq!(text(&stage.request.target), expected, "{target} {rule}");
    }
}

#[test]
fn the_first_rule_that_answers_decides() {
    let rules = r#"{ if = "{ path /ok }", return = { status = 201, content_type = "text/plain", string = "fine" } },
        { if = "{ path /slow }", tarpit = 429 }, { unless = "{ path /ok }", deny = 403 }"#;
    let (status, fields, body) = answer(rules, Stage::new("/ok", &[]));
    assert_eq!((status, fields.get("content-type"), body.as_str()), (201, Some(&b"text/plain"[..]), "fine"));
    assert_eq!(answer(rules, Stage::new("/", &[])).0, 403);
    for (status, title) in [(414, "URI Too Long"), (431, "Request Header Fields Too Large")] {
        let (found, _, page) = answer(&format!("{{ deny = {status} }}"), Stage::new("/", &[]));
        assert!(found == status && page.contains(&format!("<h1>{status} {title}</h1>")), "{page}");
    }
    assert!(
        matches!(run(rules, &mut Stage::new("/slow", &[])), Outcome::Tarpit(response, _) if response.status == 429)
    );
}

#[test]
fn redirects_lead_where_haproxys_do() {
    let cases = [
        (r#"location = "https://x.test/%[path]""#, 302, "https://x.test//a/b"),
        (r#"prefix = "https://x.test", code = 301"#, 301, "https://x.test/a/b?c=d"),
        (r#"prefix = "/", drop_query = true, append_slash = true"#, 302, "/a/b/"),
        (r#"scheme = "https", code = 308"#, 308, "https://h.test:8080/a/b?c=d"),
    ];
    for (redirect, status, location) in cases {
        let rule = format!("{{ redirect = {{ {redirect} }} }}");
        let (found, fields, _) = answer(&rule, Stage::new("/a/b?c=d", &[("host", "h.test:8080")]));
        assert_eq!((found, fields.get("location").map(text).as_deref()), (status, Some(location)), "{redirect}");
        assert_eq!(fields.get("cache-control").is_some(), status == 302);
    }
    let rule = r#"{ redirect = { location = "%[hdr(none)]", ignore_empty = true } }"#;
    assert!(matches!(run(rule, &mut Stage::new("/", &[])), Outcome::Continue));
}

#[test]
fn a_user_of_the_list_may_go_on() {
    let rule = r#"{ auth = { realm = "Staff", userlist = "staff" } }"#;
    let with = |value| Stage::new("/", &[("authorization", value)]);
    assert!(matches!(run(rule, &mut with("basic dXNlcjpwYXNz")), Outcome::Continue));
    for wrong in ["Basic dXNlcjpwYXNzeA==", "Basic !", "Bearer dXNlcjpwYXNz", ""] {
        let (status, fields, _) = answer(rule, with(wrong));
        assert_eq!((status, fields.get("www-authenticate")), (401, Some(&b"Basic realm=\"Staff\""[..])), "{wrong}");
    }
}

#[test]
fn the_first_route_that_holds_decides_and_a_name_of_none_means_the_default() {
    let frontend = frontend(
        r#"rule = [{ if = "{ path_beg /b/ }", use = "b" }, { if = "{ hdr(x-to) -m found }", use = "%[hdr(x-to)]" }, { if = "TRUE", use = "b" }]"#,
    );
    let to =
        |target, fields: &[(&str, &str)]| Stage::new(target, fields).with(|facts: &Facts<'_>| route(&frontend, facts));
    assert_eq!(to("/b/", &[("x-to", "a")]), Some(1));
    assert_eq!(to("/", &[("x-to", "a")]), Some(0));
    assert_eq!(to("/", &[("x-to", "b")]), Some(1));
    assert_eq!(to("/", &[("x-to", "none")]), Some(0), "and not what a later rule says");
    assert_eq!(to("/", &[]), Some(1));
}

#[test]
fn a_monitored_path_tells_whether_the_frontend_is_of_use() {
    let told = |fail: &str, target| {
        let frontend = frontend(&format!("monitor_uri = \"/alive\"\nmonitor_fail = \"{fail}\""));
        let stage = Stage::new(target, &[]);
        stage.with(|facts| monitor(&frontend, facts.scene, &stage.request)).map(|answer| answer.0)
    };
    assert_eq!(told("{ nbsrv(a) lt 1 }", "/alive"), Some(200));
    assert_eq!(told("{ nbsrv(a) lt 2 }", "/alive"), Some(503));
    assert_eq!(told("{ nbsrv(a) lt 2 }", "/alive?x"), None);
}
