//! Frames of HTTP/2 (RFC 9113), written by hand: also those that no library would send.

/// Types and flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(crate) fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, b"")
}

pub(crate) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[0; 8])
}

pub(crate) fn unknown() -> Vec<u8> {
    frame(0x77, 0, 0, &[0; 8])
}

pub(crate) fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW, 0, stream, &by.to_be_bytes())
}

pub(crate) fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &reason.to_be_bytes())
}

pub(crate) fn go_away(last: u32, reason: u32, words: &[u8]) -> Vec<u8> {
    frame(GO_AWAY, 0, 0, &[&last.to_be_bytes()[..], &reason.to_be_bytes(), words].concat())
}

pub(crate) fn data(stream: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    frame(DATA, if end { END_STREAM } else { 0 }, stream, bytes)
}

/// Fields as literals that are not remembered (RFC 7541 §6.2.2); in as many frames as they need.
pub(crate) fn head(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            assert!(text.len() < 0x7f);
            block.extend(text.as_bytes());
        }
    }
    let parts: Vec<_> = block.chunks(16_000).collect();
    let mut frames = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let ends = if index + 1 == parts.len() { END_HEADERS } else { 0 };
        let last = if end && index == 0 { END_STREAM } else { 0 };
        frames.extend(frame(kind, ends | last, stream, part));
    }
    frames
}

/// A further piece of a head, of which no end comes.
pub(crate) fn more(block: &[u8], stream: u32) -> Vec<u8> {
    frame(CONTINUATION, 0, stream, &block[..block.len().min(100)])
}
