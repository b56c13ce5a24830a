//! A frontend, or a `listen` without servers, that serves nothing but HAProxy's statistics page: a page here.

use super::{
    Effect, Import, advice,
    bind::address,
    output::{Item, Table, Value},
    proxy::{From, Said},
    statement::{Section, Statement},
    time::{Unit, duration},
    words::joined,
};
use crate::config::units::show_duration;

/// HAProxy's own.
const URI: &str = "/haproxy?stats";
const REALM: &str = "HAProxy Statistics";

/// Whether it is one: statements that begin with `stats` say so, and none sends clients anywhere.
pub(super) fn is_page(section: &Section, said: &[Said]) -> bool {
    let begins = |word: &str| said.iter().any(|said| said.at.words.first().is_some_and(|first| first == word));
    let leads = ["default_backend", "use_backend", "server", "server-template", "dispatch"];
    let mode = said.iter().rev().find_map(|said| match said.at.words().as_slice() {
        ["mode", mode, ..] => Some(*mode == "http"),
        _ => None,
    });
    section.kind() != "backend" && begins("stats") && mode.unwrap_or(true) && !leads.into_iter().any(begins)
}

impl Import {
    pub(super) fn stats_page(&mut self, section: &Section, said: &[Said]) {
        let mut table = Table::new(&["stats_page", section.name()], &section.head);
        for Said { at, from } in said {
            if let Some(fault) = at.fault {
                if *from == From::Own {
                    self.lost(&mut table, at, fault, "");
                }
                continue;
            }
            match at.words().as_slice() {
                ["bind", typed, options @ ..] => self.page_bind(&mut table, at, typed, options),
                ["stats", words @ ..] => self.page_statement(&mut table, at, words),
                // What else is said for all proxies is not about this one.
                _ if *from != From::Own => {}
                ["mode", ..] => self.note(&mut table, at, "a statistics page speaks HTTP by itself"),
                ["acl" | "http-request" | "http-response" | "http-after-response" | "tcp-request" | "redirect", ..] => {
                    let help = "metrics = \"127.0.0.1:9100\" in `[global]` is for Prometheus";
                    self.lost(&mut table, at, "a statistics page has no rules", help);
                }
                words => match advice::proxy(words) {
                    Some((Effect::Lost | Effect::Changed, why, help)) => self.lost(&mut table, at, why, help),
                    Some((Effect::Note, why, _)) => self.note(&mut table, at, why),
                    None => self.note(&mut table, at, "a statistics page has limits, times and a log of its own"),
                },
            }
        }
        if said.iter().all(|said| said.at.words.first().is_none_or(|word| word != "mode")) {
            let why = "no `mode` is said, and what it says is about requests: there HAProxy needs mode http";
            self.differs(Effect::Note, &section.head, why, "");
        }
        for (key, value) in [("uri", URI), ("realm", REALM)] {
            if !table.has(key) {
                table.imply(key, Value::text(value), &section.head);
            }
        }
        self.tables.push(table);
    }

    fn page_bind(&mut self, table: &mut Table, at: &Statement, typed: &str, options: &[&str]) {
        for (index, typed) in typed.split(',').enumerate() {
            match address(typed) {
                Ok(address) => {
                    let mut item = Item::of(at, Value::Text(address.typed));
                    if index > 0 {
                        (item.before, item.after) = (Vec::new(), None);
                    }
                    table.row("bind", item);
                }
                Err((why, help)) => return self.lost(table, at, why, help),
            }
        }
        if options.contains(&"ssl") {
            let why = "a statistics page is served without TLS: its passwords can be read on the way";
            self.differs(Effect::Lost, at, why, "bind = \"127.0.0.1:8404\", and a frontend with `tls` before it");
        } else if !matches!(options, [] | ["name", _]) {
            self.differs(Effect::Note, at, "what stands behind the address is not looked at for a statistics page", "");
        }
    }

    fn page_statement(&mut self, table: &mut Table, at: &Statement, words: &[&str]) {
        match words {
            ["enable"] => Self::by_itself(table, at),
            ["uri", uri] => table.put("uri", Item::of(at, Value::text(*uri))),
            ["realm", realm @ ..] if !realm.is_empty() => {
                table.put("realm", Item::of(at, Value::text(realm.join(" "))));
            }
            ["refresh", time] => match duration(time, Unit::Seconds) {
                Some(time) => table.put("refresh", Item::of(at, Value::text(show_duration(time)))),
                None => self.lost(table, at, "this is no time", "stats refresh 10s"),
            },
            ["auth", user] => match user.split_once(':') {
                Some((name, password)) => {
                    let pairs = vec![("name", Value::text(name)), ("insecure_password", Value::text(password))];
                    table.row("user", Item::of(at, Value::Map(pairs)));
                }
                None => self.lost(table, at, "it has no password", "stats auth NAME:PASSWORD"),
            },
            ["hide-version"] => table.put("hide_version", Item::of(at, Value::Bool(true))),
            ["show-node", name] => table.put("node", Item::of(at, Value::text(*name))),
            ["admin", condition @ ..] => {
                let mut item = Item::of(at, Value::Bool(true));
                if !matches!(condition, ["if", "TRUE"] | ["unless", "FALSE"]) {
                    let why = format!("whoever sees this page may act, not only `{}`", joined(condition));
                    self.changed(&mut item, at, &why);
                }
                table.put("admin", item);
            }
            ["show-legends" | "show-modules"] => self.note(table, at, "the page always shows what there is"),
            ["show-node"] => self.lost(table, at, "the name of this machine is not looked up", "node = \"lb1\""),
            ["show-desc", ..] => self.lost(table, at, "there is no description", "node = \"lb1\" is beside the title"),
            ["scope", ..] => {
                self.lost(
                    table,
                    at,
                    "a page shows all frontends and backends",
                    "`?scope=NAME` behind its URI shows some",
                );
            }
            ["http-request", ..] => self.lost(table, at, "a statistics page has no rules", "stats auth NAME:PASSWORD"),
            _ => self.lost(table, at, "it is not understood", ""),
        }
    }
}
