//! The check of MySQL and MariaDB: a login by whatever way the server asks for, and a statement.

mod packet;
mod plugin;
mod login;
mod blind;
#[cfg(test)]
mod tests;

use self::packet::{Fields, Packets, complaint};
use super::{
    Finding,
    finding::{Step, quote},
    sql::{Answer, judge},
    wire::{Upgrade, Wire},
};
use crate::model::check::{MysqlCheck, SqlLogin};

/// `COM_QUIT`.
const QUIT: u8 = 1;
/// `COM_QUERY`.
const QUERY: u8 = 3;
/// Longer packets that begin with 0xFE are rows, not the end of them.
const END: usize = 9;

/// Logs in and asks, as far as `check` says.
pub(super) async fn probe(wire: &mut Wire, check: &MysqlCheck, upgrade: Option<Upgrade<'_>>) -> Step<Finding> {
    match check {
        MysqlCheck::Full(login) => full(&mut Packets::new(wire), login, upgrade).await,
        MysqlCheck::Greeting => blind::greeting(wire).await,
        MysqlCheck::Blind { user, form } => blind::probe(wire, user, *form).await,
    }
}

async fn full(packets: &mut Packets<'_>, login: &SqlLogin, upgrade: Option<Upgrade<'_>>) -> Step<Finding> {
    let version = login::login(packets, login, upgrade).await?;
    let found = match &login.query {
        None => Ok(Finding::ok(quote(&version))),
        Some(query) => match ask(packets, &query.statement).await {
            Ok(answer) => judge(query, &answer),
            Err(found) => Err(found),
        },
    };
    // Without a goodbye the server counts an aborted client. If it cannot be said, what was found stands.
    drop(packets.command(&[QUIT]).await);
    found
}

/// The answer to a statement.
async fn ask(packets: &mut Packets<'_>, statement: &str) -> Step<Answer> {
    const WHAT: &str = "the answer to the query";
    packets.command(&[&[QUERY], statement.as_bytes()].concat()).await?;
    let first = packets.read(WHAT).await?;
    let columns = match first.first() {
        Some(0x00) => return Ok(Answer::NoRow),
        Some(0xff) => return Err(complaint("refused query", &first)),
        // 0xFB asks for a file of ours.
        Some(_) | None => Fields(&first).number(),
    };
    let Some(columns) = columns.filter(|columns| *columns > 0) else { return Err(strange(&first)) };
    for _ in 0..columns {
        packets.read(WHAT).await?;
    }
    let end = packets.read(WHAT).await?;
    if !ends(&end) {
        return Err(strange(&end));
    }
    let mut answer = Answer::NoRow;
    loop {
        let row = packets.read(WHAT).await?;
        if ends(&row) {
            return Ok(answer);
        }
        if row.first() == Some(&0xff) {
            return Err(complaint("refused query", &row));
        }
        if answer == Answer::NoRow {
            answer = last(&row, columns).ok_or_else(|| strange(&row))?;
        }
    }
}

fn ends(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < END
}

/// The last value of a row.
fn last(row: &[u8], columns: u64) -> Option<Answer> {
    let mut fields = Fields(row);
    let mut last = None;
    for _ in 0..columns {
        last = fields.value()?;
    }
    Some(last.map_or(Answer::Null, |value| Answer::Value(value.to_vec())))
}

fn strange(packet: &[u8]) -> Finding {
    Finding::strange(format!("not an answer of MySQL: {}", quote(packet)))
}
