//! Errors of ACLs and conditions, which point inside the string.

use super::{Format, assert_errors, parse};

#[test]
fn acl_expressions_point_inside_the_string() {
    assert_errors(ACL_EXPRESSIONS_POINT_INSIDE_THE_STRING, ACL_EXPRESSIONS_POINT_INSIDE_THE_STRING_REPORT);
}

const ACL_EXPRESSIONS_POINT_INSIDE_THE_STRING: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
acl.a = "hdr(host) -x api"
acl.b = "path_reg ^/(a"
acl.c = ["path_beg /b", "hdr host"]
acl.d = "hdr(host),lowre api"
acl.e = "path_beg"
acl.f = "path -m bge /a"
acl.g = "src 10.0.0/8"
acl.h = 'hdr(user-agent) "Mozilla'
acl.i = "hdr_beg(host) -m end x"
acl.j = "pathbeg /a"
acl.k = "hdr(ho st) x"
acl.l = "method -m found GET"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;

const ACL_EXPRESSIONS_POINT_INSIDE_THE_STRING_REPORT: &str = r#"error: unknown flag `-x`
 --> sluice.toml:5:20
  |
5 | acl.a = "hdr(host) -x api"
  |                    ^^
  |
  = help: supported: `-i`, `-m METHOD`, `-f FILE`, `-n`, `-M`, `--`

error: not a regular expression: unclosed group
 --> sluice.toml:6:19
  |
6 | acl.b = "path_reg ^/(a"
  |                   ^^^^
  |
  = help: matched in time linear to the value: without look-around and back-references

error: `hdr` needs the name of a header
 --> sluice.toml:7:26
  |
7 | acl.c = ["path_beg /b", "hdr host"]
  |                          ^^^
  |
  = help: such as hdr(host)

error: no converter is called `lowre`
 --> sluice.toml:8:20
  |
8 | acl.d = "hdr(host),lowre api"
  |                    ^^^^^
  |
  = help: did you mean `lower`?

error: this ACL has nothing to compare with and would never match
 --> sluice.toml:9:10
  |
9 | acl.e = "path_beg"
  |          ^^^^^^^^
  |
  = help: add a pattern, or test that it is there at all: path -m found

error: `bge` is not a method
  --> sluice.toml:10:18
   |
10 | acl.f = "path -m bge /a"
   |                  ^^^
   |
   = help: supported: `str`, `beg`, `end`, `sub`, `dir`, `dom`, `reg`, `len`, `found`, `bool`, `int`, `ip`, `bin`

error: `10.0.0/8` is not an address, nor a prefix of one
  --> sluice.toml:11:14
   |
11 | acl.g = "src 10.0.0/8"
   |              ^^^^^^^^
   |
   = help: in full, such as 192.0.2.0/24 or 2001:db8::/32

error: the quotation " does not end
  --> sluice.toml:12:26
   |
12 | acl.h = 'hdr(user-agent) "Mozilla'
   |                          ^^^^^^^^

error: `hdr_beg(host)` already says how to compare
  --> sluice.toml:13:24
   |
13 | acl.i = "hdr_beg(host) -m end x"
   |                        ^^^^^^
   |
   = help: leave out the suffix or `-m`

error: nothing called `pathbeg` can be looked at
  --> sluice.toml:14:10
   |
14 | acl.j = "pathbeg /a"
   |          ^^^^^^^
   |
   = help: did you mean `path_beg`?

error: `hdr(ho` has no closing parenthesis
  --> sluice.toml:15:10
   |
15 | acl.k = "hdr(ho st) x"
   |          ^^^^^^

error: `-m found` compares with nothing
  --> sluice.toml:16:26
   |
16 | acl.l = "method -m found GET"
   |                          ^^^
   |
   = help: leave out the patterns
"#;

#[test]
fn conditions_name_acls() {
    assert_errors(CONDITIONS_NAME_ACLS, CONDITIONS_NAME_ACLS_REPORT);
}

const CONDITIONS_NAME_ACLS: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
acl.host_api = "hdr(host) -i api.example.com"
rule = [
  { if = "host_apo", use = "web" },
  { if = "host_api and host_api", use = "web" },
  { if = "host_api or", use = "web" },
  { if = "{ path /a", use = "web" },
  { unless = "!METH_GETS", use = "web" },
  { if = "", use = "web" },
  { use = "web" },
  { if = "host_api" },
  { if = "host_api", unless = "host_api", use = "web" },
]

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;

const CONDITIONS_NAME_ACLS_REPORT: &str = r#"error: no ACL is called `host_apo`
 --> sluice.toml:7:11
  |
7 |   { if = "host_apo", use = "web" },
  |           ^^^^^^^^
  |
  = help: did you mean `host_api`?

error: no ACL is called `and`
 --> sluice.toml:8:20
  |
8 |   { if = "host_api and host_api", use = "web" },
  |                    ^^^
  |
  = help: terms side by side must all hold: leave it out

error: a name of an ACL must follow
 --> sluice.toml:9:20
  |
9 |   { if = "host_api or", use = "web" },
  |                    ^^

error: this `{` has no `}`
  --> sluice.toml:10:11
   |
10 |   { if = "{ path /a", use = "web" },
   |           ^
   |
   = help: braces are words of their own: { path /a }

error: no ACL is called `METH_GETS`
  --> sluice.toml:11:16
   |
11 |   { unless = "!METH_GETS", use = "web" },
   |                ^^^^^^^^^
   |
   = help: did you mean `METH_GET`?

error: an empty condition
  --> sluice.toml:12:10
   |
12 |   { if = "", use = "web" },
   |          ^^

error: a rule needs `if` or `unless`
  --> sluice.toml:13:3
   |
13 |   { use = "web" },
   |   ^^^^^^^^^^^^^^^
   |
   = help: what always holds is the `default_backend`

error: a rule needs an action
  --> sluice.toml:14:3
   |
14 |   { if = "host_api" },
   |   ^^^^^^^^^^^^^^^^^^^
   |
   = help: one of: `use`, `deny`, `tarpit`, `return`, `redirect`, `auth`, `set_header`, `add_header`, `del_header`, `replace_header`, `replace_value`, `set_path`, `replace_path`, `set_query`, `set_uri`, `set_method`, `set_var`

error: a rule has `if` or `unless`, not both
  --> sluice.toml:15:31
   |
15 |   { if = "host_api", unless = "host_api", use = "web" },
   |                               ^^^^^^^^^^
   |
   = help: negate a single ACL with `!`
"#;

#[test]
fn a_condition_without_its_end_says_so_even_where_escapes_hide_its_place() {
    let text = r#"[frontend.www]
mode = "http"
bind = "*:80"
acl.a = "path /a"
rule = [{ if = "\u0061 or", use = "web" }, { if = "|| !", use = "web" }]
default_backend = "web"
[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let errors = parse(text).expect_err("errors").render(Format::Short);
    let expected = "\
sluice.toml:5:16: error: a name of an ACL must follow
sluice.toml:5:52: error: nothing before `||`
sluice.toml:5:55: error: a name of an ACL must follow
";
    assert_eq!(errors, expected);
}

#[test]
fn a_rule_looks_at_what_there_is_where_it_stands() {
    assert_errors(RULES_OUT_OF_PLACE, RULES_OUT_OF_PLACE_REPORT);
}

const RULES_OUT_OF_PLACE: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
rule = [
  { on = "content", if = "{ src 10.0.0.1 }", deny = 403 },
  { on = "connection", if = "{ path / }", reject = true },
  { on = "connection", deny = 403 },
  { on = "response", if = "{ status 200 }", set_path = "/x" },
  { on = "response", redirect = { prefix = "https://a" } },
  { if = "{ req.ssl_sni a }", deny = 403 },
  { if = "{ status 200 }", reject = true },
]

[frontend.raw]
mode = "tcp"
bind = "*:90"
default_backend = "db"
rule = [
  { if = "{ path / }", use = "db" },
  { on = "request", reject = false },
  { on = "connection", if = "{ req.len gt 0 }", accept = true },
]

[backend.web]
rule = [
  { on = "connection", if = "{ src 10.0.0.1 }", deny = 403 },
  { if = "{ path /a }", use = "db" },
]
server = [{ name = "web1", address = "10.0.0.1:80" }]

[backend.db]
rule = [{ del_header = "x" }]
server = [{ name = "db1", address = "10.0.0.2:80" }]
"#;

const RULES_OUT_OF_PLACE_REPORT: &str = r#"error: what an `http` frontend reads are requests
 --> sluice.toml:6:10
  |
6 |   { on = "content", if = "{ src 10.0.0.1 }", deny = 403 },
  |          ^^^^^^^^^
  |
  = help: leave out `on`

error: the request is not there yet
 --> sluice.toml:7:30
  |
7 |   { on = "connection", if = "{ path / }", reject = true },
  |                              ^
  |
  = help: connections have addresses and TLS

error: `deny` is not for connections
 --> sluice.toml:8:31
  |
8 |   { on = "connection", deny = 403 },
  |                               ^^^
  |
  = help: one of: `accept`, `reject`

error: `set_path` is not for responses
 --> sluice.toml:9:56
  |
9 |   { on = "response", if = "{ status 200 }", set_path = "/x" },
  |                                                        ^^^^
  |
  = help: one of: `deny`, `return`, `redirect`, `set_header`, `add_header`, `del_header`, `replace_header`, `replace_value`, `set_status`, `set_var`

error: a redirect instead of a response has a `location`
  --> sluice.toml:10:33
   |
10 |   { on = "response", redirect = { prefix = "https://a" } },
   |                                 ^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: the request, which the others begin with, is gone when its response comes

error: only `tcp` frontends look at what they relay
  --> sluice.toml:11:11
   |
11 |   { if = "{ req.ssl_sni a }", deny = 403 },
   |           ^
   |
   = help: requests have fields, and ssl_fc_sni where TLS is terminated

error: the response is not there yet
  --> sluice.toml:12:11
   |
12 |   { if = "{ status 200 }", reject = true },
   |           ^
   |
   = help: `on = "response"` waits for it

error: `reject` is not for requests
  --> sluice.toml:12:37
   |
12 |   { if = "{ status 200 }", reject = true },
   |                                     ^^^^
   |
   = help: one of: `use`, `deny`, `tarpit`, `return`, `redirect`, `auth`, `set_header`, `add_header`, `del_header`, `replace_header`, `replace_value`, `set_path`, `replace_path`, `set_query`, `set_uri`, `set_method`, `set_var`

error: a `tcp` frontend reads no requests
  --> sluice.toml:20:11
   |
20 |   { if = "{ path / }", use = "db" },
   |           ^
   |
   = help: its rules may look at req.ssl_sni, req.payload(offset,length), …

error: a `tcp` frontend reads no messages
  --> sluice.toml:21:10
   |
21 |   { on = "request", reject = false },
   |          ^^^^^^^^^
   |
   = help: `on` is "connection" or "content"

error: `reject = false` says nothing
  --> sluice.toml:21:30
   |
21 |   { on = "request", reject = false },
   |                              ^^^^^
   |
   = help: write `reject = true`, and when by `if` or `unless`

error: nothing has been read of the connection yet
  --> sluice.toml:22:30
   |
22 |   { on = "connection", if = "{ req.len gt 0 }", accept = true },
   |                              ^
   |
   = help: `on = "content"` waits for it, in `tcp` frontends

error: a backend has only requests and responses
  --> sluice.toml:27:10
   |
27 |   { on = "connection", if = "{ src 10.0.0.1 }", deny = 403 },
   |          ^^^^^^^^^^^^
   |
   = help: such rules stand in its frontends

error: `use` is not for requests that have their backend
  --> sluice.toml:28:31
   |
28 |   { if = "{ path /a }", use = "db" },
   |                               ^^^^
   |
   = help: one of: `deny`, `tarpit`, `return`, `redirect`, `auth`, `set_header`, `add_header`, `del_header`, `replace_header`, `replace_value`, `set_path`, `replace_path`, `set_query`, `set_uri`, `set_method`, `set_var`

error: frontend `raw` of mode `tcp` has no messages that rules could look at
  --> sluice.toml:33:9
   |
18 | default_backend = "db"
   |                   ---- used here
...
33 | rule = [{ del_header = "x" }]
   |         ^^^^^^^^^^^^^^^^^^^^
"#;
