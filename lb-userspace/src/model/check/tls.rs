//! The TLS check.

use std::time::Duration;

/// A handshake, and how long the server's certificate is still valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TlsCheck {
    /// Warn if the certificate ends within this time. Default: 14 days.
    pub warn_before: Duration,
    /// Fail if it does. Default: never; but one that has ended is believed by `verify = "none"` alone.
    pub fail_before: Option<Duration>,
}

impl Default for TlsCheck {
    fn default() -> Self {
        Self { warn_before: Duration::from_hours(14 * 24), fail_before: None }
    }
}
