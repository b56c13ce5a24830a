//! The check of PostgreSQL: a login by whatever way the server asks for, its role, and a statement.

mod message;
mod scram;
mod login;
#[cfg(test)]
mod tests;

use self::message::{Messages, complaint, not_pgsql, number, startup, words};
use super::{
    Code, Finding,
    finding::{Step, quote},
    sql::{Answer, judge},
    wire::{Upgrade, Wire},
};
use crate::model::check::{PgsqlCheck, Role, SqlLogin};

/// Whether the server follows another.
const RECOVERS: &str = "SELECT pg_catalog.pg_is_in_recovery()";

/// Logs in and asks, as far as `check` says.
pub(super) async fn probe(wire: &mut Wire, check: &PgsqlCheck, upgrade: Option<Upgrade<'_>>) -> Step<Finding> {
    let mut messages = Messages::new(wire);
    match check {
        PgsqlCheck::Full { login, role } => full(&mut messages, login, *role, upgrade).await,
        PgsqlCheck::Startup { user } => begin(&mut messages, user).await,
    }
}

async fn full(
    messages: &mut Messages<'_>,
    login: &SqlLogin,
    role: Role,
    upgrade: Option<Upgrade<'_>>,
) -> Step<Finding> {
    login::login(messages, login, upgrade).await?;
    let found = asked(messages, login, role).await;
    // If the goodbye cannot be said, what was found stands.
    drop(messages.send(b'X', b"").await);
    found
}

/// What the server answers to all that is asked.
async fn asked(messages: &mut Messages<'_>, login: &SqlLogin, role: Role) -> Step<Finding> {
    let role = match role {
        Role::Any => "ready",
        wanted @ (Role::Primary | Role::Replica) => self::role(ask(messages, RECOVERS).await?, wanted)?,
    };
    match &login.query {
        None => Ok(Finding::ok(role)),
        Some(query) => judge(query, &ask(messages, &query.statement).await?),
    }
}

fn role(answer: Answer, wanted: Role) -> Step<&'static str> {
    let is = match answer {
        Answer::Value(value) if value == b"f" => "primary",
        Answer::Value(value) if value == b"t" => "replica",
        Answer::Value(_) | Answer::Null | Answer::NoRow => return Err(Finding::strange("no role in the answer")),
    };
    match (wanted, is) {
        (Role::Any, _) | (Role::Primary, "primary") | (Role::Replica, "replica") => Ok(is),
        (Role::Primary | Role::Replica, _) => Err(Finding::refused("its role", is.as_bytes())),
    }
}

/// The answer to a statement.
async fn ask(messages: &mut Messages<'_>, statement: &str) -> Step<Answer> {
    messages.send(b'Q', &[statement.as_bytes(), b"\0"].concat()).await?;
    let (mut answer, mut failed) = (Answer::NoRow, None);
    loop {
        let (letter, body) = messages.read("the answer to the query").await?;
        match letter {
            b'D' if answer == Answer::NoRow => answer = last(&body).ok_or_else(|| not_pgsql(&body))?,
            b'E' => {
                let found = complaint("refused query", &body);
                // Then it ends the session, and is not ready any more.
                if words(&body).starts_with(b"FATAL") {
                    return Err(found);
                }
                failed.get_or_insert(found);
            }
            b'Z' => return failed.map_or(Ok(answer), Err),
            // Columns, more rows, ends of statements, notices, settings, notifications.
            b'T' | b'D' | b'C' | b'I' | b'N' | b'S' | b'A' => {}
            _ => return Err(not_pgsql(&[&[letter], &*body].concat())),
        }
    }
}

/// The last value of a row.
fn last(row: &[u8]) -> Option<Answer> {
    let (columns, mut rest) = row.split_first_chunk()?;
    let mut last = Answer::NoRow;
    for _ in 0..u16::from_be_bytes(*columns) {
        let (length, value) = number(rest)?;
        (last, rest) = if length == u32::MAX {
            (Answer::Null, value)
        } else {
            let (value, rest) = value.split_at_checked(usize::try_from(length).ok()?)?;
            (Answer::Value(value.to_vec()), rest)
        };
    }
    Some(last)
}

/// HAProxy's check: any question of the server's is enough.
async fn begin(messages: &mut Messages<'_>, user: &str) -> Step<Finding> {
    messages.wire.send(&startup(&[("user", user)])).await?;
    let header = messages.wire.exact(5, "the answer").await?;
    let (letter, length) = header.split_at(1);
    if letter == b"E" {
        let length = number(length).map_or(0, |(length, _)| length.saturating_sub(4));
        let body = messages.wire.exact(usize::try_from(length).unwrap_or(usize::MAX), "the server's error").await?;
        let said = words(&body);
        return Err(Finding::new(Code::L7Response, format!("refused: {}", quote(&said))));
    }
    let code = messages.wire.exact(4, "the answer").await?;
    match (letter, length, &*code) {
        (b"R", [0, 0, 0, _], [0, 0, 0, 0 | 2..=7 | 9 | 10]) => Ok(Finding::ok("PostgreSQL server is ok")),
        _ => Err(Finding::new(Code::L7Status, "PostgreSQL unknown error")),
    }
}
