//! `sluice explain`: what becomes of a request, rule by rule.

use super::{Daemon, client::ask, complain, format_for_people, print};
use crate::{
    admin::{protocol::Request, status::Status},
    config,
    l7::explain::{Explanation, Question, Seen, Step, explain, frontend},
};
use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::ExitCode,
};

/// The port of a client of which only the address is given.
const PORT: u16 = 40_000;

pub(super) fn run(daemon: &Daemon, config: &Path, name: Option<&str>, question: &Question) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&config::collect(config)?)?;
    complain(&loaded.warnings.render(format_for_people()));
    let status: Option<Status> = ask(&daemon.socket, &Request::Status).ok();
    let takes = |backend: &str, server: &str| {
        let known = status.as_ref().and_then(|status| status.backends.iter().find(|known| known.name == backend));
        let known = known.and_then(|known| known.servers.iter().find(|known| known.name == server));
        known.is_none_or(|known| known.available)
    };
    let frontend = frontend(&loaded.model, name, question.destination)?;
    let explained = explain(&loaded.model, frontend, question, &takes)?;
    print(&if daemon.json {
        serde_json::to_string_pretty(&explained)?
    } else {
        let unknown = "no daemon answers: all servers are taken to be well\n\n";
        (if status.is_none() { unknown } else { "" }).to_owned() + &render(&explained)
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn parse_field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a field is written as \"Name: value\"")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name { Ok((name.to_owned(), value.trim().to_owned())) } else { Err("no name before the colon".to_owned()) }
}

pub(super) fn parse_client(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    address
        .or_else(|_| text.parse())
        .map_err(|_unreadable| "an address such as 192.0.2.1, or 192.0.2.1:40000".to_owned())
}

/// For people: rules from top to bottom, and below each what its ACLs saw.
fn render(explained: &Explanation) -> String {
    let mut text = format!("frontend {}\n", explained.frontend);
    for Step { of, action, condition, holds, acls } in &explained.steps {
        let condition = condition.as_deref().unwrap_or("always");
        let mark = if *holds { "yes" } else { " no" };
        _ = writeln!(text, "  {mark}  {of}: {action}, {condition}");
        for Seen { name, holds, expressions } in acls {
            for (expression, value, matches) in expressions {
                let value = value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("\"{value}\""));
                let (sees, mark) = if *matches { ("matches", "+") } else { ("does not match", "-") };
                let name = if name.starts_with('{') { String::new() } else { format!("{name}: ") };
                _ = writeln!(text, "       {mark} {name}{expression} sees {value} and {sees}");
            }
            if expressions.is_empty() {
                _ = writeln!(text, "       {name} {}", if *holds { "holds" } else { "does not hold" });
            }
        }
    }
    if let Some(request) = &explained.request {
        text += "the server gets\n";
        request.lines().for_each(|line| _ = writeln!(text, "       {line}"));
    }
    text + &explained.outcome + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_clients_are_read_as_people_write_them() {
        assert_eq!(parse_field("X-A:  b: c "), Ok(("X-A".to_owned(), "b: c".to_owned())));
        assert!(parse_field("X-A").is_err() && parse_field(": b").is_err() && parse_field("a b: c").is_err());
        assert_eq!(parse_client("192.0.2.1"), Ok("192.0.2.1:40000".parse().unwrap()));
        assert_eq!(parse_client("::1"), Ok("[::1]:40000".parse().unwrap()));
        assert_eq!(parse_client("[::1]:7"), Ok("[::1]:7".parse().unwrap()));
        assert!(parse_client("here").is_err());
    }
}
