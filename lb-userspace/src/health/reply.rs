//! Replies that begin with three digits and may have several lines: those of SMTP and of FTP.

use super::{
    Finding,
    finding::{Step, quote},
    wire::{LIMIT, Wire},
};
use bytes::BytesMut;

/// How the lines of a reply before the last are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lines {
    /// Each begins with the code and a dash (RFC 5321 §4.2.1).
    Marked,
    /// The first does; of the others nothing is said (RFC 959 §4.2).
    Free,
}

/// A whole reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// 100 to 599.
    pub(super) code: u16,
    /// Its last line.
    pub(super) line: BytesMut,
}

impl Reply {
    /// The last line without its code.
    pub(super) fn text(&self) -> &[u8] {
        self.line.get(3..).unwrap_or_default().trim_ascii()
    }

    /// Itself, if its code is in the hundred of `class`; else the server did not do `what`.
    pub(super) fn of(self, class: u16, what: &str) -> Step<Self> {
        if self.code / 100 == class { Ok(self) } else { Err(Finding::refused(what, &self.line)) }
    }
}

/// Waits for a whole reply, of at most as many bytes as are kept at once.
pub(super) async fn reply(wire: &mut Wire, lines: Lines, what: &str) -> Step<Reply> {
    let first = wire.line(what).await?;
    let strange = |line: &[u8]| Finding::strange(format!("{what}: not a reply: {}", quote(line)));
    let Some((code, mut more)) = parse(&first) else { return Err(strange(&first)) };
    let (mut line, mut length) = (first, 0);
    while more {
        length += line.len() + 1;
        if length > LIMIT {
            return Err(Finding::strange(format!("{what}: longer than {LIMIT} bytes")));
        }
        line = wire.line(what).await?;
        match parse(&line) {
            Some((again, goes_on)) if again == code => more = goes_on,
            Some(_) | None if lines == Lines::Free => {}
            Some(_) | None => return Err(strange(&line)),
        }
    }
    Ok(Reply { code, line })
}

/// The code of a line, and whether more lines follow.
fn parse(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let is_code = digits.iter().all(u8::is_ascii_digit) && (100..600).contains(&code);
    let more = match rest.first() {
        None | Some(b' ' | b'\r') => false,
        Some(b'-') => true,
        Some(_) => return None,
    };
    is_code.then_some((code, more))
}
