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
