//! `frontend`, `backend`, `listen`, and the `defaults` that they inherit.

use super::{
    Effect, Import, advice,
    backend::Back,
    frontend::Front,
    output::{Item, Table, Value},
    statement::{Section, Statement},
    stats_page::is_page,
};
use std::collections::BTreeMap;

/// Where a statement of a proxy stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum From {
    /// In it.
    Own,
    /// In a `defaults` that it inherits.
    Inherited,
    /// The same, and our `[defaults]` says what it can.
    Shared,
}

/// A statement of a proxy. One that is inherited has no comments.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) at: Statement,
    pub(super) from: From,
}

/// The modes that backends have, own or inherited.
pub(super) fn modes(sections: &[Section]) -> BTreeMap<String, String> {
    let mut modes = BTreeMap::new();
    let mut defaults = Vec::new();
    for section in sections {
        if section.kind() == "defaults" {
            defaults.push(section);
        }
        if matches!(section.kind(), "backend" | "listen") {
            let said = inherited(section, &defaults).into_iter().chain(&section.body);
            let mode = said.rev().find(|at| at.words.first().is_some_and(|word| word == "mode"));
            modes.extend(mode.and_then(|at| Some((section.name().to_owned(), at.words.get(1)?.clone()))));
        }
    }
    modes
}

/// Of which half of a proxy a statement is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Half {
    Front,
    Back,
    Both,
}

/// What a section inherits: of the `defaults` that it names, else of the last one.
pub(super) fn inherited<'a>(section: &Section, defaults: &[&'a Section]) -> Vec<&'a Statement> {
    let source = match named(section) {
        Some(name) => defaults.iter().rev().find(|section| section.name() == name),
        None => defaults.last(),
    };
    let (mut chain, mut next) = (Vec::new(), source.copied());
    // One `defaults` may begin with what another says, which stands before it.
    while let Some(section) = next.filter(|_| chain.len() <= defaults.len()) {
        chain.push(section);
        next = named(section).and_then(|name| defaults.iter().rev().find(|other| other.name() == name).copied());
    }
    chain.into_iter().rev().flat_map(|section| &section.body).collect()
}

/// The `defaults` that a section names.
fn named(section: &Section) -> Option<&str> {
    let words = &section.head.words;
    let at = words.iter().position(|word| word == "from")?;
    words.get(at + 1).map(String::as_str)
}

/// What clients meet.
const FRONT: [&str; 18] = [
    "bind",
    "default_backend",
    "use_backend",
    "acl",
    "http-request",
    "http-response",
    "http-after-response",
    "tcp-request",
    "monitor-uri",
    "monitor",
    "unique-id-format",
    "unique-id-header",
    "maxconn",
    "log",
    "log-format",
    "errorfile",
    "redirect",
    "clitimeout",
];
const FRONT_TIMES: [&str; 6] = ["client", "http-request", "http-keep-alive", "client-fin", "tarpit", "client-hs"];
const FRONT_OPTIONS: [&str; 8] = [
    "forwardfor",
    "httplog",
    "tcplog",
    "dontlognull",
    "dontlog-normal",
    "log-separate-errors",
    "h1-case-adjust-bogus-client",
    "h1-case-adjust-bogus-server",
];
/// What is about servers.
const BACK: [&str; 17] = [
    "balance",
    "hash-type",
    "cookie",
    "dynamic-cookie-key",
    "server",
    "default-server",
    "server-template",
    "retries",
    "retry-on",
    "fullconn",
    "http-reuse",
    "http-check",
    "tcp-check",
    "external-check",
    "contimeout",
    "srvtimeout",
    "redispatch",
];
const BACK_TIMES: [&str; 6] = ["connect", "server", "queue", "tunnel", "server-fin", "check"];
const BACK_OPTIONS: [&str; 13] = [
    "redispatch",
    "abortonclose",
    "allbackups",
    "persist",
    "httpchk",
    "tcp-check",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "smtpchk",
    "ldap-check",
    "ssl-hello-chk",
    "external-check",
];

fn half(words: &[&str]) -> Option<Half> {
    let words = if let ["no" | "default", rest @ ..] = words { rest } else { words };
    let one_of = |front: &[&str], back: &[&str], word: &str| {
        let front = front.contains(&word).then_some(Half::Front);
        front.or_else(|| back.contains(&word).then_some(Half::Back))
    };
    match words {
        ["mode", ..] => Some(Half::Both),
        ["capture", "request" | "response", ..] => Some(Half::Front),
        ["timeout", name, ..] => one_of(&FRONT_TIMES, &BACK_TIMES, name),
        ["option", name, ..] => one_of(&FRONT_OPTIONS, &BACK_OPTIONS, name),
        [word, ..] => one_of(&FRONT, &BACK, word),
        [] => None,
    }
}

impl Import {
    /// A proxy, with what it inherits.
    pub(super) fn proxy(&mut self, section: &Section, inherited: Vec<&Statement>, shared: bool) {
        let from = if shared { From::Shared } else { From::Inherited };
        let quiet = |at: &Statement| Statement { before: Vec::new(), after: None, ..at.clone() };
        let mut said: Vec<Said> = inherited.into_iter().map(|at| Said { at: quiet(at), from }).collect();
        said.extend(section.body.iter().map(|at| Said { at: at.clone(), from: From::Own }));
        if section.name().is_empty() {
            self.differs(Effect::Lost, &section.head, "it has no name", "");
            self.lost_section(section);
            return;
        }
        if section.head.words.get(2).is_some_and(|word| word != "from") {
            let why = "only its name stands in the line of a section";
            self.differs(Effect::Lost, &section.head, why, "`bind` below it says where it listens");
        }
        if is_page(section, &said) {
            return self.stats_page(section, &said);
        }
        let listens = section.kind() == "listen";
        let mut front = (section.kind() != "backend").then(|| Front::new(section, &said, &self.modes));
        let mut back = (section.kind() != "frontend").then(|| Back::new(section, listens));
        if let (Some(_), Some(back)) = (&front, &mut back) {
            // Its comments are the frontend's already.
            back.table.head.before.clear();
            back.table.head.after = None;
        }
        for Said { at, from } in &said {
            self.proxy_statement((&mut front, &mut back), at, *from);
        }
        let serves = back.as_ref().is_some_and(|back| !back.servers.is_empty() || !listens);
        if !serves && back.is_some() {
            let of_servers = |said: &&Said| said.from == From::Own && half(&said.at.words()) == Some(Half::Back);
            for Said { at, .. } in said.iter().filter(of_servers) {
                self.differs(Effect::Note, at, "there is no server that this would be about", "");
            }
        }
        if let Some(front) = front {
            self.finish_front(front, section, serves.then(|| section.name()).filter(|_| listens));
        }
        if let Some(back) = back.filter(|_| serves) {
            self.finish_back(back, section);
        }
    }

    fn proxy_statement(&mut self, (front, back): (&mut Option<Front>, &mut Option<Back>), at: &Statement, from: From) {
        let words = at.words();
        let half = half(&words);
        // A backend has messages, error files and a time for tarpits as well.
        let of_backend = front.is_none()
            && matches!(
                words.as_slice(),
                ["acl" | "http-request" | "http-response" | "http-after-response" | "errorfile", ..]
            )
            || matches!(words.as_slice(), ["option", "forwardfor", ..] if front.is_none());
        let table = match (&mut *front, &mut *back) {
            (Some(front), None) => &mut front.table,
            (Some(front), Some(_)) if half != Some(Half::Back) => &mut front.table,
            (_, Some(back)) => &mut back.table,
            (None, None) => return,
        };
        if let Some(fault) = at.fault {
            if from == From::Own {
                self.lost(table, at, fault, "");
            }
            return;
        }
        if half.is_none() {
            let said = advice::proxy(&words).unwrap_or((Effect::Lost, "there is nothing like it here", ""));
            match (from, said) {
                (From::Own, (Effect::Note, why, _)) => self.note(table, at, why),
                (From::Own, (Effect::Lost | Effect::Changed, why, help)) => self.lost(table, at, why, help),
                // Said of `defaults`, once.
                (From::Inherited | From::Shared, _) => {}
            }
            return;
        }
        match (half, front, back) {
            (Some(Half::Both), front, back) => {
                let mode = words.get(1).copied().unwrap_or_default().to_owned();
                if let Some(front) = front.as_mut() {
                    front.mode(&mode, at);
                }
                if let Some(back) = back.as_mut() {
                    back.mode(&mode, at);
                }
            }
            (Some(Half::Front), Some(front), _) => self.front_statement(front, at, from),
            (Some(Half::Front), None, Some(back)) if of_backend => self.back_messages(back, at, from),
            (Some(Half::Back), _, Some(back)) => self.back_statement(back, at, from),
            (Some(_), Some(front), _) if from == From::Own => {
                self.note(&mut front.table, at, "this is for backends: HAProxy does not look at it here either");
            }
            (Some(_), None, Some(back)) if from == From::Own => self.not_of_backends(&mut back.table, at),
            (Some(_) | None, ..) => {}
        }
    }

    /// What a backend says that only frontends have.
    fn not_of_backends(&mut self, table: &mut Table, at: &Statement) {
        match at.words().as_slice() {
            ["log", ..] => self.note(table, at, "the daemon itself says how servers change"),
            ["timeout" | "tcp-request", ..] => {
                self.lost(table, at, "here only frontends have it", "say it in the frontends of this backend");
            }
            _ => self.note(table, at, "this is for frontends: HAProxy does not look at it here either"),
        }
    }

    /// `defaults`: what ours can say, if it is the one for all; and what is lost of it.
    pub(super) fn defaults(&mut self, section: &Section, shared: bool) {
        let mut table = Table::new(&["defaults"], &section.head);
        for at in &section.body {
            let words = at.words();
            if let Some(fault) = at.fault {
                self.lost(&mut table, at, fault, "");
            } else if shared && self.shared(&mut table, at) {
            } else if half(&words).is_some() {
                let mut item = Item::comment(at);
                item.before.push(format!("# {}: said where it counts", at.shown()));
                item.before.extend(item.after.take());
                table.say(item);
            } else {
                match advice::proxy(&words) {
                    Some((Effect::Note, why, _)) => self.note(&mut table, at, why),
                    Some((Effect::Lost | Effect::Changed, why, help)) => self.lost(&mut table, at, why, help),
                    None => self.lost(&mut table, at, "there is nothing like it here", ""),
                }
            }
        }
        if shared {
            self.shared_log(&mut table, section);
            imply_times(&mut table, section);
        } else {
            // What follows says it.
            table.refused = true;
        }
        self.tables.push(table);
    }

    /// Whether our `[defaults]` has it.
    fn shared(&mut self, table: &mut Table, at: &Statement) -> bool {
        match at.words().as_slice() {
            ["maxconn", number] => self.number(table, at, "maxconn", Some(number)),
            ["errorfile", code, file] => table.put(format!("errorfile.{code}"), Item::of(at, Value::text(*file))),
            ["timeout", name, rest @ ..] => {
                let Some(key) = timeout(name) else { return false };
                self.time(table, at, key, rest.first().copied());
            }
            ["clitimeout", time] => self.time(table, at, "timeout_client", Some(time)),
            ["contimeout", time] => self.time(table, at, "timeout_connect", Some(time)),
            ["srvtimeout", time] => self.time(table, at, "timeout_server", Some(time)),
            ["option", "dontlognull"] => table.row("log_skip", Item::of(at, Value::text("null"))),
            ["option", "dontlog-normal"] => table.row("log_skip", Item::of(at, Value::text("normal"))),
            ["log", ..] => table.reserve("log", at),
            _ => return false,
        }
        true
    }
}

/// HAProxy waits for the rest of a request as long as for a client, unless it is told otherwise; we do not.
pub(super) fn imply_times(table: &mut Table, section: &Section) {
    let Some(client) = table.value("timeout_client").cloned() else { return };
    if !table.has("timeout_http_keep_alive") {
        let request = table.value("timeout_http_request").cloned().unwrap_or_else(|| client.clone());
        table.imply("timeout_http_keep_alive", request, &section.head);
    }
    if !table.has("timeout_http_request") {
        table.imply("timeout_http_request", client, &section.head);
    }
}

/// The key of a `timeout`, if it has one in frontends, backends and `[defaults]`.
pub(super) fn timeout(name: &str) -> Option<&'static str> {
    Some(match name {
        "client" => "timeout_client",
        "http-request" => "timeout_http_request",
        "http-keep-alive" => "timeout_http_keep_alive",
        "client-fin" => "timeout_client_fin",
        "tarpit" => "timeout_tarpit",
        "connect" => "timeout_connect",
        "server" => "timeout_server",
        "queue" => "timeout_queue",
        "tunnel" => "timeout_tunnel",
        "server-fin" => "timeout_server_fin",
        _ => return None,
    })
}
