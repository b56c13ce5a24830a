//! `tcp-check`: a conversation.

use super::{Check, Pair, Refused};
use crate::import::output::Value;

fn refused<T>(why: impl Into<String>, help: &str) -> Result<T, Refused> {
    Err((why.into(), help.to_owned()))
}

/// Adds a step.
pub(super) fn step(check: &mut Check, words: &[&str]) -> Result<(), Refused> {
    let mut pairs = match words {
        ["comment", comment] => {
            check.comment = Some((*comment).to_owned());
            return Ok(());
        }
        ["connect", rest @ ..] => connect(rest)?,
        ["send", text, rest @ ..] => said(("send", Value::text(*text)), rest)?,
        ["send-binary", digits, rest @ ..] => said(("send_binary", Value::text(*digits)), rest)?,
        ["expect", rest @ ..] => expect(rest)?,
        [word, ..] => {
            return refused(format!("{word}: what is said is the same for all servers"), "`send` and `send-binary`");
        }
        [] => return refused("it is not understood", ""),
    };
    if !pairs.iter().any(|(key, _)| *key == "comment") {
        pairs.extend(check.comment.take().map(|comment| ("comment", Value::Text(comment))));
    }
    check.steps.push(Value::Map(pairs));
    Ok(())
}

fn said(what: Pair, rest: &[&str]) -> Result<Vec<Pair>, Refused> {
    match rest {
        [] => Ok(vec![what]),
        ["comment", comment] => Ok(vec![what, ("comment", Value::text(*comment))]),
        _ => refused("it is not understood", ""),
    }
}

fn connect(words: &[&str]) -> Result<Vec<Pair>, Refused> {
    let (mut pairs, mut comment) = (Vec::new(), None);
    let (mut tls, mut sni, mut alpn) = (false, None, None);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().copied().unwrap_or_default();
        match *word {
            "default" => pairs.push(("default", Value::Bool(true))),
            "linger" => pairs.push(("linger", Value::Bool(true))),
            "send-proxy" => pairs.push(("send_proxy", Value::text("v1"))),
            "port" => match value().parse() {
                Ok(port) => pairs.push(("port", Value::Int(port))),
                Err(_) => return refused("this is no port that can be read here", ""),
            },
            "addr" => pairs.push(("address", Value::text(value()))),
            "ssl" => tls = true,
            "sni" => sni = Some(value()),
            "alpn" => alpn = Some(value()),
            "comment" => comment = Some(value()),
            other => return refused(format!("{other}: there is nothing like it in a check"), ""),
        }
    }
    if tls {
        let mut keys = vec![("verify", Value::text("none"))];
        keys.extend(sni.map(|name| ("sni", Value::text(name))));
        keys.extend(alpn.map(|alpn| ("alpn", Value::texts(alpn.split(',')))));
        pairs.push(("tls", Value::Map(keys)));
    }
    let mut step = vec![("connect", Value::Map(pairs))];
    step.extend(comment.map(|comment| ("comment", Value::text(comment))));
    Ok(step)
}

fn expect(words: &[&str]) -> Result<Vec<Pair>, Refused> {
    let mut more = Vec::new();
    let mut rest = words;
    loop {
        match rest {
            ["!", after @ ..] => {
                more.push(("not", Value::Bool(true)));
                rest = after;
            }
            ["min-recv", number, after @ ..] => {
                let Ok(number) = number.parse() else { return refused("this is no number that can be read here", "") };
                // HAProxy's -1 is that nothing is said.
                if number >= 0 {
                    more.push(("min_recv", Value::Int(number)));
                }
                rest = after;
            }
            [
                word @ ("comment" | "ok-status" | "error-status" | "tout-status" | "on-success" | "on-error"),
                text,
                after @ ..,
            ] => {
                let key = match *word {
                    "comment" => "comment",
                    "ok-status" => "ok_status",
                    "error-status" => "error_status",
                    "tout-status" => "timeout_status",
                    "on-success" => "on_success",
                    _ => "on_error",
                };
                if text.contains("%[") {
                    return refused("texts of a check are the same for all servers", "");
                }
                more.push((key, Value::text(*text)));
                rest = after;
            }
            [what, pattern] => {
                let key = match *what {
                    "string" => "expect",
                    "rstring" => "expect_regex",
                    "binary" => "expect_binary",
                    "rbinary" => "expect_binary_regex",
                    _ => return refused("this cannot be expected", "`string`, `rstring`, `binary`, `rbinary`"),
                };
                let mut pairs = vec![(key, Value::text(*pattern))];
                pairs.append(&mut more);
                return Ok(pairs);
            }
            _ => return refused("it is not understood", ""),
        }
    }
}
