//! Secret: what nobody else may see.

use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroize as _;

/// A password, a private key, or a text that may have one. It is in no log, message or answer: `Debug` shows nothing of it;
/// and its memory is wiped once nobody needs it.
#[derive(Clone, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps that.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What it is. Only for what is sent to the server, and for what reads keys.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
