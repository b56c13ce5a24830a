//! Limits of connections.

use super::{model, said};

fn text(global: &str, defaults: &str, www: &str, other: &str) -> String {
    let frontend = |name: &str, port: u16, lines: &str| {
        format!("[frontend.{name}]\nmode = \"tcp\"\nbind = \"*:{port}\"\ndefault_backend = \"b\"\n{lines}\n")
    };
    let (www, other) = (frontend("www", 80, www), frontend("other", 81, other));
    format!(
        "[global]\n{global}\n[defaults]\n{defaults}\n{www}{other}\
         [backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
    )
}

#[test]
fn that_of_defaults_is_inherited_and_without_any_there_is_none() {
    let limits = |text: &str| {
        let model = model(text);
        let frontends: Vec<_> = model.frontends.iter().map(|frontend| frontend.maxconn).collect();
        (model.global.max_connections, frontends)
    };
    assert_eq!(limits(&text("", "", "", "")), (None, vec![0, 0]));
    let all = text("max_connections = 10000000", "maxconn = 7", "maxconn = 0", "");
    assert_eq!(limits(&all), (Some(10_000_000), vec![7, 0]));
}

#[test]
fn what_is_out_of_bounds_is_said_once() {
    assert_eq!(
        said(&text("max_connections = 0", "maxconn = -1", "", "")),
        ["`max_connections` must be from 1 to 10000000", "`maxconn` must be from 0 to 10000000"]
    );
    assert_eq!(said(&text("", "", "maxconn = 10000001", "")), ["`maxconn` must be from 0 to 10000000"]);
}

#[test]
fn the_kernel_half_has_none() {
    let text = super::l4(
        "bind = \"192.0.2.1:80\"\nmaxconn = 5",
        "server = [{ name = \"s\", address = \"10.0.0.1\" }]\nforward = \"direct\"",
    );
    assert_eq!(said(&text), ["`maxconn` has no meaning in mode `l4`"]);
}

#[test]
fn a_limit_of_memory_has_a_unit_and_is_enough() {
    let with = |memory: &str| text(&format!("max_memory = {memory}"), "", "", "");
    assert_eq!(model(&text("", "", "", "")).global.max_memory, None);
    assert_eq!(model(&with("\"64MiB\"")).global.max_memory, Some(64 << 20));
    assert_eq!(said(&with("\"63MiB\"")), ["`max_memory` must be at least 64MiB"]);
    assert_eq!(said(&with("512")), ["a size needs a unit"]);
    assert_eq!(said(&with("\"512\"")), ["a size needs a unit"]);
    assert_eq!(said(&with("\"2 pints\"")), ["`2 pints` is not a size: unknown unit"]);
}
