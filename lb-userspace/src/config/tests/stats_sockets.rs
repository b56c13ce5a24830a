//! `stats_socket` of `[global]`.

use super::{model, said};
use crate::model::{Level, StatsSocket};

fn text(global: &str) -> String {
    format!(
        "[global]\n{global}\n[frontend.www]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n\
         [backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
    )
}

#[test]
fn a_path_alone_has_haproxys_defaults_and_a_table_says_more() {
    let sockets = |global: &str| model(&text(global)).global.stats_sockets;
    assert!(sockets("").is_empty());
    let plain = StatsSocket { path: "/run/a".into(), mode: 0o600, group: None, level: Level::Operator };
    assert_eq!(sockets("stats_socket = \"/run/a\""), std::slice::from_ref(&plain));
    let more = r#"stats_socket = ["/run/a", { path = "/run/b", mode = "0660", group = "g", level = "admin" }]"#;
    let group = Some("g".to_owned());
    let other = StatsSocket { path: "/run/b".into(), mode: 0o660, group, level: Level::Admin };
    assert_eq!(sockets(more), [plain, other]);
}

#[test]
fn what_cannot_be_is_said() {
    for (global, wrong) in [
        ("stats_socket = \"run/a\"", "`path` must be an absolute path"),
        ("stats_socket = { mode = \"600\" }", "a stats socket needs a `path`"),
        ("stats_socket = { path = \"/a\", mode = \"888\" }", "`888` is no mode of a socket"),
        ("stats_socket = { path = \"/a\", mode = \"6600\" }", "`6600` is no mode of a socket"),
        ("stats_socket = { path = \"/a\", level = \"root\" }", "root"),
        ("stats_socket = { path = \"/a\", group = \"a:b\" }", "`a:b` cannot be the name of a group"),
        ("stats_socket = [\"/a\", \"/a\"]", "two stats sockets have the same path"),
        ("control_socket = \"/a\"\nstats_socket = \"/a\"", "the control socket is there"),
    ] {
        let complaints = said(&text(global)).join("\n");
        assert!(complaints.contains(wrong), "{global}: {complaints}");
    }
}
