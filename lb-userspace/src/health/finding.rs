//! Finding: what a probe found, by HAProxy's codes, and in words.

use rustix::io::Errno;
use std::{fmt, io, time::Duration};

/// What a probe found, by HAProxy's codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// Connected.
    L4Ok,
    /// No connection in time.
    L4Timeout,
    /// Connection refused, unreachable, reset.
    L4Connection,
    /// TLS agreed on.
    L6Ok,
    /// No TLS in time.
    L6Timeout,
    /// Not TLS, no agreement, or a certificate that is not believed.
    L6Response,
    /// Answered as expected.
    L7Ok,
    /// Answered as one does that should get nothing new: HAProxy's `disable-on-404`.
    L7OkConditionally,
    /// Connected, but no whole answer in time.
    L7Timeout,
    /// Answered with something that is not the protocol, or not at all.
    L7Response,
    /// Answered properly, but not as expected: refused, not ready, of another role.
    L7Status,
    /// A program said that the server works.
    ProcessOk,
    /// It did not end in time.
    ProcessTimeout,
    /// It said that the server does not work, or could not be run.
    ProcessError,
    /// This machine could not probe: no descriptor, port, memory or permission. Says nothing about the server.
    SocketError,
}

/// HAProxy's description of a code (`check_desc`, `agent_desc`).
pub fn description(code: &str) -> &'static str {
    match code {
        "INI" => "Initializing",
        "CHECKED" => "No status change",
        "HANA" => "Health analyze",
        "SOCKERR" => "Socket error",
        "L4OK" => "Layer4 check passed",
        "L4TOUT" => "Layer4 timeout",
        "L4CON" => "Layer4 connection problem",
        "L6OK" => "Layer6 check passed",
        "L6TOUT" => "Layer6 timeout",
        "L6RSP" => "Layer6 invalid response",
        "L7TOUT" => "Layer7 timeout",
        "L7RSP" => "Layer7 invalid response",
        "L7OK" => "Layer7 check passed",
        "L7OKC" => "Layer7 check conditionally passed",
        "L7STS" => "Layer7 wrong status",
        "PROCERR" => "External check error",
        "PROCTOUT" => "External check timeout",
        "PROCOK" => "External check passed",
        _ => "Unknown",
    }
}

/// What a code means for the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// It works.
    Passed,
    /// It works and should get nothing new.
    Stopping,
    /// It does not work.
    Failed,
    /// Nothing: the fault is ours.
    Nothing,
}

impl Code {
    /// As HAProxy's `check_status` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::L4Ok => "L4OK",
            Self::L4Timeout => "L4TOUT",
            Self::L4Connection => "L4CON",
            Self::L6Ok => "L6OK",
            Self::L6Timeout => "L6TOUT",
            Self::L6Response => "L6RSP",
            Self::L7Ok => "L7OK",
            Self::L7OkConditionally => "L7OKC",
            Self::L7Timeout => "L7TOUT",
            Self::L7Response => "L7RSP",
            Self::L7Status => "L7STS",
            Self::ProcessOk => "PROCOK",
            Self::ProcessTimeout => "PROCTOUT",
            Self::ProcessError => "PROCERR",
            Self::SocketError => "SOCKERR",
        }
    }

    /// What it means for the server.
    pub const fn meaning(self) -> Meaning {
        match self {
            Self::L4Ok | Self::L6Ok | Self::L7Ok | Self::ProcessOk => Meaning::Passed,
            Self::L7OkConditionally => Meaning::Stopping,
            Self::L4Timeout
            | Self::L4Connection
            | Self::L6Timeout
            | Self::L6Response
            | Self::L7Timeout
            | Self::L7Response
            | Self::L7Status
            | Self::ProcessTimeout
            | Self::ProcessError => Meaning::Failed,
            Self::SocketError => Meaning::Nothing,
        }
    }
}

/// The end of a probe: in one word, and in a few. As an error it is the end of a probe that could not go on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// In one word.
    pub code: Code,
    /// In a few words, such as `status 503`; may be empty. What the server said is quoted in it.
    pub detail: String,
}

/// How a step of a probe ends.
pub(super) type Step<T> = Result<T, Finding>;

impl Finding {
    /// That code, in those words.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// As expected.
    pub(super) fn ok(detail: impl Into<String>) -> Self {
        Self::new(Code::L7Ok, detail)
    }

    /// Not the protocol.
    pub(super) fn strange(detail: impl Into<String>) -> Self {
        Self::new(Code::L7Response, detail)
    }

    /// The protocol, but not what was hoped for; `said` by the server.
    pub(super) fn refused(detail: &str, said: &[u8]) -> Self {
        Self::new(Code::L7Status, format!("{detail}: {}", quote(said)))
    }

    /// What an I/O error means: `blames_server`, unless the fault is ours.
    pub(super) fn failed(error: &io::Error, blames_server: Code) -> Self {
        let kind = error.kind();
        let detail = if kind == io::ErrorKind::ConnectionRefused {
            "connection refused".to_owned()
        } else if kind == io::ErrorKind::ConnectionReset {
            "connection reset".to_owned()
        } else {
            bounded(error.to_string())
        };
        Self::new(if is_ours(error) { Code::SocketError } else { blames_server }, detail)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.name())?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        Ok(())
    }
}

/// A finding, and how long it took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// What was found.
    pub finding: Finding,
    /// From the first packet on.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finding, took } = self;
        write!(f, "{finding} in {:.1} ms", took.as_secs_f64() * 1_000.0)
    }
}

/// Most bytes of what a server said that are shown.
const QUOTED: usize = 120;

/// Words of ours that may have those of others in them, cut where they become too many.
pub(super) fn bounded(mut words: String) -> String {
    if let Some((at, _)) = words.char_indices().nth(QUOTED * 2) {
        words.truncate(at);
        words.push('…');
    }
    words
}

/// What a server said, as safe text of bounded length: nothing in it can be taken for the end of a line, or move a cursor.
pub(super) fn quote(said: &[u8]) -> String {
    let said = said.trim_ascii();
    let shown = said.get(..QUOTED).unwrap_or(said);
    let more = if shown.len() < said.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_ascii())
}

/// Whether an error of `socket` or `connect` is about this machine, and says nothing of the server.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| OURS.contains(&errno))
}

/// Errors of `socket` and `connect` that arise before a packet leaves: what HAProxy calls a lack of resources.
/// A refusal by a firewall is not among them: one on the way looks the same (ICMPv6 "prohibited" is `EACCES`).
const OURS: [Errno; 7] =
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::ADDRINUSE, Errno::AGAIN];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_this_machine_is_not_the_servers() {
        let code = |errno: Errno| Finding::failed(&errno.into(), Code::L4Connection).code;
        for errno in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(code(errno), Code::SocketError, "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::CONNRESET, Errno::TIMEDOUT] {
            assert_eq!(code(errno), Code::L4Connection, "{errno}");
        }
        assert_eq!(Finding::failed(&io::Error::other("no number"), Code::L7Response).code, Code::L7Response);
    }

    #[test]
    fn what_a_server_says_is_bounded_and_harmless() {
        assert_eq!(quote(b"  no such user\r\n"), "\"no such user\"");
        assert_eq!(quote(b"\x1b[2J\nLevel \xff\""), r#""\x1b[2J\nLevel \xff\"""#);
        let long = quote(&[b'a'; 1_000]);
        assert_eq!(long, format!("\"{}…\"", "a".repeat(120)));
    }
}
