//! What an imported configuration does otherwise than the one that it is made of.

use serde::Serialize;
use std::fmt;

/// Where a statement stands: the number of its file, and of its line, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: usize,
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It is not carried over; it stands in the result as a comment.
    Lost,
    /// It is carried over, and means something else.
    Changed,
    /// Nothing changes, but there is something to know.
    Note,
}

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    /// The file, as it was named.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The words that stand there; secrets are left out.
    pub words: String,
    /// What became of them.
    pub effect: Effect,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, words, effect, why, help } = self;
        let effect = match effect {
            Effect::Lost => "not carried over",
            Effect::Changed => "changed",
            Effect::Note => "note",
        };
        write!(f, "{file}:{line}: {effect}: `{words}`: {why}")?;
        help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

/// The words that come before a secret.
const SECRET: [&str; 5] = ["auth", "password", "insecure-password", "dynamic-cookie-key", "agent-send"];
/// Those in checks, which may log in.
const SENT: [&str; 5] = ["send", "send-lf", "send-binary", "send-binary-lf", "body"];
/// Parts of the names of fields that carry secrets.
const FIELDS: [&str; 4] = ["authorization", "cookie", "token", "api-key"];

/// Whether a secret may follow that word of a statement.
fn tells(statement: &str, index: usize, word: &str) -> bool {
    let is_field = || index > 0 && FIELDS.iter().any(|part| word.to_ascii_lowercase().contains(part));
    SECRET.contains(&word) || (statement.ends_with("-check") && SENT.contains(&word)) || is_field()
}

/// Words as they may be shown and logged.
pub(super) fn shown(words: &[String]) -> String {
    let mut hidden = false;
    let mut shown = Vec::new();
    let statement = words.first().map_or("", String::as_str);
    for (index, word) in words.iter().enumerate() {
        let word = super::words::with_variables(word);
        let plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
        // `http-request auth realm …` has none.
        shown.push(match (hidden && !matches!(word.as_str(), "realm" | "if" | "unless"), plain) {
            (true, _) => "…".to_owned(),
            (false, true) => word.clone(),
            (false, false) => format!("\"{}\"", word.escape_debug()),
        });
        hidden = tells(statement, index, &word);
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (line, said) in [
            ("stats auth admin:geheim", "stats auth …"),
            ("user a insecure-password geheim groups g", "user a insecure-password … groups g"),
            ("http-request auth realm Staff if x", "http-request auth realm Staff if x"),
            ("tcp-check send AUTH\\ geheim\\r\\n comment x", "tcp-check send … comment x"),
            ("http-check send meth GET hdr Authorization geheim", "http-check send … GET hdr Authorization …"),
            ("http-request set-header X-Api-Token geheim if x", "http-request set-header X-Api-Token … if x"),
            ("cookie SERVERID insert", "cookie SERVERID insert"),
            ("stats realm HAProxy\\ Statistics", "stats realm \"HAProxy Statistics\""),
        ] {
            assert_eq!(shown(&super::super::words::split(line).words), said);
        }
    }
}
