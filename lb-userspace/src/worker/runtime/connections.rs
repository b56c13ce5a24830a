//! `show sess` and `shutdown session`: the connections of clients, which HAProxy calls sessions, and what it tells of them where we
//! have the like. Those that wait for their next request are among them.

use super::{Running, Said, word};
use crate::{
    l7::{self, Present},
    model::{Backend, Server},
};
use std::{
    collections::HashMap,
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, SystemTime},
};
use tracing::info;

/// Connections that are told of at most, of each thread.
const MOST: usize = 50_000;

impl Running {
    /// `show sess [all | <id>]`.
    pub(super) async fn show_connections(&self, rest: &[String]) -> Said {
        let named = word(rest, 0);
        let wanted = id(named);
        let present = match (named, wanted) {
            ("" | "all", _) | (_, Some(_)) => self.threads.present(MOST, wanted).await,
            (_, None) => Vec::new(),
        };
        let (names, mut text) = (self.names(), String::new());
        for one in present {
            if named.is_empty() { line(&one, &names, &mut text) } else { details(&one, &names, &mut text) }
        }
        if text.is_empty() && !matches!(named, "" | "all") { Err("Session not found.".to_owned()) } else { Ok(text) }
    }

    /// `shutdown session <id>`.
    pub(super) async fn cut_connection(&self, rest: &[String]) -> Said {
        let named = word(rest, 0);
        if named.is_empty() {
            return Err("Session pointer expected (use 'show sess').".to_owned());
        }
        let is_there = match id(named) {
            Some(id) => self.threads.cut(id).await,
            None => false,
        };
        if !is_there {
            return Err("No such session (use 'show sess').".to_owned());
        }
        info!(id = named, "a connection of a client is cut");
        Ok(String::new())
    }

    /// Backends and servers by the servers' identities.
    fn names(&self) -> Names<'_> {
        let of = |backend: &'_ Backend, server: &'_ Server| server.identity(&backend.name);
        let backends = self.halves.model.backends.iter();
        let all = backends.flat_map(|backend| backend.servers.iter().map(move |server| (backend, server)));
        all.map(|(backend, server)| (of(backend, server), (&*backend.name, &*server.name))).collect()
    }
}

type Names<'a> = HashMap<u64, (&'a str, &'a str)>;

/// The backend and the server, in HAProxy's words for none.
fn place<'a>(names: &Names<'a>, server: Option<u64>) -> (&'a str, &'a str) {
    server.and_then(|server| names.get(&server)).copied().unwrap_or(("<NONE>", "<none>"))
}

fn line(Present { id, client, frontend, age, requests, server, .. }: &Present, names: &Names<'_>, text: &mut String) {
    let (backend, server) = place(names, *server);
    // Writing to a string does not fail.
    _ = writeln!(
        text,
        "{id:#x}: proto={} src={client} fe={frontend} be={backend} srv={server} ts=00 epoch=0 age={} calls={requests}",
        protocol(*client),
        shown(*age)
    );
}

fn details(present: &Present, names: &Names<'_>, text: &mut String) {
    let Present { id, client, local, frontend, age, requests, server, is_secure } = present;
    let (backend, server) = place(names, *server);
    let now = SystemTime::now();
    let since = l7::log::date(now.checked_sub(*age).unwrap_or(now));
    let (proto, transport) = (protocol(*client), if *is_secure { "SSL" } else { "RAW" });
    _ = writeln!(
        text,
        "{id:#x}: [{since}] id={id} proto={proto} source={client}\n  frontend={frontend}, addr={local}, xprt={transport}\n  \
         backend={backend}\n  server={server}\n  requests={requests}, age={}",
        shown(*age)
    );
}

fn id(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

const fn protocol(of: SocketAddr) -> &'static str {
    if of.is_ipv4() { "tcpv4" } else { "tcpv6" }
}

/// As HAProxy shows an age: the largest unit and the next one.
fn shown(age: Duration) -> String {
    let seconds = age.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_ids_are_read_and_written_as_haproxys() {
        let ages = [(0, "0s"), (59, "59s"), (61, "1m1s"), (3_600, "1h0m"), (90_000, "1d1h")];
        for (seconds, text) in ages {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
        assert_eq!([id("0x1f"), id("1f"), id("0xg"), id("")], [Some(31), None, None, None]);
    }
}
