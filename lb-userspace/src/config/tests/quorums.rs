//! Quorums: what they count, and those that nobody could have.

use super::{assert_errors, assert_warnings, l4, model, said};
use crate::model::{Quorum, QuorumDown};
use std::fmt::Write;

/// A frontend with these keys and a backend with so many servers and backups, and these keys.
fn text(frontend: &str, (servers, backups): (usize, usize), backend: &str) -> String {
    let mut list = String::from("forward = \"direct\"\n");
    _ = writeln!(list, "{backend}\nserver = [");
    for number in 0..servers + backups {
        let backup = number >= servers;
        _ = writeln!(list, "  {{ name = \"s{number}\", address = \"10.0.0.{number}\", backup = {backup} }},");
    }
    l4(&format!("bind = \"192.0.2.10:80\"\n{frontend}"), &(list + "]"))
}

fn quorum(frontend: &str, servers: (usize, usize)) -> (u32, u32) {
    let Quorum { servers, hysteresis, .. } = model(&text(frontend, servers, "")).frontends[0].quorum;
    (servers, hysteresis)
}

#[test]
fn a_quorum_is_a_number_or_a_part_of_the_servers_that_are_no_backups() {
    assert_eq!(model(&text("", (3, 1), "")).frontends[0].quorum, Quorum::default());
    assert_eq!(quorum("quorum = 2", (3, 1)), (2, 0));
    assert_eq!(quorum("quorum = 3\nhysteresis = 1", (5, 0)), (3, 1));
    for (percent, servers, counted) in
        [("50%", (4, 2), 2), ("50%", (5, 0), 3), ("1%", (5, 0), 1), ("100%", (5, 0), 5), ("34%", (3, 0), 2)]
    {
        assert_eq!(quorum(&format!("quorum = \"{percent}\""), servers).0, counted, "{percent} of {servers:?}");
    }
    assert_eq!(quorum("quorum = \"50%\"\nhysteresis = \"10%\"", (10, 0)), (5, 1));
    let down = |word: &str| model(&text(&format!("quorum_down = \"{word}\""), (1, 0), "")).frontends[0].quorum.down;
    assert_eq!((down("serve"), down("withdraw")), (QuorumDown::Serve, QuorumDown::Withdraw));
}

#[test]
fn a_quorum_of_the_proxy_counts_its_default_backend() {
    let text = |lines: &str, default: &str| {
        format!(
            "[frontend.f]\nmode = \"http\"\nbind = \"*:80\"\n{lines}\n{default}\n[[frontend.f.rule]]\nif = \"{{ path / }}\"\nuse = \"b\"\n\
             [backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}, {{ name = \"t\", address = \"10.0.0.2:80\" }}]\n"
        )
    };
    assert_eq!(model(&text("quorum = 2", "default_backend = \"b\"")).frontends[0].quorum.servers, 2);
    let expected = r"error: `quorum` needs a `default_backend`, whose servers are counted
 --> sluice.toml:4:10
  |
4 | quorum = 2
  |          ^
";
    assert_errors(&text("quorum = 2", ""), expected);
    let withdraws = text("quorum_down = \"withdraw\"", "default_backend = \"b\"");
    assert_eq!(said(&withdraws), ["`quorum_down` has no meaning in mode `http`"]);
}

#[test]
fn a_quorum_that_nobody_can_have_or_lose_is_an_error() {
    let range = |key, least, most| {
        vec![format!("`{key}` must be from {least} to {most}, the servers that can take traffic together")]
    };
    for wrong in ["quorum = 4", "quorum = 0", "quorum = -1", "quorum = \"0%\"", "quorum = 99999999999999999999"] {
        assert_eq!(said(&text(wrong, (3, 1), "")), range("quorum", 1, 3), "{wrong}");
    }
    assert_eq!(said(&text("quorum = 2", (1, 2), "")), range("quorum", 1, 1), "one backup at a time");
    assert_eq!(quorum("quorum = 1", (1, 2)), (1, 0));
    assert!(said(&text("quorum = 2", (1, 2), "allbackups = true")).is_empty());
    assert_eq!(said(&text("quorum = 2\nhysteresis = -1", (3, 0), "")), range("hysteresis", 0, 3));
    assert_eq!(
        said(&text("quorum = 2\nhysteresis = 2", (5, 0), "")),
        ["with a `hysteresis` of 2 a quorum of 2 would never be lost"]
    );
    let expected = r"error: with a `hysteresis` of 1 a quorum of 3 that is lost would never be had again
 --> sluice.toml:9:14
  |
9 | hysteresis = 1
  |              ^
  |
  = help: it is lost below `quorum` - `hysteresis`, and had again from `quorum` + `hysteresis` on, which 3 allow
";
    assert_errors(&text("quorum = 3\nhysteresis = 1", (3, 0), ""), expected);
}

#[test]
fn what_is_no_amount_is_said() {
    let percentage = |typed: &str| vec![format!("`{typed}` is not a percentage from \"0%\" to \"100%\"")];
    for typed in ["101%", "50", "half", "-1%", "1.5%", "256%"] {
        assert_eq!(said(&text(&format!("quorum = \"{typed}\""), (3, 0), "")), percentage(typed));
    }
    let wrong = said(&text("quorum = 0.5", (3, 0), ""));
    assert_eq!(wrong, ["`quorum`: expected a number of servers, or a percentage such as \"50%\", found a float"]);
    assert_eq!(
        said(&text("quorum_down = \"withdrawn\"", (3, 0), "")),
        ["`withdrawn` is not what becomes of traffic without a quorum"]
    );
}

#[test]
fn a_vip_that_is_withdrawn_leaves_nothing_to_its_fallback() {
    let spare = "[backend.c]\nforward = \"direct\"\nserver = [{ name = \"c\", address = \"10.0.0.9\" }]\n";
    let text = text("quorum_down = \"withdraw\"", (1, 0), "fallback = \"c\"") + spare;
    let expected = r#"warning: without its quorum the VIP is withdrawn: the `fallback` of `b` never serves it
 --> sluice.toml:8:15
  |
8 | quorum_down = "withdraw"
  |               ^^^^^^^^^^
  |
  = help: quorum_down = "serve" leaves it to the fallback
"#;
    assert_warnings(&text, expected);
}
