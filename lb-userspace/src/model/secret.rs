//! Secret: what a server wants to hear and nobody else.

use std::fmt;

/// A password. It is in no log, message or answer: `Debug` shows nothing of it.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Keeps that.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What it is. Only for what is sent to the server.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
