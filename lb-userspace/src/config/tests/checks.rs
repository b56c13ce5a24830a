//! Checks: keys of the types, who tracks whom, what is observed.

use super::{assert_errors, assert_warnings, model};
use crate::model::ServerName;

#[test]
fn servers_may_track_others_along_chains() {
    let model = model(
        r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
[backend.web]
check = { type = "http" }
server = [{ name = "a", address = "10.0.0.1:80" }, { name = "b", address = "10.0.0.2:80", track = "a" }]
[backend.admin]
server = [{ name = "c", address = "10.0.0.2:81", track = "web/b" }]
"#,
    );
    let track = |backend: &str, server: usize| model.backend(backend).expect("a backend").servers[server].track.clone();
    let a = || Some(ServerName { backend: "web".to_owned(), server: "a".to_owned() });
    assert_eq!([track("web", 0), track("web", 1), track("admin", 0)], [None, a(), a()]);
}

#[test]
fn tracking_must_lead_to_a_server_that_is_checked() {
    let text = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
[backend.web]
server = [
  { name = "a", address = "10.0.0.1:80" },
  { name = "b", address = "10.0.0.2:80", track = "a" },
  { name = "c", address = "10.0.0.3:80", track = "d" },
  { name = "d", address = "10.0.0.4:80", track = "web/c" },
  { name = "e", address = "10.0.0.5:80", track = "other/x" },
]
"#;
    let expected = r#"error: server `web/a` is not checked: it has nothing to track
 --> sluice.toml:8:50
  |
8 |   { name = "b", address = "10.0.0.2:80", track = "a" },
  |                                                  ^^^
  |
  = help: give backend `web` a `check`

error: tracking `d` leads round in circles, to no server that is checked
 --> sluice.toml:9:50
  |
9 |   { name = "c", address = "10.0.0.3:80", track = "d" },
  |                                                  ^^^

error: tracking `web/c` leads round in circles, to no server that is checked
  --> sluice.toml:10:50
   |
10 |   { name = "d", address = "10.0.0.4:80", track = "web/c" },
   |                                                  ^^^^^^^

error: there is no server `other/x` that could be tracked
  --> sluice.toml:11:50
   |
11 |   { name = "e", address = "10.0.0.5:80", track = "other/x" },
   |                                                  ^^^^^^^^^
"#;
    assert_errors(text, expected);
}

#[test]
fn a_login_has_a_password_and_what_errors_do_needs_errors() {
    let text = r#"[frontend.www]
mode = "tcp"
bind = "*:80"
default_backend = "a"
[backend.a]
check = { type = "redis", user = "x", password_file = "missing", init_state = "sideways", on_error = "mark-dwon" }
server = [{ name = "a", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: the file `missing` was not read
 --> sluice.toml:6:55
  |
6 | check = { type = "redis", user = "x", password_file = "missing", init_state = "sideways", on_error = "mark-dwon" }
  |                                                       ^^^^^^^^^

error: `sideways` is not a state to begin with
 --> sluice.toml:6:79
  |
6 | check = { type = "redis", user = "x", password_file = "missing", init_state = "sideways", on_error = "mark-dwon" }
  |                                                                               ^^^^^^^^^^
  |
  = help: supported: `fully-up`, `up`, `down`, `fully-down`

error: `mark-dwon` is not something that errors do
 --> sluice.toml:6:102
  |
6 | check = { type = "redis", user = "x", password_file = "missing", init_state = "sideways", on_error = "mark-dwon" }
  |                                                                                                      ^^^^^^^^^^^
  |
  = help: did you mean `mark-down`?
"#;
    assert_errors(text, expected);
    let text = r#"[frontend.www]
mode = "tcp"
bind = "*:80"
default_backend = "a"
[backend.a]
check = { type = "tcp", error_limit = 3 }
server = [{ name = "a", address = "10.0.0.1:80" }]
"#;
    let expected = r#"warning: `error_limit` has no effect without `observe`
 --> sluice.toml:6:39
  |
6 | check = { type = "tcp", error_limit = 3 }
  |                                       ^
  |
  = help: observe = "layer4" or "layer7": the failures that count
"#;
    assert_warnings(text, expected);
}

#[test]
fn fallbacks_end_somewhere_and_each_word_has_its_layer() {
    assert_errors(FALLBACKS, FALLBACKS_REPORT);
}

const FALLBACKS: &str = r#"[global]
interfaces = "eth0"
hash_key = "000102030405060708090a0b0c0d0e0f"
[frontend.dns]
mode = "l4"
bind = "192.0.2.1:53"
default_backend = "a"
[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "b"
[backend.a]
forward = "nat"
fallback = "f"
server = [{ name = "a", address = "10.0.0.1:80" }]
[backend.b]
fallback = "c"
on_empty = "reset"
min_up = 2
server = [{ name = "a", address = "10.0.0.1:80" }]
[backend.c]
fallback = "b"
server = [{ name = "a", address = "10.0.0.1:80" }]
[backend.d]
fallback = "e"
server = [{ name = "a", address = "10.0.0.1:80" }]
[backend.f]
forward = "ipip"
server = [{ name = "a", address = "10.0.0.1" }]
"#;

const FALLBACKS_REPORT: &str = r#"error: backend `f` cannot take the packets of `a`: `forward` differs
  --> sluice.toml:14:12
   |
14 | fallback = "f"
   |            ^^^
   |
   = help: a VIP is forwarded in one way, whoever serves it: say the same in both backends

error: backend `b` would fall back to itself
  --> sluice.toml:17:12
   |
17 | fallback = "c"
   |            ^^^

error: `on_empty = "reset"` has no meaning for frontend `www` of mode `http`
  --> sluice.toml:18:12
   |
11 | default_backend = "b"
   |                   --- used here
...
18 | on_empty = "reset"
   |            ^^^^^^^

error: at most 1 servers of backend `b` take traffic: `min_up` is never reached
  --> sluice.toml:19:10
   |
19 | min_up = 2
   |          ^

error: backend `c` would fall back to itself
  --> sluice.toml:22:12
   |
22 | fallback = "b"
   |            ^^^

error: there is no backend `e`
  --> sluice.toml:25:12
   |
25 | fallback = "e"
   |            ^^^
   |
   = help: did you mean `a`?
"#;
