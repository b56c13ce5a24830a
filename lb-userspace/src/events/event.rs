//! Event: one thing that happened, with what there is to say of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of text that an event has at most: with them a message between processes is never too long.
pub(super) const TEXT: usize = 8_000;
/// Bytes of each text in it.
pub(super) const ONE_TEXT: usize = 2_000;

/// One thing that happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Event {
    /// Its number in the journal that it was read from, from 1.
    pub number: u64,
    /// When, in microseconds of the Unix epoch.
    pub at_us: u64,
    /// How bad it is.
    pub level: Level,
    /// One of [`KINDS`](super::KINDS).
    pub event: String,
    /// In words.
    pub message: String,
    /// Who noted it: `supervisor` or `worker`.
    pub process: String,
    /// That process.
    pub pid: u32,
    /// What else there is to say, in its order.
    pub fields: Vec<(String, Value)>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Info,
    /// To be looked at.
    Warning,
    /// Something failed.
    Error,
}

impl Level {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// At most so many bytes of a text, whole characters, with a mark where it was cut.
pub(super) fn cut(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub(MARK.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned() + MARK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("déjà", 6), "déjà");
        assert_eq!(cut("déjà vu", 7), "déj…");
        assert_eq!(cut("éé", 3), "…");
    }
}
