//! Checks: keys of the types, who tracks whom, what is observed.

use super::{assert_errors, assert_warnings, model};
use crate::model::{DownFlows, OnEmpty, ServerName, check::Layer};

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
fn of_l4_what_servers_answer_is_observed_where_it_passes() {
    let text = |forward: &str, layer: &str| {
        format!(
            r#"[global]
interfaces = "eth0"
hash_key = "000102030405060708090a0b0c0d0e0f"
[frontend.dns]
mode = "l4"
bind = "192.0.2.1:53"
default_backend = "a"
[backend.a]
forward = "{forward}"
check = {{ type = "tcp", observe = "{layer}" }}
server = [{{ name = "a", address = "10.0.0.1:53" }}]
"#
        )
    };
    let observe = model(&text("nat", "layer4")).backends[0].check.as_ref().expect("a check").observe;
    assert_eq!(observe.expect("it observes").layer, Layer::Connections);
    assert_errors(&text("direct", "layer4").replace(":53\" }", "\" }"), UNSEEN);
    assert_errors(&text("nat", "layer7"), NO_REQUESTS);
    let binds = |bind: &str| text("nat", "layer4").replace("bind = \"192.0.2.1:53\"", &format!("bind = {bind}"));
    assert_errors(&binds(r#"["192.0.2.1:53", "192.0.2.1:80-81"]"#).replace(":53\" }", "\" }"), MANY_PORTS);
    assert_errors(&binds(r#"{ address = "192.0.2.1:53", protocol = "udp" }"#), DATAGRAMS);
    model(&binds(r#"{ address = "192.0.2.1:53", protocol = ["udp", "tcp"] }"#));
    model(&binds(r#"["192.0.2.1:53", { address = "192.0.2.1:53", protocol = "udp" }]"#));
}

const MANY_PORTS: &str = r#"error: `observe` would take clients that try closed ports of backend `a` for failures of its servers
  --> sluice.toml:10:35
   |
 6 | bind = ["192.0.2.1:53", "192.0.2.1:80-81"]
   |                         ----------------- l4 frontend `dns` takes more than one port
...
10 | check = { type = "tcp", observe = "layer4" }
   |                                   ^^^^^^^^
   |
   = help: bind the ports that servers listen on one by one, or leave it to probes
"#;

const DATAGRAMS: &str = r#"error: `observe` sees nothing of backend `a`: nothing answers datagrams for certain
  --> sluice.toml:10:35
   |
 7 | default_backend = "a"
   |                   --- used by l4 frontend `dns` for UDP alone
...
10 | check = { type = "tcp", observe = "layer4" }
   |                                   ^^^^^^^^
   |
   = help: leave it to probes
"#;

const UNSEEN: &str = r#"error: `observe` sees nothing of backend `a`: by `direct` replies go past the balancer
  --> sluice.toml:10:35
   |
 7 | default_backend = "a"
   |                   --- used by l4 frontend `dns` here
...
10 | check = { type = "tcp", observe = "layer4" }
   |                                   ^^^^^^^^
   |
   = help: forward = "nat" or "fullnat" if they pass here; else leave it to probes
"#;

const NO_REQUESTS: &str = r#"error: `observe = "layer7"` has no meaning for frontend `dns` of mode `l4`
  --> sluice.toml:10:35
   |
 7 | default_backend = "a"
   |                   --- used here
...
10 | check = { type = "tcp", observe = "layer7" }
   |                                   ^^^^^^^^
"#;

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
on_marked_down = "move"
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

error: `on_marked_down = "move"` has no meaning for frontend `www` of mode `http`
  --> sluice.toml:19:18
   |
11 | default_backend = "b"
   |                   --- used here
...
19 | on_marked_down = "move"
   |                  ^^^^^^

error: at most 1 servers of backend `b` take traffic: `min_up` is never reached
  --> sluice.toml:20:10
   |
20 | min_up = 2
   |          ^

error: backend `c` would fall back to itself
  --> sluice.toml:23:12
   |
23 | fallback = "b"
   |            ^^^

error: there is no backend `e`
  --> sluice.toml:26:12
   |
26 | fallback = "e"
   |            ^^^
   |
   = help: did you mean `a`?
"#;

#[test]
fn the_kernel_half_refuses_keeps_and_resets() {
    let text = |more: &str| {
        format!(
            r#"[global]
interfaces = "eth0"
hash_key = "000102030405060708090a0b0c0d0e0f"
[frontend.dns]
mode = "l4"
bind = "192.0.2.1:53"
fragments = "hash"
default_backend = "a"
[backend.a]
forward = "nat"
{more}
server = [{{ name = "a", address = "10.0.0.1:53" }}]
"#
        )
    };
    let failover = |more: &str| model(&text(more).replace("fragments = \"hash\"\n", "")).backends[0].failover;
    assert_eq!((failover("").on_empty, failover("").flows), (OnEmpty::Error, DownFlows::Move));
    assert_eq!(failover("on_empty = \"reset\"").on_empty, OnEmpty::Reset);
    for (word, flows) in [("move", DownFlows::Move), ("keep", DownFlows::Keep), ("shutdown-sessions", DownFlows::Reset)]
    {
        assert_eq!(failover(&format!("on_marked_down = \"{word}\"")).flows, flows);
    }
    assert_errors(&text("balance = \"source\"\non_marked_down = \"keep\""), TOGETHER);
    assert_eq!(
        model(&text("balance = \"source\"\non_marked_down = \"move\"")).backends[0].failover.flows,
        DownFlows::Move
    );
}

const TOGETHER: &str = r#"error: connections of a client to backend `a` are not told apart: they can only move
  --> sluice.toml:12:18
   |
11 | balance = "source"
   |           -------- they go by this together
12 | on_marked_down = "keep"
   |                  ^^^^^^
   |
   = help: on_marked_down = "move", or balance = "maglev" and fragments = "track" or "drop"

error: connections of a client to backend `a` are not told apart: they can only move
  --> sluice.toml:12:18
   |
 7 | fragments = "hash"
   |             ------ they go by this together
...
12 | on_marked_down = "keep"
   |                  ^^^^^^
   |
   = help: on_marked_down = "move", or balance = "maglev" and fragments = "track" or "drop"
"#;
