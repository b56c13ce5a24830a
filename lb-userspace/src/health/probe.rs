//! One probe: what it is aimed at, and what it found.

use super::{http, tcp};
use crate::{
    l7::proxy_protocol,
    model::{Check, CheckKind, SendProxy, Server},
};
use rustix::io::Errno;
use std::{fmt, io, net::SocketAddr, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

/// What a probe found, by HAProxy's codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// Connected.
    L4Ok,
    /// No connection in time.
    L4Timeout,
    /// Connection refused, unreachable, reset.
    L4Connection,
    /// Answered as expected.
    L7Ok,
    /// Connected, but no whole answer in time.
    L7Timeout,
    /// Answered with something that is not the protocol.
    L7Response,
    /// Answered properly, but not as expected.
    L7Status,
    /// This machine could not probe: no descriptor, port, memory or permission. Says nothing about the server.
    SocketError,
}

impl Code {
    /// As HAProxy's `check_status` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::L4Ok => "L4OK",
            Self::L4Timeout => "L4TOUT",
            Self::L4Connection => "L4CON",
            Self::L7Ok => "L7OK",
            Self::L7Timeout => "L7TOUT",
            Self::L7Response => "L7RSP",
            Self::L7Status => "L7STS",
            Self::SocketError => "SOCKERR",
        }
    }
}

/// The end of a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// In one word.
    pub code: Code,
    /// In a few words, such as `status 503`; may be empty.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether the probe speaks for the server or against it; `None`: neither, for the fault is ours.
    pub fn passed(&self) -> Option<bool> {
        match self.code {
            Code::L4Ok | Code::L7Ok => Some(true),
            Code::L4Timeout | Code::L4Connection | Code::L7Timeout | Code::L7Response | Code::L7Status => Some(false),
            Code::SocketError => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, detail, took } = self;
        f.write_str(code.name())?;
        if !detail.is_empty() {
            write!(f, " {detail}")?;
        }
        write!(f, " in {:.1} ms", took.as_secs_f64() * 1_000.0)
    }
}

/// What a probe is aimed at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) check: Check,
    /// The server expects a header of the PROXY protocol.
    pub(super) send_proxy: Option<SendProxy>,
}

impl Target {
    pub(super) fn new(server: &Server, check: &Check, send_proxy: Option<SendProxy>) -> Self {
        let port = check.port.unwrap_or_else(|| server.address.port());
        Self { address: SocketAddr::new(server.address.ip(), port), check: check.clone(), send_proxy }
    }

    /// One probe, at most as long as the check's timeout.
    pub(super) async fn probe(&self) -> (Code, String) {
        let connected = async {
            let mut stream = TcpStream::connect(self.address).await?;
            if let Some(version) = self.send_proxy {
                // Nobody's client: the check speaks for itself.
                stream.write_all(&proxy_protocol::header(version, None)?).await?;
            }
            io::Result::Ok(stream)
        };
        let deadline = tokio::time::Instant::now() + self.check.timeout;
        let stream = match tokio::time::timeout_at(deadline, connected).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return failed(&error, Code::L4Connection),
            Err(_elapsed) => return (Code::L4Timeout, String::new()),
        };
        match &self.check.kind {
            CheckKind::Tcp => tcp::finish(&stream),
            CheckKind::Http { method, path, host, expect } => {
                let host = host.clone().unwrap_or_else(|| self.address.to_string());
                let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                let answer = timeout(left, http::ask(stream, method, path, &host)).await;
                answer.map_or_else(|_elapsed| (Code::L7Timeout, String::new()), |answer| http::judge(answer, expect))
            }
        }
    }
}

/// What an I/O error means: `blames_server`, unless the fault is ours.
pub(super) fn failed(error: &io::Error, blames_server: Code) -> (Code, String) {
    let is_ours = Errno::from_io_error(error).is_some_and(|errno| OURS.contains(&errno));
    (if is_ours { Code::SocketError } else { blames_server }, reason(error))
}

/// Errors of `socket` and `connect` that arise before a packet leaves: what HAProxy calls a lack of resources, and the
/// refusals of a local firewall or security module.
const OURS: [Errno; 9] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::ADDRNOTAVAIL,
    Errno::ADDRINUSE,
    Errno::AGAIN,
    Errno::ACCESS,
    Errno::PERM,
];

/// An I/O error in the operator's words.
fn reason(error: &io::Error) -> String {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        "connection refused".to_owned()
    } else if kind == io::ErrorKind::ConnectionReset {
        "connection reset".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_this_machine_is_not_the_servers() {
        let code = |errno: Errno| failed(&errno.into(), Code::L4Connection).0;
        for errno in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM, Errno::PERM] {
            assert_eq!(code(errno), Code::SocketError, "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::CONNRESET, Errno::TIMEDOUT] {
            assert_eq!(code(errno), Code::L4Connection, "{errno}");
        }
        assert_eq!(failed(&io::Error::other("no number"), Code::L7Response).0, Code::L7Response);
    }

    #[test]
    fn only_an_error_of_this_machine_counts_neither_way() {
        let passed = |code| Report { code, detail: String::new(), took: Duration::ZERO }.passed();
        assert_eq!([Code::L4Ok, Code::L7Status, Code::SocketError].map(passed), [Some(true), Some(false), None]);
    }
}
