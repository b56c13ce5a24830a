//! The script, HAProxy's `tcp-check`: by its rules of what is final, and with its words.

use super::{
    Code, Finding,
    finding::Step,
    probe::Prober,
    wire::{self, LIMIT, Wire},
};
use crate::l7;
use crate::model::{
    Sni,
    check::script::{
        self, Action, Connect, Connection, Content, ErrorStatus, Expect, OkStatus, ScriptCheck, TimeoutStatus,
    },
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, timeout_at};

/// What came is looked at whenever there is more of it, up to so many bytes; beyond, an eighth more is waited for, as long as
/// [`GATHER`]: whoever sends byte by byte does not have all of it looked at for each.
const SHORT: usize = 512;
const GATHER: Duration = Duration::from_millis(10);

/// Goes through the script, until `deadline`; and the connection that is still to be ended.
pub(super) async fn probe(prober: &Prober, script: &ScriptCheck, deadline: Instant) -> (Finding, Option<Wire>) {
    let mut last = None;
    for (index, connection) in script.connections.iter().enumerate() {
        // The one before ends first.
        drop(last.take());
        let mut wire = match open(prober, index, &connection.connect, deadline).await {
            Ok(wire) => wire,
            Err(found) => return (found, None),
        };
        let said = converse(&mut wire, &connection.steps).await;
        last = Some(wire).filter(|_| connection.connect.linger);
        if let Err(found) = said {
            return (found, last);
        }
    }
    let in_tls = script.connections.last().is_some_and(|Connection { connect, .. }| {
        connect.tls.is_some() || (connect.default && prober.connector.is_some())
    });
    (passed(script, in_tls), last)
}

/// Opens a connection of the script.
async fn open(prober: &Prober, index: usize, connect: &Connect, deadline: Instant) -> Step<Wire> {
    let to = prober.target.address;
    let address =
        SocketAddr::new(connect.address.unwrap_or_else(|| to.ip()), connect.port.unwrap_or_else(|| to.port()));
    let send_proxy = connect.send_proxy.or_else(|| prober.target.send_proxy.filter(|_| connect.default));
    let failed = |found: Finding| {
        let what = connect.port.map_or_else(|| "connect".to_owned(), |port| format!("connect port {port}"));
        at_step(&found, connect.number, &what, connect.comment.as_deref())
    };
    let stream = wire::connect(address, send_proxy, deadline).await.map_err(failed)?;
    if !connect.linger {
        l7::connect::reset_at_end(&stream); // As HAProxy does.
    }
    let mut wire = Wire::new(stream, address, deadline);
    let own = prober.scripted.get(index).and_then(Option::as_ref);
    let (connector, name) = match (own, &connect.tls) {
        (Some(own), Some(tls)) => (Some(own), if let Sni::Name(name) = &tls.sni { Some(name.as_str()) } else { None }),
        (Some(_) | None, _) => (prober.connector.as_ref().filter(|_| connect.default), prober.name()),
    };
    if let Some(connector) = connector {
        wire.start_tls(connector, name).await.map_err(failed)?;
    }
    Ok(wire)
}

/// Goes through the steps on a connection.
async fn converse(wire: &mut Wire, steps: &[script::Step]) -> Step<()> {
    let (mut at, mut ended, mut must_read) = (0, false, true);
    while let Some(step) = steps.get(at) {
        match &step.action {
            Action::Send(bytes) => {
                wire.take(usize::MAX);
                let sent = wire.send(bytes).await;
                sent.map_err(|found| at_step(&found, step.number, "send", step.comment.as_deref()))?;
                must_read = true;
            }
            Action::Expect(expect) => {
                if must_read {
                    ended = ended || !(is_full(wire) || more(wire, step, expect).await?);
                    must_read = false;
                }
                match matches(expect, wire.received(), ended || is_full(wire)) {
                    // All from the first on that forbids something must hold for what will have come then.
                    None => {
                        at = first_again(steps, at);
                        must_read = true;
                        continue;
                    }
                    Some(_) if wire.received().is_empty() => return Err(empty(step, expect)),
                    Some(matched) if matched == expect.not => return Err(mismatch(step, expect, matched)),
                    Some(_) => {}
                }
            }
        }
        at += 1;
    }
    Ok(())
}

fn is_full(wire: &Wire) -> bool {
    wire.received().len() >= LIMIT
}

/// How many bytes there should be before they are looked at again, of which there were so many.
fn enough(looked_at: usize) -> usize {
    (looked_at + if looked_at > SHORT { looked_at / 8 } else { 1 }).min(LIMIT)
}

/// Waits for as much more as is worth a look; `false`: no more will come.
async fn more(wire: &mut Wire, step: &script::Step, expect: &Expect) -> Step<bool> {
    let enough = enough(wire.received().len());
    let mut more = receive(wire, step, expect).await?;
    let until = Instant::now() + GATHER;
    while more && wire.received().len() < enough {
        match timeout_at(until, receive(wire, step, expect)).await {
            Ok(Ok(received)) => more = received,
            // What came is looked at first.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    Ok(more)
}

/// Waits for anything; `false`: no more will come. An error after something came is no more than its end.
async fn receive(wire: &mut Wire, step: &script::Step, expect: &Expect) -> Step<bool> {
    match wire.more("the answer").await {
        Err(found) if found.code == Code::L7Timeout => {
            let what = match &expect.content {
                Content::Text(text) => format!("expect string '{}'", text.escape_ascii()),
                Content::Regex(_) => "expect regex".to_owned(),
                Content::Binary(_) => "expect binary".to_owned(),
                Content::BinaryRegex(_) => "expect binary regex".to_owned(),
            };
            let found = Finding::new(timeout_code(expect.timeout_status), "");
            Err(at_step(&found, step.number, &what, step.comment.as_deref()))
        }
        Err(_) if !wire.received().is_empty() => Ok(false),
        Err(found) => Err(Finding { code: error_code(expect.error_status), ..found }),
        Ok(more) => Ok(more),
    }
}

/// Whether what is looked for is there; `None`: more must come before that is known. `last`: no more will.
fn matches(expect: &Expect, received: &[u8], last: bool) -> Option<bool> {
    let least = match &expect.content {
        Content::Text(bytes) | Content::Binary(bytes) => bytes.len(),
        Content::Regex(_) | Content::BinaryRegex(_) => 0,
    };
    if !last && received.len() < least.max(expect.min_recv.unwrap_or(0)) {
        return None;
    }
    let matched = is_in(&expect.content, received);
    (matched || last || expect.min_recv.is_some()).then_some(matched)
}

/// Whether that is in what came.
pub(super) fn is_in(content: &Content, received: &[u8]) -> bool {
    match content {
        Content::Text(bytes) | Content::Binary(bytes) => received.windows(bytes.len().max(1)).any(|part| part == bytes),
        Content::Regex(pattern) => pattern.0.is_match(received),
        Content::BinaryRegex(pattern) => pattern.0.is_match(&upper_hex(received)),
    }
}

/// As `rbinary` looks at it.
fn upper_hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |value: u8| char::from_digit(value.into(), 16).map_or(b'0', |digit| digit.to_ascii_uppercase() as u8);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The first of the expectations in a row with that at `at` that forbids something; else that itself.
fn first_again(steps: &[script::Step], at: usize) -> usize {
    let before = steps.get(..at).unwrap_or_default().iter().enumerate().rev();
    let row = before.map_while(|(index, step)| match &step.action {
        Action::Expect(expect) => Some((index, expect.not)),
        Action::Send(_) => None,
    });
    row.filter(|(_, not)| *not).last().map_or(at, |(index, _)| index)
}

/// What a script finds that came to its end.
fn passed(script: &ScriptCheck, in_tls: bool) -> Finding {
    const WORDS: &str = "(tcp-check)";
    let last = script.connections.last();
    match last.and_then(|last| last.steps.last()).map(|step| &step.action) {
        Some(Action::Expect(expect)) => {
            Finding::new(ok_code(expect.ok_status), expect.on_success.as_deref().unwrap_or(WORDS))
        }
        Some(Action::Send(_)) => Finding::ok(WORDS),
        None => {
            let is_said = last.is_some_and(|last| last.connect.number > 0);
            Finding::new(if in_tls { Code::L6Ok } else { Code::L4Ok }, if is_said { WORDS } else { "" })
        }
    }
}

fn mismatch(step: &script::Step, expect: &Expect, matched: bool) -> Finding {
    let mut detail = expect.on_error.clone().unwrap_or_else(|| {
        let what = if matched { "TCPCHK matched unwanted content" } else { "TCPCHK did not match content" };
        let content = match &expect.content {
            Content::Text(text) => format!("'{}'", text.escape_ascii()),
            Content::Regex(_) => "(regex)".to_owned(),
            Content::Binary(_) => "(binary)".to_owned(),
            Content::BinaryRegex(_) => "(binary regex)".to_owned(),
        };
        format!("{what} {content} at step {}", step.number)
    });
    if let Some(comment) = &step.comment {
        detail += " comment: ";
        detail += comment;
    }
    Finding::new(error_code(expect.error_status), detail)
}

fn empty(step: &script::Step, expect: &Expect) -> Finding {
    let comment = step.comment.as_ref().map_or_else(String::new, |comment| format!(" comment: '{comment}'"));
    let detail = format!("TCPCHK got an empty response at step {}{comment}", step.number);
    Finding::new(error_code(expect.error_status), detail)
}

/// The same finding, and at which step; `what` is done there.
fn at_step(found: &Finding, number: usize, what: &str, comment: Option<&str>) -> Finding {
    let place = match number {
        0 => "at initial connection step of tcp-check".to_owned(),
        number => format!("at step {number} of tcp-check ({what})"),
    };
    let comment = comment.map_or_else(String::new, |comment| format!(" comment: '{comment}'"));
    let detail = format!("{} {place}{comment}", found.detail).trim_start().to_owned();
    Finding::new(found.code, detail)
}

fn ok_code(status: OkStatus) -> Code {
    match status {
        OkStatus::L7Ok => Code::L7Ok,
        OkStatus::L7OkConditionally => Code::L7OkConditionally,
        OkStatus::L6Ok => Code::L6Ok,
        OkStatus::L4Ok => Code::L4Ok,
    }
}

fn error_code(status: ErrorStatus) -> Code {
    match status {
        ErrorStatus::L7Response => Code::L7Response,
        ErrorStatus::L7Status => Code::L7Status,
        ErrorStatus::L7OkConditionally => Code::L7OkConditionally,
        ErrorStatus::L6Response => Code::L6Response,
        ErrorStatus::L4Connection => Code::L4Connection,
    }
}

fn timeout_code(status: TimeoutStatus) -> Code {
    match status {
        TimeoutStatus::L7Timeout => Code::L7Timeout,
        TimeoutStatus::L6Timeout => Code::L6Timeout,
        TimeoutStatus::L4Timeout => Code::L4Timeout,
    }
}

#[cfg(test)]
mod tests;
