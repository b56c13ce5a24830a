//! Errors of syntax, types, names and units, as the operator sees them.

use super::assert_errors;

#[test]
fn five_errors_come_at_once_and_in_order() {
    let text = r##"[global]
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
"##;
    let expected = r##"error: unknown key `thread` in `[global]`
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
  --> sluice.toml:12:11
   |
12 | balance = "roundrobbin"
   |           ^^^^^^^^^^^^^
   |
   = help: did you mean `roundrobin`?
"##;
    assert_errors(text, expected);
}

#[test]
fn all_errors_of_syntax_are_found() {
    let text = r##"[global
user = "sluice"
[frontend.a]
mode = = "tcp"
bind = ["*:80"
"##;
    let expected = r##"error: not valid TOML: unclosed table, expected `]`
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
"##;
    assert_errors(text, expected);
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    let text = r##"[global]
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
"##;
    let expected = r##"error: `interfaces`: expected a string, found an integer
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
"##;
    assert_errors(text, expected);
}

#[test]
fn an_empty_file_serves_nothing() {
    let text = r##""##;
    let expected = r##"error: no frontend: nothing would be served
 --> sluice.toml:1:1
  |
1 |
  | ^
  |
  = help: begin with `[frontend.NAME]`, `mode`, `bind` and `default_backend`
"##;
    assert_errors(text, expected);
}

#[test]
fn a_frontend_needs_mode_bind_and_backend() {
    let text = r##"[frontend.www]
"##;
    let expected = r##"error: frontend `www` has no `mode`
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
"##;
    assert_errors(text, expected);
}

#[test]
fn a_backend_needs_a_server() {
    let text = r##"[frontend.www]
mode = "tcp"
bind = "*:80"
default_backend = "web"
[backend.web]
"##;
    let expected = r##"error: backend `web` has no server
 --> sluice.toml:5:10
  |
5 | [backend.web]
  |          ^^^
  |
  = help: add one under `[[backend.web.server]]`, with `name` and `address`
"##;
    assert_errors(text, expected);
}

#[test]
fn what_later_versions_will_know_is_refused_as_such() {
    let text = r##"[frontend.www]
mode = "tcp"
bind = ["*:80", "*:8000-8010", "unix@/run/www"]
default_backend = "db"

[backend.db]
balance = "leastconn"
forward = "ipip"
check = { type = "mysql" }

[[backend.db.server]]
name = "db1"
address = "db1.example.com:3306"
"##;
    let expected = r##"error: `*:8000-8010` has no port from 1 to 65535
 --> sluice.toml:3:17
  |
3 | bind = ["*:80", "*:8000-8010", "unix@/run/www"]
  |                 ^^^^^^^^^^^^^
  |
  = help: ranges of ports are not supported yet; supported: "192.0.2.10:80", "*:80", "[2001:db8::1]:80", "[::]:80"

error: `unix@/run/www`: unix sockets and address families are not supported yet
 --> sluice.toml:3:32
  |
3 | bind = ["*:80", "*:8000-8010", "unix@/run/www"]
  |                                ^^^^^^^^^^^^^^^
  |
  = help: supported: "192.0.2.10:80", "*:80", "[2001:db8::1]:80", "[::]:80"

error: `leastconn` is not supported yet
 --> sluice.toml:7:11
  |
7 | balance = "leastconn"
  |           ^^^^^^^^^^^
  |
  = help: supported: `roundrobin`, `maglev`

error: `ipip` is not supported yet
 --> sluice.toml:8:11
  |
8 | forward = "ipip"
  |           ^^^^^^
  |
  = help: supported: `direct`, `nat`

error: `mysql` is not supported yet
 --> sluice.toml:9:18
  |
9 | check = { type = "mysql" }
  |                  ^^^^^^^
  |
  = help: supported: `tcp`, `http`

error: `db1.example.com:3306`: host names are not supported yet
  --> sluice.toml:13:11
   |
13 | address = "db1.example.com:3306"
   |           ^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: supported: "10.0.0.1:80", "[2001:db8::1]:80", and the same without a port
"##;
    assert_errors(text, expected);
}

#[test]
fn an_unset_variable_is_an_error_at_its_name() {
    let text = r##"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
timeout_client = "${TIMEOUT}"
acl.a = "path ${A"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"##;
    let expected = r##"error: the environment has no `TIMEOUT`
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
"##;
    assert_errors(text, expected);
}

#[test]
fn with_escapes_the_caret_marks_the_whole_string() {
    let text = r##"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
acl.a = "path\u005fbge /a"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"##;
    let expected = r##"error: nothing called `path_bge` can be looked at
 --> sluice.toml:5:9
  |
5 | acl.a = "path\u005fbge /a"
  |         ^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `path_beg`?
"##;
    assert_errors(text, expected);
}

#[test]
fn a_name_has_no_spaces() {
    let text = r##"[frontend."a b"]
mode = "tcp"
bind = "*:80"
default_backend = "web"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"##;
    let expected = r##"error: `a b` cannot be the name of a frontend
 --> sluice.toml:1:11
  |
1 | [frontend."a b"]
  |           ^^^^^
  |
  = help: a name is made of letters, digits, `_`, `.`, `:` and `-`
"##;
    assert_errors(text, expected);
}

#[test]
fn global_is_checked_and_the_hash_key_not_shown() {
    let text = r##"[global]
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
"##;
    let expected = r##"error: interface `eth0` is listed twice
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
"##;
    assert_errors(text, expected);
}
