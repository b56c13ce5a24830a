//! Errors of single values: names, the environment, what the process needs.

use super::{Format, assert_errors, parse};

#[test]
fn an_unset_variable_is_an_error_at_its_name() {
    let text = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
timeout_client = "${TIMEOUT}"
acl.a = "path ${A"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: the environment has no `TIMEOUT`
 --> sluice.toml:5:21
  |
5 | timeout_client = "${TIMEOUT}"
  |                     ^^^^^^^
  |
  = help: a literal `${` is written `$${`

error: `${` without `}`
 --> sluice.toml:6:15
  |
6 | acl.a = "path ${A"
  |               ^^^
  |
  = help: a literal `${` is written `$${`
"#;
    assert_errors(text, expected);
}

#[test]
fn with_escapes_the_caret_marks_the_whole_string() {
    let text = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
acl.a = "path\u005fbge /a"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: nothing called `path_bge` can be looked at
 --> sluice.toml:5:9
  |
5 | acl.a = "path\u005fbge /a"
  |         ^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `path_beg`?
"#;
    assert_errors(text, expected);
}

#[test]
fn a_name_has_no_spaces() {
    let text = r#"[frontend."a b"]
mode = "tcp"
bind = "*:80"
default_backend = "web"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: frontend name `a b` is not allowed
 --> sluice.toml:1:11
  |
1 | [frontend."a b"]
  |           ^^^^^
  |
  = help: a name is made of letters, digits, `_`, `.`, `:` and `-`
"#;
    assert_errors(text, expected);
}

#[test]
fn global_is_checked_and_the_hash_key_not_shown() {
    assert_errors(GLOBAL_IS_CHECKED_AND_THE_HASH_KEY_NOT_SHOWN, GLOBAL_IS_CHECKED_AND_THE_HASH_KEY_NOT_SHOWN_REPORT);
}

const GLOBAL_IS_CHECKED_AND_THE_HASH_KEY_NOT_SHOWN: &str = r#"[global]
interfaces = ["eth0", "eth0", "averylonginterface"]
hash_key = "0123456789abcdef0123456789abcdeg"
threads = 0
on_stop = "stay"
control_socket = "run/sluice.sock"
metrics = "127.0.0.1"
stop_timeout = "9999d"

[defaults]
timeout_client = "0s"
timeout_server = "1 m"
[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;

const GLOBAL_IS_CHECKED_AND_THE_HASH_KEY_NOT_SHOWN_REPORT: &str = r#"error: interface `eth0` is listed twice
 --> sluice.toml:2:23
  |
2 | interfaces = ["eth0", "eth0", "averylonginterface"]
  |                       ^^^^^^

error: `averylonginterface` cannot be the name of a network interface
 --> sluice.toml:2:31
  |
2 | interfaces = ["eth0", "eth0", "averylonginterface"]
  |                               ^^^^^^^^^^^^^^^^^^^^

error: `hash_key` must be 32 hexadecimal digits
 --> sluice.toml:3:12
  |
3 | hash_key = "********************************"
  |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ 32 characters, 31 of them hexadecimal digits
  |
  = help: make one: openssl rand -hex 16

error: `threads` must be from 1 to 1024
 --> sluice.toml:4:11
  |
4 | threads = 0
  |           ^

error: `stay` is not a way to stop
 --> sluice.toml:5:11
  |
5 | on_stop = "stay"
  |           ^^^^^^
  |
  = help: supported: `detach`, `keep`

error: `control_socket` must be an absolute path
 --> sluice.toml:6:18
  |
6 | control_socket = "run/sluice.sock"
  |                  ^^^^^^^^^^^^^^^^^
  |
  = help: it must mean the same in every directory that the daemon or its tools start from

error: `127.0.0.1` has no port
 --> sluice.toml:7:11
  |
7 | metrics = "127.0.0.1"
  |           ^^^^^^^^^^^
  |
  = help: supported: "192.0.2.10:80", "*:80", "[2001:db8::1]:80", "[::]:80"

error: `stop_timeout` must be from 0s to 365d
 --> sluice.toml:8:16
  |
8 | stop_timeout = "9999d"
  |                ^^^^^^^

error: `timeout_client` must be from 1ms to 365d
  --> sluice.toml:11:18
   |
11 | timeout_client = "0s"
   |                  ^^^^

error: `1 m` is not a duration: unknown unit
  --> sluice.toml:12:18
   |
12 | timeout_server = "1 m"
   |                  ^^^^^
   |
   = help: a duration is a whole number and `us`, `ms`, `s`, `m`, `h` or `d`, such as "250ms"
"#;

#[test]
fn what_a_message_quotes_cannot_steer_a_terminal_or_break_a_line() {
    let text = "[frontend.www]\nmode = \"\\u001b[31m\\nhttp\"\nbind = \"*:80\"\n";
    let errors = parse(text).expect_err("errors");
    let short = errors.render(Format::Short);
    assert!(short.contains("sluice.toml:2:8: error: `␛[31m␊http` is not a mode\n"), "{short}");
    assert!(!errors.render(Format::Full).contains('\u{1b}'));
    assert!(errors.render(Format::Colour).contains('\u{1b}'), "colour only if asked for");
}

#[test]
fn networks_of_proxies_are_exact_and_only_where_connections_end() {
    let text = r#"[frontend.www]
mode = "http"
bind = { address = "*:80", accept_proxy = ["192.0.2.1/24", "10.1", "192.0.2.0/24", "2001:db8::1"] }
default_backend = "web"

[frontend.db]
mode = "l4"
bind = { address = "192.0.2.10:3306", accept_proxy = "192.0.2.0/24" }
default_backend = "web"

[backend.web]
forward = "nat"
send_proxy = "v3"
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let errors = parse(text).expect_err("errors").render(Format::Short);
    let expected = "\
sluice.toml:3:44: error: `192.0.2.1/24` has bits beyond its length
sluice.toml:3:60: error: `10.1` is neither a network nor an address
sluice.toml:7:8: error: l4 frontends need the network interfaces that their packets come in by
sluice.toml:8:54: error: an l4 frontend forwards packets as they are, PROXY headers among them
sluice.toml:13:14: error: `v3` is not a version of the PROXY protocol
";
    assert_eq!(errors, expected);
}
