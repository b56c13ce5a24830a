//! Packets of MySQL's protocol, and the fields in them.

use crate::health::{
    Finding,
    finding::Step,
    sql::ANSWERS,
    wire::{LIMIT, Wire},
};
use bytes::BytesMut;

/// A connection as packets, whose numbers count on from one to the next.
pub(super) struct Packets<'w> {
    pub(super) wire: &'w mut Wire,
    /// Number of the next packet of ours.
    number: u8,
    /// Bytes that the server may still say.
    left: usize,
}

impl<'w> Packets<'w> {
    pub(super) fn new(wire: &'w mut Wire) -> Self {
        Self { wire, number: 0, left: ANSWERS }
    }

    /// Waits for a packet.
    pub(super) async fn read(&mut self, what: &str) -> Step<BytesMut> {
        let header = self.wire.exact(4, what).await?;
        let [low, middle, high, number] = *header else { return Err(Finding::strange(what)) };
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        if length > LIMIT {
            return Err(Finding::strange(format!("{what}: a packet of {length} bytes")));
        }
        self.left = self.left.checked_sub(length + 4).ok_or_else(|| {
            Finding::strange(format!("{what}: longer than {ANSWERS} bytes with all that came before"))
        })?;
        self.number = number.wrapping_add(1);
        self.wire.exact(length, what).await
    }

    /// Sends the next packet.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Step<()> {
        let packet = packet(self.number, payload);
        self.number = self.number.wrapping_add(1);
        self.wire.send(&packet).await
    }

    /// Sends a command: what comes to and fro for it is numbered from 0.
    pub(super) async fn command(&mut self, payload: &[u8]) -> Step<()> {
        self.number = 0;
        self.send(payload).await
    }
}

/// A packet of that number.
pub(super) fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    // Names and statements are bounded, so that three bytes are enough.
    let [low, middle, high, ..] = payload.len().to_le_bytes();
    [&[low, middle, high, number], payload].concat()
}

/// What the server complains of in a packet that begins with 0xFF.
pub(super) fn complaint(what: &str, packet: &[u8]) -> Finding {
    let mut fields = Fields(packet);
    let (Some(0xff), Some(number)) = (fields.byte(), fields.u16()) else {
        return Finding::strange(format!("{what}, without saying why"));
    };
    let state = fields.0.strip_prefix(b"#").and_then(|rest| rest.split_at_checked(5));
    match state.filter(|(state, _)| state.iter().all(u8::is_ascii_alphanumeric)) {
        Some((state, words)) => Finding::refused(&format!("{what}, error {number} ({})", state.escape_ascii()), words),
        None => Finding::refused(&format!("{what}, error {number}"), fields.0),
    }
}

/// The fields of a packet, from its start on. `None`: it ends too early.
#[derive(Clone, Copy)]
pub(super) struct Fields<'p>(pub(super) &'p [u8]);

impl<'p> Fields<'p> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Up to a zero, which is passed as well.
    pub(super) fn zero_terminated(&mut self) -> Option<&'p [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    /// A number of one to nine bytes.
    pub(super) fn number(&mut self) -> Option<u64> {
        let count = match self.byte()? {
            small @ ..=0xfa => return Some(small.into()),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            0xfb | 0xff => return None,
        };
        Some(self.take(count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A value of a row; `Some(None)` is NULL.
    #[expect(clippy::option_option, reason = "NULL is a value, the end of the packet is none")]
    pub(super) fn value(&mut self) -> Option<Option<&'p [u8]>> {
        if self.0.first() == Some(&0xfb) {
            self.take(1)?;
            return Some(None);
        }
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?).map(Some)
    }
}
