//! A frontend: what a `frontend` says, and the half of a `listen` that clients meet.

use super::{
    Effect, Import,
    forwarded::Forwarded,
    log::Logs,
    output::{Item, Table, Value, key_text},
    proxy::{From, Said, imply_times, timeout},
    rule::use_backend,
    statement::{Section, Statement},
    words::joined,
};
use std::collections::BTreeMap;

/// One being made.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) table: Table,
    pub(super) mode: String,
    /// Whether somebody has said the mode.
    said: bool,
    forwarded: Option<(Forwarded, Statement)>,
    as_sent: bool,
    pub(super) logs: Logs,
    /// `timeout client-hs`.
    pub(super) handshake: Option<String>,
    /// Addresses of all its binds.
    pub(super) addresses: Vec<String>,
    /// What the defaults before it have said, for whoever needs a time of them.
    shared_times: Vec<&'static str>,
}

/// What only requests have, in words of HAProxy's.
const OF_REQUESTS: [&str; 20] = [
    "hdr",
    "path",
    "url",
    "method",
    "cook",
    "query",
    "base",
    "urlp",
    "req.hdr",
    "req.fhdr",
    "req.cook",
    "http_auth",
    "METH_",
    "pathq",
    "req.ver",
    "status",
    "capture.req",
    "shdr",
    "HTTP",
    "baseq",
];

/// Statements that a frontend of mode tcp has no use for.
const OF_HTTP: [&str; 9] = [
    "http-request",
    "http-response",
    "http-after-response",
    "redirect",
    "monitor-uri",
    "capture",
    "unique-id-format",
    "unique-id-header",
    "errorfile",
];

/// Whether it can only be meant for requests.
fn is_of_requests(at: &Statement) -> bool {
    let looks = |word: &&str| {
        let word = word.trim_start_matches('!');
        OF_REQUESTS.iter().any(|name| {
            word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['(', '_', ',', '.']))
                || (name.ends_with('_') && word.starts_with(name))
        })
    };
    match at.words().as_slice() {
        [
            "http-request"
            | "http-response"
            | "http-after-response"
            | "monitor-uri"
            | "capture"
            | "stats"
            | "cookie"
            | "redirect",
            ..,
        ] => true,
        ["option", option, ..] => option.starts_with("http") && *option != "httpchk" || *option == "forwardfor",
        ["acl" | "use_backend", _, rest @ ..] => rest.iter().any(looks),
        _ => false,
    }
}

impl Front {
    pub(super) fn new(section: &Section, said: &[Said], modes: &BTreeMap<String, String>) -> Self {
        let mut table = Table::new(&["frontend", section.name()], &section.head);
        let stated = said.iter().any(|said| said.at.words.first().is_some_and(|word| word == "mode"));
        // A frontend of mode tcp turns to http once it is at such a backend.
        let of_http = said.iter().any(|said| match said.at.words().as_slice() {
            ["default_backend" | "use_backend", name, ..] => modes.get(*name).is_some_and(|mode| mode == "http"),
            _ => false,
        });
        let of_requests = of_http || said.iter().any(|said| is_of_requests(&said.at));
        let mode = if !stated && of_requests { "http" } else { "tcp" }.to_owned();
        if !stated {
            table.imply("mode", Value::text(mode.as_str()), &section.head);
        }
        let last = |words: &[&str]| said.iter().rev().find(|said| said.at.words().starts_with(words));
        // The last one counts, also for what stands before it.
        let mode = last(&["mode"]).and_then(|said| said.at.words.get(1).cloned()).unwrap_or(mode);
        let handshake = last(&["timeout", "client-hs"]).and_then(|said| said.at.words.get(2).cloned());
        let shared_times = said.iter().filter(|said| said.from == From::Shared);
        let shared_times = shared_times.filter_map(|said| match said.at.words().as_slice() {
            ["timeout", name, ..] => timeout(name),
            _ => None,
        });
        Self {
            table,
            mode,
            said: stated,
            forwarded: None,
            as_sent: false,
            logs: Logs::default(),
            handshake: handshake.as_deref().and_then(super::time::time),
            addresses: Vec::new(),
            shared_times: shared_times.collect(),
        }
    }

    pub(super) fn mode(&mut self, mode: &str, at: &Statement) {
        mode.clone_into(&mut self.mode);
        self.table.put("mode", Item::of(at, Value::text(mode)));
    }

    pub(super) fn is_http(&self) -> bool {
        self.mode == "http"
    }
}

impl Import {
    pub(super) fn front_statement(&mut self, front: &mut Front, at: &Statement, from: From) {
        let words = at.words();
        let http = front.is_http();
        let off = words.first() == Some(&"no");
        let rest = if off { words.get(1..).unwrap_or_default() } else { &words[..] };
        let table = &mut front.table;
        match rest {
            ["bind", ..] => self.bind(front, at),
            ["log" | "log-format", ..]
            | ["option", "httplog" | "tcplog" | "dontlognull" | "dontlog-normal" | "log-separate-errors", ..] => {
                self.front_log(front, at, from);
            }
            ["option", "forwardfor", ..] if !http && from == From::Own => {
                self.note(table, at, "bytes are relayed: HAProxy does not look at it here either");
            }
            ["option", "forwardfor", options @ ..] => {
                table.reserve("forwarded_for", at);
                front.forwarded = (!off).then(|| (Forwarded::new(options), at.clone()));
            }
            ["option", "h1-case-adjust-bogus-client" | "h1-case-adjust-bogus-server"] => {
                table.reserve("header_case", at);
                front.as_sent = !off;
            }
            _ if off => self.lost(table, at, "there is nothing to take back", ""),
            [word, ..] if !http && OF_HTTP.contains(word) => {
                if from == From::Own {
                    self.lost(table, at, "a `tcp` frontend reads no requests", "mode http");
                }
            }
            ["default_backend", name, ..] => table.put("default_backend", Item::of(at, Value::text(*name))),
            ["use_backend", name, condition @ ..] => use_backend(table, at, name, condition),
            ["acl", name, expression @ ..] => {
                table.row(&format!("acl.{}", key_text(name)), Item::of(at, Value::text(joined(expression))));
            }
            ["http-request" | "http-response" | "http-after-response" | "redirect", ..] => self.message_rule(table, at),
            ["tcp-request", "inspect-delay", ..] if http => {
                self.note(table, at, "an http frontend waits for requests by itself");
            }
            ["tcp-request", "inspect-delay", time] => self.time(table, at, "inspect_delay", Some(time)),
            ["tcp-request", ..] => self.connection_rule(table, at, http),
            ["monitor-uri", uri] => table.put("monitor_uri", Item::of(at, Value::text(*uri))),
            ["monitor", "fail", "if", condition @ ..] => {
                table.put("monitor_fail", Item::of(at, Value::text(joined(condition))));
            }
            ["capture", "request" | "response", "header", ..] => self.capture(table, at, rest),
            ["unique-id-header" | "unique-id-format", ..] => self.unique_id(table, at, rest),
            ["errorfile", code, file] => {
                if from != From::Shared {
                    table.put(format!("errorfile.{code}"), Item::of(at, Value::text(*file)));
                }
            }
            ["maxconn" | "timeout" | "clitimeout", ..] => self.front_limit(front, at, from),
            _ => self.lost(table, at, "it is not understood", ""),
        }
    }

    fn front_limit(&mut self, front: &mut Front, at: &Statement, from: From) {
        let http = front.is_http();
        let table = &mut front.table;
        match at.words().as_slice() {
            ["maxconn", number] if from != From::Shared => self.number(table, at, "maxconn", Some(number)),
            ["timeout", "client-hs", ..] => Self::by_itself(table, at),
            ["timeout", "http-request" | "http-keep-alive" | "tarpit", ..] if !http && from == From::Own => {
                self.note(table, at, "bytes are relayed: HAProxy does not look at it here either");
            }
            ["timeout", name, rest @ ..] => {
                let of_requests = matches!(*name, "http-request" | "http-keep-alive" | "tarpit");
                if let Some(key) = timeout(name).filter(|_| from != From::Shared && (http || !of_requests)) {
                    self.time(table, at, key, rest.first().copied());
                }
            }
            ["clitimeout", time] if from != From::Shared => self.time(table, at, "timeout_client", Some(time)),
            ["maxconn" | "clitimeout", ..] if from == From::Shared => {}
            _ => self.lost(table, at, "it is not understood", ""),
        }
    }

    fn capture(&mut self, table: &mut Table, at: &Statement, words: &[&str]) {
        let [_, side, _, name, "len", length] = words else {
            return self.lost(table, at, "it is not understood", "capture request header NAME len NUMBER");
        };
        let Ok(length) = length.parse() else {
            return self.lost(table, at, "this is no number that can be read here", "");
        };
        let key = if *side == "request" { "capture_request" } else { "capture_response" };
        let pairs = vec![("name", Value::text(*name)), ("length", Value::Int(length))];
        table.row(key, Item::of(at, Value::Map(pairs)));
    }

    /// Of the header and the format each may come first.
    fn unique_id(&mut self, table: &mut Table, at: &Statement, words: &[&str]) {
        let [what, said] = words else { return self.lost(table, at, "it is not understood", "") };
        let key = if *what == "unique-id-header" { "header" } else { "format" };
        let mut pairs = match table.value("unique_id") {
            Some(Value::Map(pairs)) => pairs.clone(),
            _ => Vec::new(),
        };
        pairs.retain(|(known, _)| *known != key);
        pairs.push((key, Value::text(*said)));
        table.put("unique_id", Item::of(at, Value::Map(pairs)));
    }

    /// What is only known at its end. `backend`: that of a `listen`.
    pub(super) fn finish_front(&mut self, mut front: Front, section: &Section, backend: Option<&str>) {
        let head = &section.head;
        if let Some(backend) = backend.filter(|_| !front.table.has("default_backend")) {
            front.table.imply("default_backend", Value::text(backend), head);
        }
        if !front.said {
            let why = if front.is_http() {
                "no `mode` is said, and what it says is about requests: mode = \"http\""
            } else {
                "no `mode` is said: HAProxy's default is tcp"
            };
            self.differs(Effect::Note, head, why, "");
        }
        self.finish_log(&mut front, section);
        if front.is_http() {
            finish_requests(&mut front, section);
        }
        if !front.table.has("timeout_client") && !front.shared_times.contains(&"timeout_client") {
            let why =
                "without `timeout client` HAProxy waits for ever, and warns of it; here clients may be silent for 60s";
            self.differs(Effect::Note, head, why, "timeout_client = \"…\"");
        }
        self.tables.push(front.table);
    }
}

/// Where ours does something else than HAProxy unless it is told.
fn finish_requests(front: &mut Front, section: &Section) {
    let forwarded = front.forwarded.take();
    let plain = forwarded.as_ref().is_some_and(|(forwarded, _)| forwarded.is_plain());
    let table = &mut front.table;
    table.fill("forwarded_for", Value::Bool(plain), &section.head);
    if let Some((forwarded, at)) = forwarded.filter(|_| !plain) {
        let quiet = Statement { before: Vec::new(), after: None, ..at };
        table.row("rule", Item::of(&quiet, forwarded.rule()));
    }
    // What its backends say of it, comes later.
    table.fill("abort_on_close", Value::Bool(false), &section.head);
    if front.as_sent {
        table.fill("header_case", Value::text("as-sent"), &section.head);
    }
    if table.has("timeout_client") {
        // What `[defaults]` says comes from a `timeout` there, or from one that stands beside it.
        let own = ["timeout_http_request", "timeout_http_keep_alive"].map(|key| table.has(key));
        imply_times(table, section);
        for (key, own) in ["timeout_http_request", "timeout_http_keep_alive"].into_iter().zip(own) {
            if !own && front.shared_times.contains(&key) {
                table.entries.retain(|entry| entry.key != key);
            }
        }
    }
}
