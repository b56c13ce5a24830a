//! Agents: what a server does not say of its own, its backend says.

use super::{assert_errors, assert_warnings, model};
use crate::model::Agent;
use std::time::Duration;

/// A backend with these keys and servers.
fn tcp(keys: &str, servers: &str) -> String {
    format!(
        "[frontend.f]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\n{keys}\nserver = [\n{servers}\n]\n"
    )
}

#[test]
fn a_server_says_of_its_agent_where_it_differs() {
    let text = tcp(
        "check = { type = \"tcp\" }\nagent = { port = 9707, interval = \"5s\", timeout = \"1s\", send = \"state\\n\" }",
        r#"  { name = "a", address = "10.0.0.1:80" },
  { name = "b", address = "10.0.0.2:80", agent = { port = 9708, address = "10.0.0.9", send = "b\n" } },
  { name = "c", address = "10.0.0.3:80", track = "a" },"#,
    );
    let servers = model(&text).backends.remove(0).servers;
    let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(1));
    let all = Agent { port: 9707, address: None, interval, timeout, send: "state\n".to_owned() };
    assert_eq!(servers[0].agent(), Some(&all));
    let own = Agent { port: 9708, address: Some([10, 0, 0, 9].into()), send: "b\n".to_owned(), ..all };
    assert_eq!(servers[1].agent(), Some(&own));
    assert_eq!(servers[2].agent(), None, "it has what it tracks");

    let text = tcp(
        "",
        "  { name = \"a\", address = \"10.0.0.1:80\", agent = { port = 1 } },\n  { name = \"b\", address = \"10.0.0.2:80\" },",
    );
    let servers = model(&text).backends.remove(0).servers;
    assert_eq!(servers[0].agent(), Some(&Agent { port: 1, ..Agent::default() }));
    assert_eq!(servers[1].agent(), None);
}

#[test]
fn what_is_wrong_with_agents_is_said_once_and_all_at_once() {
    let text = tcp(
        "check = { type = \"tcp\" }\nagent = { interval = \"1ms\", prot = 1 }",
        r#"  { name = "a", address = "10.0.0.1:80" },
  { name = "b", address = "10.0.0.2:80" },
  { name = "c", address = "10.0.0.3:80", agent = { port = 0 } },
  { name = "d", address = "10.0.0.4:80", agent = { port = 1 }, track = "a" },"#,
    );
    let expected = r#"error: an agent needs a `port`
 --> sluice.toml:7:9
  |
7 | agent = { interval = "1ms", prot = 1 }
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: HAProxy's `agent-port`: where it listens

error: `interval` must be from 10ms to 365d
 --> sluice.toml:7:22
  |
7 | agent = { interval = "1ms", prot = 1 }
  |                      ^^^^^

error: unknown key `prot` in an agent
 --> sluice.toml:7:29
  |
7 | agent = { interval = "1ms", prot = 1 }
  |                             ^^^^
  |
  = help: did you mean `port`?

error: `port` must be from 1 to 65535
  --> sluice.toml:11:59
   |
11 |   { name = "c", address = "10.0.0.3:80", agent = { port = 0 } },
   |                                                           ^

error: `agent` has no meaning for a server with `track`
  --> sluice.toml:12:50
   |
12 |   { name = "d", address = "10.0.0.4:80", agent = { port = 1 }, track = "a" },
   |                                                  ^^^^^^^^^^^^
   |
   = help: it becomes what the other one is, also by that one's agent
"#;
    assert_errors(&text, expected);
    let text = tcp(
        "agent = { port = 1, timeout = \"3s\" }",
        "  { name = \"a\", address = \"10.0.0.1:80\" },\n  { name = \"b\", address = \"10.0.0.2:80\" },",
    );
    let expected = r#"warning: a question may take 3s, but the next is due after 2s
 --> sluice.toml:6:31
  |
6 | agent = { port = 1, timeout = "3s" }
  |                               ^^^^
"#;
    assert_warnings(&text, expected);
}
