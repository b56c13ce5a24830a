//! What was refused last: the beginning of what came to a frontend as a request and was none, for whoever looks why.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// Bytes that are kept of it.
const KEPT: usize = 4 << 10;
/// Bytes of a line of a dump, as HAProxy has them.
const WIDTH: usize = 70;

/// Something that was no request. `Debug` shows nothing of it, which may hold passwords.
#[derive(Clone)]
pub struct Refused {
    /// When it came.
    pub at: SystemTime,
    /// Who has sent it.
    pub client: SocketAddr,
    /// What is wrong with it.
    pub why: String,
    /// How much of it had come.
    pub length: usize,
    /// The beginning of that.
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refused").field("why", &self.why).finish_non_exhaustive()
    }
}

impl Refused {
    /// From what had come by now.
    pub fn new(client: SocketAddr, why: String, bytes: &[u8]) -> Self {
        let kept = bytes.get(..KEPT).unwrap_or(bytes);
        Self { at: SystemTime::now(), client, why, length: bytes.len(), bytes: kept.to_vec() }
    }

    /// Line by line with their places, as HAProxy dumps it: what goes on from the line before has a `+` there.
    pub fn dump(&self) -> String {
        let (mut text, mut at, mut goes_on) = (String::new(), 0, false);
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let ends = rest.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let length = ends.unwrap_or(rest.len()).min(WIDTH);
            let shown: String = rest.iter().take(length).map(|byte| escaped(*byte)).collect();
            // Writing to a string does not fail.
            _ = writeln!(text, "  {at:05}{} {shown}", if goes_on { '+' } else { ' ' });
            goes_on = ends != Some(length);
            at += length;
        }
        text
    }
}

fn escaped(byte: u8) -> String {
    match byte {
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    }
}

/// The last one of a frontend.
#[derive(Debug, Default)]
pub struct LastRefused(Mutex<Option<Refused>>);

impl LastRefused {
    /// Keeps one, unless another thread is just doing so: in a flood of them any will do.
    pub fn keep(&self, refused: impl FnOnce() -> Refused) {
        if let Ok(mut last) = self.0.try_lock() {
            *last = Some(refused());
        }
    }

    /// The last one.
    pub fn get(&self) -> Option<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_dumped_as_haproxy_does() {
        let long = "x".repeat(80);
        let bytes = format!("GET /\u{1}\\ HTTP/1.1\r\nA: {long}\r\n");
        let refused = Refused::new(([192, 0, 2, 1], 5).into(), "no target".to_owned(), bytes.as_bytes());
        let (first, rest) = ("x".repeat(67), "x".repeat(13));
        let expected = format!("  00000  GET /\\x01\\\\ HTTP/1.1\\r\\n\n  00018  A: {first}\n  00088+ {rest}\\r\\n\n");
        assert_eq!(refused.dump(), expected);
        assert_eq!(refused.length, bytes.len());
    }

    #[test]
    fn no_more_is_kept_than_its_beginning_and_none_of_it_is_debugged() {
        let refused = Refused::new(([192, 0, 2, 1], 5).into(), "large".to_owned(), &[b's'; 2 * KEPT]);
        assert_eq!((refused.length, refused.bytes.len()), (2 * KEPT, KEPT));
        assert!(!format!("{refused:?}").contains("ss"));
        let last = LastRefused::default();
        assert!(last.get().is_none());
        last.keep(|| refused);
        assert_eq!(last.get().unwrap().why, "large");
    }
}
