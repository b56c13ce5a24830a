//! `log`, `log-format` and the options about lines: where they go, and what they say.

use super::{
    Effect, Import,
    frontend::Front,
    output::{Item, Table, Value},
    proxy::From,
    statement::{Section, Statement},
};

/// What a frontend logs.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    targets: Vec<Statement>,
    /// `None`: HAProxy's line about connections.
    format: Option<Statement>,
    separate: bool,
    /// Whether something of it is said in the frontend itself.
    own: bool,
}

/// What may stand before the facility.
fn facility_at(words: &[&str]) -> Option<usize> {
    let mut at = 2;
    while let Some("len" | "format" | "sample" | "profile") = words.get(at).copied() {
        at += 2;
    }
    (at < words.len()).then_some(at)
}

/// Whether a log takes lines about traffic, which are `info`.
pub(super) fn hears_traffic(words: &[&str]) -> bool {
    let most = facility_at(words).and_then(|at| words.get(at + 1));
    most.is_none_or(|level| matches!(*level, "info" | "debug"))
}

/// Where a `log` goes, as we write it.
fn target(address: &str) -> Result<String, &'static str> {
    let plain = address.strip_prefix("ipv4@").or_else(|| address.strip_prefix("udp@")).unwrap_or(address);
    if let Some(path) = plain.strip_prefix("unix@").or_else(|| plain.starts_with('/').then_some(plain)) {
        return Ok(format!("unix:{path}"));
    }
    match plain {
        // The journal has both.
        "stdout" | "fd@1" | "stderr" | "fd@2" => return Ok("stdout".to_owned()),
        _ if plain.contains('@') => {
            return Err("lines go to files, standard output, and syslog by UDP or a unix socket");
        }
        _ => {}
    }
    let has_port = plain.starts_with('[') && !plain.ends_with(']') || plain.matches(':').count() == 1;
    let v6 = plain.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if v6 { format!("[{plain}]") } else { plain.to_owned() };
    Ok(if has_port { format!("udp:{host}") } else { format!("udp:{host}:514") })
}

impl Import {
    pub(super) fn front_log(&mut self, front: &mut Front, at: &Statement, from: From) {
        let words = at.words();
        let own = from == From::Own;
        match words.as_slice() {
            ["option", "dontlognull"] => return skip(front, at, from, "null"),
            ["option", "dontlog-normal"] => return skip(front, at, from, "normal"),
            ["no", "option", "dontlognull" | "dontlog-normal"] => {
                front.table.put("log_skip", Item::of(at, Value::List(Vec::new())));
                return;
            }
            ["no", "log"] => front.logs.targets.clear(),
            ["log", "global"] => {
                for log in self.global.logs.iter().filter(|log| hears_traffic(&log.words())) {
                    let known = front.logs.targets.iter().any(|target| target.words == log.words);
                    front.logs.targets.extend((!known).then(|| Statement {
                        before: Vec::new(),
                        after: None,
                        ..log.clone()
                    }));
                }
            }
            ["log", ..] if !hears_traffic(&words) => {
                return self.note(&mut front.table, at, "takes no lines about traffic, which are `info`");
            }
            ["log", ..] => front.logs.targets.push(at.clone()),
            ["option", "log-separate-errors"] => front.logs.separate = true,
            ["no", "option", "log-separate-errors"] => front.logs.separate = false,
            ["log-format", ..] | ["option", "httplog" | "tcplog", ..] => front.logs.format = Some(at.clone()),
            ["no", "option", "httplog" | "tcplog"] => front.logs.format = None,
            _ => return self.lost(&mut front.table, at, "it is not understood", ""),
        }
        let of_format =
            matches!(words.as_slice(), ["log-format" | "option", ..] | ["no", "option", "httplog" | "tcplog"]);
        front.logs.own |= own && (!of_format || front.logs.separate);
        if own {
            front.table.reserve("log", at);
        }
    }

    /// The log of a frontend, unless `[defaults]` has it.
    pub(super) fn finish_log(&mut self, front: &mut Front, section: &Section) {
        let logs = front.logs.clone();
        let format = logs.format(front.is_http());
        let shared =
            self.tables.iter().find(|table| table.name == "defaults").and_then(|table| table.value("log")).is_some();
        // The mode's own format is not only theirs.
        if !logs.own && format.is_none() && shared {
            return;
        }
        let format = format.map(|format| ("format", Value::Text(format)));
        let rows = self.log_rows(&mut front.table, &logs, format.as_ref());
        if !rows.is_empty() {
            front.table.fill("log", Value::Rows(rows), &section.head);
        } else if logs.own && shared {
            front.table.fill("log", Value::List(Vec::new()), &section.head);
        }
    }

    /// `log` of `[defaults]`, in the format that each mode has by itself.
    pub(super) fn shared_log(&mut self, table: &mut Table, section: &Section) {
        let mut logs = Logs::default();
        for at in &section.body {
            match at.words().as_slice() {
                ["log", "global"] => {
                    logs.targets.extend(self.global.logs.iter().filter(|log| hears_traffic(&log.words())).cloned());
                }
                ["log", ..] if hears_traffic(&at.words()) => logs.targets.push(at.clone()),
                ["option", "log-separate-errors"] => logs.separate = true,
                ["option", "httplog" | "tcplog"] => logs.format = Some(at.clone()),
                ["log-format", ..] | ["option", "httplog", "clf"] => {
                    logs.format = None;
                    logs.targets.clear();
                    break;
                }
                _ => {}
            }
        }
        let targets = logs.targets.into_iter();
        let targets = targets.map(|at| Statement { before: Vec::new(), after: None, ..at }).collect();
        let rows = match logs.format {
            Some(_) => self.log_rows(table, &Logs { targets, ..logs }, None),
            None => Vec::new(),
        };
        if !rows.is_empty() {
            table.fill("log", Value::Rows(rows), &section.head);
        }
    }

    fn log_rows(&mut self, table: &mut Table, logs: &Logs, format: Option<&(&'static str, Value)>) -> Vec<Item> {
        let mut rows = Vec::new();
        for at in &logs.targets {
            match log(at, logs.separate, format) {
                Ok(value) => {
                    let quiet = Statement { before: Vec::new(), after: None, ..at.clone() };
                    let mut item = Item::of(&quiet, value);
                    if matches!(at.words.get(1).map(String::as_str), Some("stderr" | "fd@2")) {
                        self.changed(&mut item, at, "lines go to standard output, not to standard error");
                    }
                    rows.push(item);
                }
                Err(why) => {
                    let mut item = Item::comment(&Statement { before: Vec::new(), ..at.clone() });
                    item.refuse(why);
                    table.say(item);
                    self.differs(
                        Effect::Lost,
                        at,
                        why,
                        "log = \"stdout\", \"file:/var/log/sluice.log\", \"udp:192.0.2.1:514\"",
                    );
                }
            }
        }
        rows
    }
}

/// What is left out of a log. `[defaults]` has said it already, if it is shared.
fn skip(front: &mut Front, at: &Statement, from: From, what: &str) {
    if from == From::Shared {
        return;
    }
    let known = matches!(front.table.value("log_skip"), Some(Value::Rows(rows)) if rows.iter().any(|row| row.value == Some(Value::text(what))));
    if !known {
        front.table.row("log_skip", Item::of(at, Value::text(what)));
    }
}

/// A `log` as a table.
fn log(at: &Statement, separate: bool, format: Option<&(&'static str, Value)>) -> Result<Value, &'static str> {
    let words = at.words();
    let to = target(words.get(1).copied().unwrap_or_default())?;
    let stream = to == "stdout";
    let mut pairs = vec![("to", Value::Text(to))];
    pairs.extend(format.cloned());
    let facility = facility_at(&words).ok_or("it has no facility")?;
    let mut framing = "local";
    let options = words.get(2..facility).unwrap_or_default();
    for option in options.chunks(2) {
        match option {
            ["len", length] => pairs.push(("length", Value::Int(length.parse().or(Err("`len` has no number"))?))),
            ["format", "raw"] => framing = "raw",
            ["format", "rfc3164"] => framing = "rfc3164",
            ["format", "rfc5424"] => framing = "rfc5424",
            ["format", "local"] => framing = "local",
            ["format", _] => return Err("lines are framed as `local`, `rfc3164`, `rfc5424` or `raw`"),
            _ => return Err("all lines are written, not a sample of them"),
        }
    }
    let usual = if stream { "raw" } else { "local" };
    if framing != usual {
        pairs.push(("framing", Value::text(framing)));
    }
    if framing != "raw" {
        pairs.push(("facility", Value::text(words.get(facility).copied().unwrap_or_default())));
        let least = words.get(facility + 2).copied().filter(|least| *least != "debug" && *least != "info");
        pairs.extend(least.map(|least| ("level", Value::text(least))));
        if separate && least.is_none() {
            pairs.push(("error_level", Value::text("err")));
        }
    }
    Ok(match pairs.as_slice() {
        [(_, to)] => to.clone(),
        _ => Value::Map(pairs),
    })
}

impl Logs {
    /// What a line says, if that is not what the mode has by itself.
    fn format(&self, http: bool) -> Option<String> {
        let words = self.format.as_ref().map(Statement::words);
        match words.as_deref() {
            Some(["log-format", format]) => Some((*format).to_owned()),
            Some(["option", "httplog", "clf"]) if http => Some("clf".to_owned()),
            Some(["option", "tcplog"]) if http => Some("tcplog".to_owned()),
            Some(_) => None,
            None => Some(format!("Connect from %ci:%cp to %fi:%fp (%f/{})", if http { "HTTP" } else { "TCP" })),
        }
    }
}
