//! `show sess` and `shutdown session`: the connections of clients, which HAProxy calls sessions, and what it tells of them where we
//! have the like. Those that wait for their next request are among them.

use super::{Running, Said, word};
use crate::{
    l7::{self, Present},
    model::{Backend, Server},
};
use std::{
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
        let present = self.threads.present(if wanted.is_some() { usize::MAX } else { MOST }).await;
        let mut text = String::new();
        match (named, wanted) {
            ("", _) => present.iter().for_each(|one| self.line(one, &mut text)),
            ("all", _) => present.iter().for_each(|one| self.details(one, &mut text)),
            (_, Some(id)) => present.iter().filter(|one| one.id == id).for_each(|one| self.details(one, &mut text)),
            (_, None) => {}
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

    fn line(&self, Present { id, client, frontend, age, requests, server, .. }: &Present, text: &mut String) {
        let (backend, server) = self.place(*server);
        // Writing to a string does not fail.
        _ = writeln!(
            text,
            "{id:#x}: proto={} src={client} fe={frontend} be={backend} srv={server} ts=00 epoch=0 age={} calls={requests}",
            protocol(*client),
            shown(*age)
        );
    }

    fn details(&self, present: &Present, text: &mut String) {
        let Present { id, client, local, frontend, age, requests, server, is_secure } = present;
        let (backend, server) = self.place(*server);
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

    /// The backend and the server, in HAProxy's words for none.
    fn place(&self, identity: Option<u64>) -> (&str, &str) {
        let is_it = |backend: &Backend, server: &Server| Some(server.identity(&backend.name)) == identity;
        let backends = self.halves.model.backends.iter();
        let found =
            backends.filter_map(|backend| Some((backend, backend.servers.iter().find(|it| is_it(backend, it))?)));
        let mut names = found.map(|(backend, server)| (&*backend.name, &*server.name));
        names.next().filter(|_| identity.is_some()).unwrap_or(("<NONE>", "<none>"))
    }
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
