//! Messages of PostgreSQL's protocol, and what is in them.

use crate::health::{
    Code, Finding,
    finding::{Step, quote},
    sql::ANSWERS,
    wire::{LIMIT, Wire},
};
use bytes::BytesMut;

/// A connection as messages: a letter each, and what follows it.
pub(super) struct Messages<'w> {
    pub(super) wire: &'w mut Wire,
    /// Bytes that the server may still say.
    left: usize,
}

impl<'w> Messages<'w> {
    pub(super) fn new(wire: &'w mut Wire) -> Self {
        Self { wire, left: ANSWERS }
    }

    /// Waits for a message.
    pub(super) async fn read(&mut self, what: &str) -> Step<(u8, BytesMut)> {
        let header = self.wire.exact(5, what).await?;
        let read = header.split_first().and_then(|(letter, length)| Some((*letter, number(length)?.0)));
        let Some((letter, length)) = read else { return Err(not_pgsql(&header)) };
        let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let Some(length) = length.filter(|length| *length <= LIMIT) else {
            return Err(if letter == b'E' { self.old_error(&header).await } else { not_pgsql(&header) });
        };
        self.left = self.left.checked_sub(length + 5).ok_or_else(|| {
            Finding::strange(format!("{what}: longer than {ANSWERS} bytes with all that came before"))
        })?;
        Ok((letter, self.wire.exact(length, what).await?))
    }

    /// A server that could not even start to serve says so in the protocol of old: a text, up to a line's end or a zero.
    async fn old_error(&mut self, header: &[u8]) -> Finding {
        let mut words = header.get(1..).unwrap_or_default().to_vec();
        match self.wire.line("the server's error").await {
            Ok(line) => words.extend_from_slice(&line),
            Err(found) => return found,
        }
        Finding::refused("refused", words.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, letter: u8, body: &[u8]) -> Step<()> {
        self.wire.send(&[&[letter], counted(body).as_slice()].concat()).await
    }
}

/// Behind its length, which counts itself.
pub(super) fn counted(body: &[u8]) -> Vec<u8> {
    // Names and statements are bounded, so that four bytes are enough.
    let [.., a, b, c, d] = (body.len() + 4).to_be_bytes();
    [&[a, b, c, d], body].concat()
}

/// How a session begins: who comes, and what he says of himself.
pub(super) fn startup(settings: &[(&str, &str)]) -> Vec<u8> {
    let mut body = PROTOCOL.to_vec();
    for text in settings.iter().flat_map(|(key, value)| [key, value]) {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    counted(&body)
}

/// Version 3.0.
const PROTOCOL: [u8; 4] = [0, 3, 0, 0];

/// What the server complains of in a message of the letter E.
pub(super) fn complaint(what: &str, body: &[u8]) -> Finding {
    Finding::refused(what, &words(body))
}

/// Severity, code and text of such a message, as PostgreSQL's own clients show them.
pub(super) fn words(body: &[u8]) -> Vec<u8> {
    let fields = || body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
    let field = |wanted: u8| fields().find(|(letter, _)| **letter == wanted).map(|(_, text)| text);
    // Not translated, since 9.6.
    let severity = field(b'V').or_else(|| field(b'S'));
    let all: Vec<_> = [severity, field(b'C'), field(b'M')].into_iter().flatten().collect();
    all.join(&b' ')
}

/// What PostgreSQL would not say.
pub(super) fn not_pgsql(said: &[u8]) -> Finding {
    Finding::strange(format!("not an answer of PostgreSQL: {}", quote(said)))
}

/// The server wants what it should not have.
pub(super) fn unwilling(detail: &str) -> Finding {
    Finding::new(Code::L7Status, detail)
}

/// A number of four bytes, and what follows it.
pub(super) fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}
