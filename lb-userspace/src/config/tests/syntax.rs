//! Errors of syntax, of types, and of what is missing or not there yet.

use super::{Format, assert_errors, parse};

#[test]
fn five_errors_come_at_once_and_in_order() {
    assert_errors(FIVE_ERRORS_COME_AT_ONCE_AND_IN_ORDER, FIVE_ERRORS_COME_AT_ONCE_AND_IN_ORDER_REPORT);
}

const FIVE_ERRORS_COME_AT_ONCE_AND_IN_ORDER: &str = r#"[global]
thread = 4
stop_timeout = 30

[frontend.public]
mode = "http"
bind = ["*:80", "*:65536"]
acl.host_api = "hrd(host) -i api.example.com"
default_backend = "web_b"

[backend.web_be]
balance = "roundrobbin"
server = [{ name = "web1", address = "10.0.0.1:8080" }]
"#;

const FIVE_ERRORS_COME_AT_ONCE_AND_IN_ORDER_REPORT: &str = r#"error: unknown key `thread` in `[global]`
 --> sluice.toml:2:1
  |
2 | thread = 4
  | ^^^^^^
  |
  = help: did you mean `threads`?

error: a duration needs a unit
 --> sluice.toml:3:16
  |
3 | stop_timeout = 30
  |                ^^
  |
  = help: say the unit: "30ms" or "30s"

error: `*:65536` has no port from 1 to 65535
 --> sluice.toml:7:17
  |
7 | bind = ["*:80", "*:65536"]
  |                 ^^^^^^^^^

error: nothing called `hrd` can be looked at
 --> sluice.toml:8:17
  |
8 | acl.host_api = "hrd(host) -i api.example.com"
  |                 ^^^
  |
  = help: did you mean `hdr`?

error: frontend `public` uses backend `web_b`, which does not exist
 --> sluice.toml:9:19
  |
9 | default_backend = "web_b"
  |                   ^^^^^^^ no `[backend.…]` has this name
  |
  = help: did you mean `web_be`?

error: `roundrobbin` is not a way to balance
  --> sluice.toml:12:12
   |
12 | balance = "roundrobbin"
   |            ^^^^^^^^^^^
   |
   = help: did you mean `roundrobin`?
"#;

#[test]
fn all_errors_of_syntax_are_found() {
    let text = r#"[global
user = "sluice"
[frontend.a]
mode = = "tcp"
bind = ["*:80"
"#;
    let expected = r#"error: not valid TOML: unclosed table, expected `]`
 --> sluice.toml:1:8
  |
1 | [global
  |        ^

error: not valid TOML: extra `=`, expected nothing
 --> sluice.toml:4:8
  |
4 | mode = = "tcp"
  |        ^

error: not valid TOML: unclosed array, expected `]`
 --> sluice.toml:5:15
  |
5 | bind = ["*:80"
  |               ^
"#;
    assert_errors(text, expected);
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    let text = r#"[global]
interfaces = 4
threads = "4"
user = ["a"]
[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
forwarded_for = "yes"
[backend.web.server]
name = "a"
address = "10.0.0.1"
"#;
    let expected = r#"error: `interfaces`: expected a string, found an integer
 --> sluice.toml:2:14
  |
2 | interfaces = 4
  |              ^

error: `threads`: expected an integer, found a string
 --> sluice.toml:3:11
  |
3 | threads = "4"
  |           ^^^

error: `user`: expected a string, found an array
 --> sluice.toml:4:8
  |
4 | user = ["a"]
  |        ^^^^^

error: `forwarded_for`: expected `true` or `false`, found a string
 --> sluice.toml:9:17
  |
9 | forwarded_for = "yes"
  |                 ^^^^^

error: `server`: expected an array of tables, each under its own `[[…]]`, found a table
  --> sluice.toml:10:1
   |
10 | [backend.web.server]
   | ^^^^^^^^^^^^^^^^^^^^
"#;
    assert_errors(text, expected);
}

#[test]
fn an_empty_file_serves_nothing() {
    let text = "";
    let expected = "error: no frontend: nothing would be served
 --> sluice.toml:1:1
  |
1 |
  | ^
  |
  = help: begin with `[frontend.NAME]`, `mode`, `bind` and `default_backend`; an empty `[frontend]` says that this is meant
";
    assert_errors(text, expected);
}

#[test]
fn an_empty_table_of_frontends_is_meant() {
    assert!(parse("[frontend]\n").expect("nothing is wrong").model.frontends.is_empty());
    parse(include_str!("../../../package/sluice.toml")).expect("what is installed is right");
}

#[test]
fn a_frontend_needs_mode_bind_and_backend() {
    let text = "[frontend.www]
";
    let expected = r#"error: frontend `www` has no `mode`
 --> sluice.toml:1:11
  |
1 | [frontend.www]
  |           ^^^
  |
  = help: `l4` forwards packets in the kernel, `tcp` relays bytes, `http` routes requests

error: frontend `www` has no `default_backend`
 --> sluice.toml:1:11
  |
1 | [frontend.www]
  |           ^^^
  |
  = help: name the backend that serves it: default_backend = "…"

error: frontend `www` listens nowhere
 --> sluice.toml:1:11
  |
1 | [frontend.www]
  |           ^^^
  |
  = help: give it an address: bind = ["*:80"]
"#;
    assert_errors(text, expected);
}

#[test]
fn a_backend_needs_a_server() {
    let text = r#"[frontend.www]
mode = "tcp"
bind = "*:80"
default_backend = "web"
[backend.web]
"#;
    let expected = "error: backend `web` has no server
 --> sluice.toml:5:10
  |
5 | [backend.web]
  |          ^^^
  |
  = help: add one under `[[backend.web.server]]`, with `name` and `address`
";
    assert_errors(text, expected);
}

#[test]
fn each_table_says_what_it_lacks() {
    assert_errors(EACH_TABLE_SAYS_WHAT_IT_LACKS, EACH_TABLE_SAYS_WHAT_IT_LACKS_REPORT);
}

const EACH_TABLE_SAYS_WHAT_IT_LACKS: &str = r#"[frontend.www]
mode = "http"
bind = [{ address = "*:443", tls = {} }, { protocol = "tcp" }]
rule = []

[[frontend.www.rule2]]

[backend.web]
check = {}
server = [{ name = "web1" }]
"#;

const EACH_TABLE_SAYS_WHAT_IT_LACKS_REPORT: &str = r#"error: frontend `www` has no `default_backend`
 --> sluice.toml:1:11
  |
1 | [frontend.www]
  |           ^^^
  |
  = help: name the backend that serves it: default_backend = "…"

error: `tls` needs `certificates`
 --> sluice.toml:3:36
  |
3 | bind = [{ address = "*:443", tls = {} }, { protocol = "tcp" }]
  |                                    ^^

error: a bind needs an `address`
 --> sluice.toml:3:42
  |
3 | bind = [{ address = "*:443", tls = {} }, { protocol = "tcp" }]
  |                                          ^^^^^^^^^^^^^^^^^^^^

error: unknown key `rule2` in a frontend
 --> sluice.toml:6:16
  |
6 | [[frontend.www.rule2]]
  |                ^^^^^
  |
  = help: did you mean `rule`?

error: a check needs a `type`
 --> sluice.toml:9:9
  |
9 | check = {}
  |         ^^
  |
  = help: such as type = "tcp", or "http"

error: a server needs an `address`
  --> sluice.toml:10:11
   |
10 | server = [{ name = "web1" }]
   |           ^^^^^^^^^^^^^^^^^
"#;

#[test]
fn what_later_versions_will_know_is_refused_as_such() {
    assert_errors(
        WHAT_LATER_VERSIONS_WILL_KNOW_IS_REFUSED_AS_SUCH,
        WHAT_LATER_VERSIONS_WILL_KNOW_IS_REFUSED_AS_SUCH_REPORT,
    );
}

const WHAT_LATER_VERSIONS_WILL_KNOW_IS_REFUSED_AS_SUCH: &str = r#"[frontend.www]
mode = "tcp"
bind = ["*:80", "[::]:*", "unix@/run/www"]
default_backend = "db"

[backend.db]
balance = "rdp-cookie"
check = { type = "tcp" }

[[backend.db.server]]
name = "db1"
address = "db1..example.com:3306"
"#;

const WHAT_LATER_VERSIONS_WILL_KNOW_IS_REFUSED_AS_SUCH_REPORT: &str = r#"error: mode `tcp` cannot listen on all ports
 --> sluice.toml:3:17
  |
3 | bind = ["*:80", "[::]:*", "unix@/run/www"]
  |                 ^^^^^^^^
  |
  = help: name those that clients need, such as "*:8000-8100"; `*` is for mode `l4`

error: `unix@/run/www`: unix sockets and address families are not supported yet
 --> sluice.toml:3:27
  |
3 | bind = ["*:80", "[::]:*", "unix@/run/www"]
  |                           ^^^^^^^^^^^^^^^
  |
  = help: supported: "192.0.2.10:80", "*:80", "[2001:db8::1]:80", "[::]:80", "192.0.2.10:8000-8100"; in mode `l4` also "192.0.2.10:*"

error: `rdp-cookie` is not supported
 --> sluice.toml:7:12
  |
7 | balance = "rdp-cookie"
  |            ^^^^^^^^^^
  |
  = help: balance = "source" brings a client back to its server too

error: `db1..example.com:3306` has no host name: a part between dots has 1 to 63 characters
  --> sluice.toml:12:11
   |
12 | address = "db1..example.com:3306"
   |           ^^^^^^^^^^^^^^^^^^^^^^^
"#;

#[test]
fn backends_alone_serve_nothing_either() {
    let text = "[backend.web]\nserver = [{ name = \"web1\", address = \"10.0.0.1:80\" }]\n";
    let errors = parse(text).expect_err("errors").render(Format::Short);
    assert_eq!(errors, "sluice.toml:1:1: error: no frontend: nothing would be served\n");
}
