//! A backend: what a `backend` says, and the half of a `listen` that has servers.

use super::{
    Effect, Import,
    balance::balance,
    check::Check,
    output::{Item, Table, Value},
    proxy::{From, timeout},
    server::Server,
    statement::{Section, Statement},
    time,
};

/// One being made.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) table: Table,
    pub(super) name: String,
    pub(super) servers: Vec<Server>,
    /// Words of `default-server`.
    pub(super) default_server: Vec<String>,
    pub(super) check: Check,
    pub(super) mode: Option<String>,
    /// `option redispatch`, if anything is said of it.
    redispatch: Option<bool>,
    /// Whether it is half of a `listen`.
    listens: bool,
    times: Vec<&'static str>,
}

impl Back {
    pub(super) fn new(section: &Section, listens: bool) -> Self {
        Self {
            table: Table::new(&["backend", section.name()], &section.head),
            name: section.name().to_owned(),
            servers: Vec::new(),
            default_server: Vec::new(),
            check: Check::default(),
            mode: None,
            redispatch: None,
            listens,
            times: Vec::new(),
        }
    }

    pub(super) fn mode(&mut self, mode: &str, at: &Statement) {
        // Its comments are the frontend's already.
        let quiet = Statement { before: Vec::new(), after: None, ..at.clone() };
        let at = if self.listens { &quiet } else { at };
        self.mode = Some(mode.to_owned());
        self.table.put("mode", Item::of(at, Value::text(mode)));
    }
}

impl Import {
    pub(super) fn back_statement(&mut self, back: &mut Back, at: &Statement, from: From) {
        let words = at.words();
        let off = words.first() == Some(&"no");
        let rest = if off { words.get(1..).unwrap_or_default() } else { &words[..] };
        let table = &mut back.table;
        match rest {
            ["server" | "server-template", ..] => self.server(back, at),
            ["default-server", params @ ..] => {
                back.default_server.extend(params.iter().map(|&word| word.to_owned()));
                Self::by_itself(table, at);
            }
            ["option", "redispatch", ..] | ["redispatch" | "redisp", ..] => {
                back.redispatch = Some(!off);
                table.reserve("redispatch", at);
            }
            ["option", "abortonclose"] => {
                Self::by_itself(table, at);
                self.aborting.retain(|name| *name != back.name);
                self.aborting.extend((!off).then(|| back.name.clone()));
            }
            ["option", "allbackups"] => {
                table.put("allbackups", Item::of(at, Value::Bool(!off)));
            }
            ["option", "persist"] => table.put("persist", Item::of(at, Value::Bool(!off))),
            ["option" | "http-check" | "tcp-check" | "external-check", ..] => {
                self.check_statement(back, at, rest, off);
            }
            _ if off => self.lost(table, at, "there is nothing to take back", ""),
            ["balance", rest @ ..] => match balance(rest) {
                Ok(text) => table.put("balance", Item::of(at, Value::Text(text))),
                Err((why, help)) => self.lost(table, at, why, help),
            },
            ["hash-type", rest @ ..] => table.put("hash_type", Item::of(at, Value::Text(rest.join(" ")))),
            ["cookie", name, options @ ..] => match cookie(name, options) {
                Ok(value) => table.put("cookie", Item::of(at, value)),
                Err((why, help)) => self.lost(table, at, why, help),
            },
            ["dynamic-cookie-key", key] => table.put("dynamic_cookie_key", Item::of(at, Value::text(*key))),
            ["retries", number] => self.number(table, at, "retries", Some(number)),
            ["fullconn", number] => self.number(table, at, "fullconn", Some(number)),
            ["retry-on", rest @ ..] => {
                let words = rest.iter().map(|&word| word.to_owned()).collect();
                table.put("retry_on", Item::of(at, super::tls::one_or_many(words)));
            }
            ["http-reuse", how] => table.put("http_reuse", Item::of(at, Value::text(*how))),
            ["timeout" | "contimeout" | "srvtimeout", ..] => self.back_time(back, at, from),
            _ => self.lost(table, at, "it is not understood", ""),
        }
    }

    fn back_time(&mut self, back: &mut Back, at: &Statement, from: From) {
        let table = &mut back.table;
        match at.words().as_slice() {
            ["timeout", "check", time] => match time::time(time) {
                Some(time) => {
                    back.check.timeout = Some(time);
                    table.reserve("check", at);
                }
                None => self.lost(table, at, "this is no time", ""),
            },
            ["timeout", name, rest @ ..] => {
                if let Some(key) = timeout(name) {
                    back.times.push(key);
                    if from != From::Shared {
                        self.time(table, at, key, rest.first().copied());
                    }
                }
            }
            ["contimeout", time] if from != From::Shared => self.time(table, at, "timeout_connect", Some(time)),
            ["srvtimeout", time] if from != From::Shared => self.time(table, at, "timeout_server", Some(time)),
            ["contimeout" | "srvtimeout", ..] if from == From::Shared => {}
            _ => self.lost(table, at, "it is not understood", ""),
        }
    }

    /// What a `backend` says of messages; in a `listen` the frontend does.
    pub(super) fn back_messages(&mut self, back: &mut Back, at: &Statement, from: From) {
        let words = at.words();
        let table = &mut back.table;
        let tcp = back.mode.as_deref() == Some("tcp");
        match words.as_slice() {
            ["acl", name, expression @ ..] => {
                let key = format!("acl.{}", super::output::key_text(name));
                table.row(&key, Item::of(at, Value::text(super::words::joined(expression))));
            }
            ["errorfile", ..] if tcp && from == From::Own => {
                self.note(table, at, "bytes are relayed: HAProxy does not look at it here either");
            }
            ["errorfile", code, file] => {
                if from != From::Shared && !tcp {
                    table.put(format!("errorfile.{code}"), Item::of(at, Value::text(*file)));
                }
            }
            ["option", "forwardfor", ..] if from != From::Own => {}
            ["option", "forwardfor"] => table.put("forwarded_for", Item::of(at, Value::Bool(true))),
            ["option", "forwardfor", options @ ..] => {
                table.row("rule", Item::of(at, super::forwarded::Forwarded::new(options).rule()));
            }
            _ if tcp => self.lost(table, at, "bytes are relayed: there are no messages", "mode http"),
            _ => self.message_rule(table, at),
        }
    }

    /// What is only known at its end.
    pub(super) fn finish_back(&mut self, mut back: Back, section: &Section) {
        let head = &section.head;
        let table = &mut back.table;
        // Only where a cookie has named a server ours differs.
        let redispatch = back.redispatch.unwrap_or(false);
        if back.redispatch == Some(false) || table.has("cookie") && !redispatch {
            table.fill("redispatch", Value::Bool(false), head);
        }
        if table.value("balance") == Some(&Value::text("source")) && !table.has("hash_type") {
            table.imply("hash_type", Value::text("map-based"), head);
        }
        self.finish_servers(&mut back, section);
        let missing: Vec<_> = [("timeout_connect", "timeout connect"), ("timeout_server", "timeout server")]
            .into_iter()
            .filter(|(key, _)| !back.table.has(key) && !back.times.contains(key))
            .map(|(_, words)| format!("`{words}`"))
            .collect();
        if !missing.is_empty() {
            let why = format!(
                "without {} HAProxy waits for ever, and warns of it; here it is 5s for a connection and 60s of silence",
                missing.join(" and ")
            );
            self.differs(Effect::Note, head, why, "timeout_connect and timeout_server");
        }
        self.tables.push(back.table);
    }
}

/// `cookie` of a backend.
fn cookie(name: &str, options: &[&str]) -> Result<Value, (&'static str, &'static str)> {
    let mut pairs = vec![("name", Value::text(name))];
    let (mut domains, mut attributes) = (Vec::new(), Vec::new());
    let mut rest = options.iter();
    let mut mode = None;
    while let Some(option) = rest.next() {
        let mut value = || rest.next().copied().unwrap_or_default();
        match *option {
            "insert" | "rewrite" | "prefix" => mode = Some(*option),
            "indirect" => pairs.push(("indirect", Value::Bool(true))),
            "nocache" => pairs.push(("nocache", Value::Bool(true))),
            "postonly" => pairs.push(("postonly", Value::Bool(true))),
            "preserve" => pairs.push(("preserve", Value::Bool(true))),
            "httponly" => pairs.push(("httponly", Value::Bool(true))),
            "secure" => pairs.push(("secure", Value::Bool(true))),
            "dynamic" => pairs.push(("dynamic", Value::Bool(true))),
            "domain" => domains.push(value().to_owned()),
            "attr" => attributes.push(value().to_owned()),
            "maxidle" | "maxlife" => {
                let key = if *option == "maxidle" { "maxidle" } else { "maxlife" };
                let time = time::duration(value(), time::Unit::Seconds).ok_or(("this is no time", ""))?;
                pairs.push((key, Value::Text(crate::config::units::show_duration(time))));
            }
            _ => return Err(("it is not understood", "")),
        }
    }
    let help = "`insert`, `rewrite` or `prefix`";
    let mode = mode.ok_or(("a cookie that is only read, and set by nobody here, there is not", help))?;
    if mode != "insert" {
        pairs.push(("mode", Value::text(mode)));
    }
    if !domains.is_empty() {
        pairs.push(("domain", super::tls::one_or_many(domains)));
    }
    if !attributes.is_empty() {
        pairs.push(("attr", super::tls::one_or_many(attributes)));
    }
    Ok(Value::Map(pairs))
}
