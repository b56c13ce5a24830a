//! What is right and could be better.

use super::{Format, parse, said};

const NOTED: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
acl.route_to_api = "hdr(host) -i api.example.com"
acl.host_shop = "hdr(host) -i shop.example.com"
acl.shop = "path_beg /shop"
rule = [{ if = "route_to_api", use = "api" }, { if = "host_shop shop", use = "shop" }]
default_backend = "shop"
[backend.api]
server = [{ name = "a", address = "10.0.0.1:80" }]
[backend.shop]
check = { type = "tcp" }
server = [{ name = "a", address = "10.0.0.2:80" }]
"#;

const NOTES: &str = r#"note: ACL `route_to_api` is named after what it triggers, not after what it matches
 --> sluice.toml:4:5
  |
4 | acl.route_to_api = "hdr(host) -i api.example.com"
  |     ^^^^^^^^^^^^
  |
  = help: a reader wants to know what holds then: `host_api`

note: ACL `shop` is named after what it triggers, not after what it matches
 --> sluice.toml:6:5
  |
6 | acl.shop = "path_beg /shop"
  |     ^^^^
  |
  = help: a reader wants to know what holds then: `path_shop`

note: backend `api` has no `check`: a server that is dead gets traffic all the same
 --> sluice.toml:9:10
  |
9 | [backend.api]
  |          ^^^
  |
  = help: check = { type = "tcp" }, or better one that speaks the protocol
"#;

#[test]
fn names_that_say_what_follows_and_backends_that_nobody_looks_after_are_noted() {
    let loaded = parse(NOTED).unwrap();
    assert_eq!(loaded.notes.render(Format::Full), NOTES, "got:\n{}", loaded.notes);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

/// What is said of these rules of an `http` frontend.
fn said_of(rules: &str) -> Vec<String> {
    let acls = "acl.a = \"path /a\"\nacl.b = \"path /b\"\nacl.c = \"src 10.0.0.1\"\n";
    said(&format!(
        "[frontend.www]\nmode = \"http\"\nbind = \"*:80\"\n{acls}rule = [\n{{ if = \"a or b or c\", set_header = \
         {{ name = \"x\", value = \"1\" }} }},\n{rules}]\ndefault_backend = \"x\"\n[backend.x]\nserver = [{{ name = \"a\", \
         address = \"10.0.0.1:80\" }}]\n"
    ))
}

#[test]
fn a_rule_is_never_reached_if_an_earlier_one_decides_all_that_meets_it() {
    let deny = |condition: &str| format!("{{ if = \"{condition}\", deny = 403 }},\n");
    let of = |rules: &[&str]| said_of(&rules.concat());
    let never = ["this rule is never reached"];
    let (a, a_or_b, a_c) = (deny("a"), deny("a or b"), deny("c a"));
    for hidden in [[&a, &a], [&a_or_b, &a], [&a, &a_c], [&a_or_b, &a_c]] {
        assert_eq!(of(&hidden.map(String::as_str)), never, "{hidden:?}");
    }
    for reached in [[&a, &a_or_b], [&a_c, &a], [&a, &deny("b")], [&a, &deny("!a")]] {
        assert_eq!(of(&reached.map(String::as_str)), [""; 0], "{reached:?}");
    }
    // Between them something changes what the second looks at; and chance says another thing each time.
    let changes = "{ set_path = \"/a\" },\n";
    assert_eq!(of(&[&a, changes, &a]), [""; 0]);
    let half = deny("{ rand(2) eq 0 }");
    assert_eq!(of(&[&half, &half]), [""; 0]);
    let uses = "{ if = \"a\", use = \"x\" },\n";
    assert_eq!(of(&[uses, uses]), never);
    assert_eq!(of(&["{ unless = \"a\", deny = 403 },\n", "{ unless = \"a\", deny = 403 },\n"]), never);
}
