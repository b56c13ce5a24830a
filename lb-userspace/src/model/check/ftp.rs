//! The FTP check.

use super::Login;

/// The banner, a login if it is given, and leave.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FtpCheck {
    /// Default: no login.
    pub login: Option<Login>,
    /// TLS is begun by AUTH TLS, not at once.
    pub starttls: bool,
}
