//! `http-request`, `http-response`, `tcp-request`, `use_backend`: what becomes rules.

use super::{
    Effect, Import, advice,
    output::{Item, Table, Value},
    statement::Statement,
    words::joined,
};

/// A key of a rule and its value.
type Pair = (&'static str, Value);
/// Why there is none, and what helps.
type Refused = (String, String);

/// What stands before `if` or `unless`, and these with the condition.
fn split<'w>(words: &'w [&'w str]) -> (&'w [&'w str], Option<Pair>) {
    let at = words.iter().position(|word| matches!(*word, "if" | "unless"));
    let Some((action, [word, condition @ ..])) = at.map(|at| words.split_at(at)) else { return (words, None) };
    let key = if *word == "if" { "if" } else { "unless" };
    (action, Some((key, Value::text(joined(condition)))))
}

fn refused<T>(why: impl Into<String>, help: impl Into<String>) -> Result<T, Refused> {
    Err((why.into(), help.into()))
}

/// `use_backend`.
pub(super) fn use_backend(table: &mut Table, at: &Statement, name: &str, condition: &[&str]) {
    let (_, condition) = split(condition);
    // What always holds decides before any default, wherever that stands.
    if condition.is_none() && !table.has("default_backend") {
        table.imply("default_backend", Value::text(name), at);
    }
    let condition = condition.unwrap_or_else(|| ("if", Value::text("TRUE")));
    table.row("rule", Item::of(at, Value::Map(vec![condition, ("use", Value::text(name))])));
}

/// The statements of the rules that are there.
fn above(table: &Table) -> impl Iterator<Item = &str> {
    let rows =
        table.value("rule").into_iter().flat_map(|rules| if let Value::Rows(rows) = rules { &rows[..] } else { &[] });
    rows.map(|row| row.words.as_str())
}

impl Import {
    /// `http-request`, `http-response`, `http-after-response` and `redirect`.
    pub(super) fn message_rule(&mut self, table: &mut Table, at: &Statement) {
        let words = at.words();
        let (kind, rest) = match words.as_slice() {
            ["redirect", ..] => ("http-request", &words[..]),
            [kind, rest @ ..] => (*kind, rest),
            [] => return,
        };
        let (action, condition) = split(rest);
        if let ["capture", sample, "len", length] = action
            && let (Some(name), Ok(length), None) = (captured(sample), length.parse(), &condition)
        {
            let key = if kind == "http-request" { "capture_request" } else { "capture_response" };
            let pairs = vec![("name", Value::text(name)), ("length", Value::Int(length))];
            table.row(key, Item::of(at, Value::Map(pairs)));
            return;
        }
        if words.first() == Some(&"http-request") && above(table).any(|statement| statement.starts_with("redirect ")) {
            let why = "a redirect above answers before it; HAProxy asks all http-request rules before any redirect";
            self.differs(Effect::Changed, at, why, "put the redirect below it");
        }
        // HAProxy's status depends on whose message it is.
        let action = if kind != "http-request" && action == ["deny"] { &["deny", "status", "502"][..] } else { action };
        let pair = message_action(action, condition.as_ref(), table);
        match pair {
            Ok(pair) => {
                let mut pairs = Vec::new();
                if kind != "http-request" {
                    pairs.push(("on", Value::text("response")));
                }
                pairs.extend(condition);
                pairs.push(pair);
                let mut item = Item::of(at, Value::Map(pairs));
                if kind == "http-after-response" {
                    let why = "only answers of servers are looked at, not those that are made here";
                    item.before.push(format!("# changed: {why}"));
                    self.differs(Effect::Changed, at, why, "errorfile = { … } has fields of its own");
                }
                table.row("rule", item);
            }
            Err((why, help)) => self.lost(table, at, why, help),
        }
    }

    /// `tcp-request connection`, `session` and `content`.
    pub(super) fn connection_rule(&mut self, table: &mut Table, at: &Statement, http: bool) {
        let words = at.words();
        let (level, rest) = match words.as_slice() {
            [_, level @ ("connection" | "session" | "content"), rest @ ..] => (*level, rest),
            _ => return self.lost(table, at, "it is not understood", ""),
        };
        let (action, condition) = split(rest);
        let key = match action {
            ["accept"] => "accept",
            ["reject"] => "reject",
            [word, ..] => {
                let (why, help) = advice::action(word);
                return self.lost(table, at, format!("{word}: {why}"), help);
            }
            [] => return self.lost(table, at, "it has no action", ""),
        };
        let ends = |statement: &str| {
            let mut words = statement.split(' ').skip(1);
            words.next().is_some_and(|other| other != level) && words.next() == Some("accept")
        };
        if above(table).any(|statement| statement.starts_with("tcp-request ") && ends(statement)) {
            let why = "an accept above ends these rules too; HAProxy's ends only those of its own level";
            self.differs(Effect::Changed, at, why, "put this rule above, or its condition into the other one");
        }
        let mut pairs = Vec::new();
        if level != "content" || http {
            pairs.push(("on", Value::text("connection")));
        }
        pairs.extend(condition);
        pairs.push((key, Value::Bool(true)));
        if level == "connection" && table.value("bind").is_some_and(takes_proxies) {
            let why = "`src` is who the header of the PROXY protocol names, not the proxy";
            self.differs(Effect::Changed, at, why, "accept_proxy says which proxies are believed");
        }
        table.row("rule", Item::of(at, Value::Map(pairs)));
    }
}

/// One action of a message.
fn message_action(words: &[&str], condition: Option<&Pair>, table: &Table) -> Result<Pair, Refused> {
    let named = |name: &str, value: &str| Value::Map(vec![("name", Value::text(name)), ("value", Value::text(value))]);
    let replaced = |name: &str, regex: &str, with: &str| {
        Value::Map(vec![("name", Value::text(name)), ("match", Value::text(regex)), ("with", Value::text(with))])
    };
    Ok(match words {
        ["deny" | "block"] => ("deny", Value::Int(403)),
        ["deny", "deny_status" | "status", status] => ("deny", number(status)?),
        ["tarpit"] => ("tarpit", Value::Int(500)),
        ["tarpit", "deny_status" | "status", status] => ("tarpit", number(status)?),
        ["deny" | "tarpit", ..] => {
            return refused("answers of its own are not denials", "return = { … } of a rule");
        }
        ["return", rest @ ..] => ("return", returned(rest)?),
        ["redirect", rest @ ..] => ("redirect", redirect(rest)?),
        ["auth", rest @ ..] => ("auth", auth(rest, condition, table)?),
        ["set-header", name, value] => ("set_header", named(name, value)),
        ["add-header", name, value] => ("add_header", named(name, value)),
        ["del-header", name] | ["del-header", name, "-m", "str"] => ("del_header", Value::text(*name)),
        ["del-header", ..] => {
            return refused("fields are removed by their whole name", "del_header = \"…\", one each");
        }
        ["replace-header", name, regex, with] => ("replace_header", replaced(name, regex, with)),
        ["replace-value", name, regex, with] => ("replace_value", replaced(name, regex, with)),
        ["set-path", path] => ("set_path", Value::text(*path)),
        ["replace-path", regex, with] => {
            ("replace_path", Value::Map(vec![("match", Value::text(*regex)), ("with", Value::text(*with))]))
        }
        ["set-query", query] => ("set_query", Value::text(*query)),
        ["set-uri", uri] => ("set_uri", Value::text(*uri)),
        ["set-method", method] => ("set_method", Value::text(*method)),
        ["set-status", status] => ("set_status", number(status)?),
        ["set-status", _, "reason", ..] => return refused("the reason belongs to the status", "set_status = …"),
        [set, expression @ ..] if set.starts_with("set-var(") && !expression.is_empty() => {
            let name = set.trim_start_matches("set-var(").trim_end_matches(')');
            ("set_var", named(name, &expression.join("")))
        }
        [word, ..] => {
            let (why, help) = advice::action(word);
            return refused(format!("{word}: {why}"), help);
        }
        [] => return refused("it has no action", ""),
    })
}

/// `auth`: whose passwords count, the condition says.
fn auth(words: &[&str], condition: Option<&Pair>, table: &Table) -> Result<Value, Refused> {
    let text = match condition {
        Some((_, Value::Text(text))) => text.as_str(),
        _ => "",
    };
    let list = |text: &str| {
        let (_, rest) = text.split_once("http_auth(")?;
        rest.split_once(')').map(|(name, _)| name.to_owned())
    };
    let of_acl = |word: &str| {
        let rows = table.value(&format!("acl.{}", super::output::key_text(word.trim_start_matches('!'))))?;
        let Value::Rows(rows) = rows else { return None };
        rows.iter().find_map(|row| match &row.value {
            Some(Value::Text(text)) => list(text),
            _ => None,
        })
    };
    let Some(list) = list(text).or_else(|| text.split(' ').find_map(of_acl)) else {
        return refused("whose passwords count, is not said", "unless { http_auth(LIST) }");
    };
    let mut pairs = Vec::new();
    if let ["realm", realm] = words {
        pairs.push(("realm", Value::text(*realm)));
    }
    pairs.push(("userlist", Value::Text(list)));
    Ok(Value::Map(pairs))
}

fn takes_proxies(binds: &Value) -> bool {
    let Value::Rows(rows) = binds else { return false };
    let has = |pairs: &Vec<Pair>| pairs.iter().any(|(key, _)| *key == "accept_proxy");
    rows.iter().any(|row| matches!(&row.value, Some(Value::Map(pairs)) if has(pairs)))
}

/// The field that a sample is about, if it is about one alone.
fn captured(sample: &str) -> Option<&str> {
    let (fetch, rest) = sample.split_once('(')?;
    let name = rest.strip_suffix(')')?;
    let plain = matches!(fetch, "hdr" | "req.hdr" | "res.hdr" | "req.fhdr" | "res.fhdr");
    (plain && !name.contains([',', '('])).then_some(name)
}

fn number(word: &str) -> Result<Value, Refused> {
    word.parse().map(Value::Int).or_else(|_| refused("this is no number that can be read here", ""))
}

fn returned(words: &[&str]) -> Result<Value, Refused> {
    let mut pairs = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let value = rest.next().copied().unwrap_or_default();
        pairs.push(match *word {
            "status" => ("status", number(value)?),
            "content-type" => ("content_type", Value::text(value)),
            "string" => ("string", Value::text(value)),
            "lf-string" if !value.contains('%') => ("string", Value::text(value)),
            "file" => ("file", Value::text(value)),
            "lf-string" | "lf-file" => return refused("an answer is the same for all", "return = { string = \"…\" }"),
            other => return refused(format!("{other}: there is nothing like it in an answer"), ""),
        });
    }
    Ok(Value::Map(pairs))
}

fn redirect(words: &[&str]) -> Result<Value, Refused> {
    let mut pairs = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().copied().unwrap_or_default();
        pairs.push(match *word {
            "location" => ("location", Value::text(value())),
            "prefix" => ("prefix", Value::text(value())),
            "scheme" => ("scheme", Value::text(value())),
            "code" => ("code", number(value())?),
            "drop-query" => ("drop_query", Value::Bool(true)),
            "append-slash" => ("append_slash", Value::Bool(true)),
            "ignore-empty" => ("ignore_empty", Value::Bool(true)),
            "set-cookie" => ("set_cookie", Value::text(value())),
            "clear-cookie" => ("clear_cookie", Value::text(value())),
            other => return refused(format!("{other}: there is nothing like it in a redirect"), ""),
        });
    }
    Ok(Value::Map(pairs))
}
