//! The SMTP check.

/// A greeting, and leave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SmtpCheck {
    /// Default: `HELO`, as HAProxy; `EHLO` before TLS that is begun there.
    pub hello: Hello,
    /// Who greets. Default: `localhost`, as HAProxy.
    pub domain: String,
    /// TLS is begun by STARTTLS, not at once.
    pub starttls: bool,
}

/// How a server is greeted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hello {
    /// HELO.
    #[default]
    Plain,
    /// EHLO.
    Extended,
}

impl Hello {
    /// As it is said.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "HELO",
            Self::Extended => "EHLO",
        }
    }
}
