//! Wire: one connection to a server that is probed, in clear text or TLS. What every protocol needs of it, bounded in time
//! and memory; how TCP cuts what a server says is not seen beyond this file.

use super::{
    Code, Finding,
    finding::{Step, bounded, quote},
};
use crate::{
    l7::{
        connect,
        tls::server::{ConnectError, Connector, ServerCertificate},
    },
    model::SendProxy,
};
use bytes::BytesMut;
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::RawFd,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// Most bytes of an answer that are kept at once, HAProxy's `tune.bufsize`.
pub(super) const LIMIT: usize = 16 << 10;
/// Longest line.
pub(super) const LINE: usize = 2 << 10;
/// How long the end of a connection is waited for after the last word.
const FAREWELL: Duration = Duration::from_secs(1);

/// Both directions of a connection, whatever it is made of.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// TLS that a conversation goes on in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upgrade<'a> {
    pub(super) connector: &'a Connector,
    /// The name that the server is asked for.
    pub(super) name: Option<&'a str>,
}

/// A connection to a server that is probed.
pub(super) struct Wire {
    /// `None` after a handshake that failed.
    io: Option<Box<dyn Io>>,
    received: BytesMut,
    deadline: Instant,
    address: SocketAddr,
    /// The protocol that was agreed on in TLS (RFC 7301), empty if none; `None`: it is clear text.
    agreed: Option<Vec<u8>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Opens a connection before `deadline`, and says who we are if the server wants to hear that.
pub(super) async fn connect(address: SocketAddr, send_proxy: Option<SendProxy>, deadline: Instant) -> Step<TcpStream> {
    match timeout_at(deadline, connect::connect(address, send_proxy, None, RawFd::MAX)).await {
        Ok(connected) => connected.map_err(|error| Finding::failed(&error, Code::L4Connection)),
        Err(_elapsed) => Err(Finding::new(Code::L4Timeout, "")),
    }
}

impl Wire {
    /// Over an open connection to `address`, until `deadline`.
    pub(super) fn new(io: impl Io + 'static, address: SocketAddr, deadline: Instant) -> Self {
        Self { io: Some(Box::new(io)), received: BytesMut::new(), deadline, address, agreed: None }
    }

    /// Where it leads.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When all must be over.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The protocol that was agreed on in TLS (RFC 7301), if any.
    pub(super) fn agreed(&self) -> Option<&[u8]> {
        self.agreed.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether it is in TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.agreed.is_some()
    }

    /// The connection itself, for a protocol that reads and writes by itself. It minds the deadline by itself, too.
    pub(super) fn io(&mut self) -> Option<&mut dyn Io> {
        self.io.as_deref_mut().map(|io| io as &mut dyn Io)
    }

    /// Goes on in TLS, and says what the server showed. Without a name the certificate must have the server's address,
    /// unless any is believed.
    pub(super) async fn start_tls(&mut self, connector: &Connector, name: Option<&str>) -> Step<ServerCertificate> {
        if !self.received.is_empty() {
            // They came in clear text, from anyone.
            return Err(Finding::new(
                Code::L6Response,
                format!("more than was asked for before TLS: {}", quote(&self.received)),
            ));
        }
        let Some(io) = self.io.take() else { return Err(closed("TLS")) };
        let ip: IpAddr = self.address.ip();
        match timeout_at(self.deadline, connector.connect(io, name, ip)).await {
            Ok(Ok(stream)) => {
                self.agreed = Some(stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec());
                let shown = ServerCertificate::shown(&stream);
                self.io = Some(Box::new(stream));
                Ok(shown)
            }
            Ok(Err(ConnectError::Io(error))) => Err(Finding::failed(&error, Code::L6Response)),
            Ok(Err(error)) => Err(Finding::new(Code::L6Response, bounded(error.to_string()))),
            Err(_elapsed) => Err(Finding::new(Code::L6Timeout, "")),
        }
    }

    /// Sends all of that.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Step<()> {
        let Some(io) = &mut self.io else { return Err(closed("what was sent")) };
        let sending = async {
            io.write_all(bytes).await?;
            io.flush().await // TLS may have kept something back.
        };
        match timeout_at(self.deadline, sending).await {
            Ok(sent) => sent.map_err(|error| Finding::failed(&error, Code::L7Response)),
            Err(_elapsed) => Err(Finding::new(Code::L7Timeout, "sending")),
        }
    }

    /// What came and was not taken yet.
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// The same, to be taken from its front.
    pub(super) fn received_mut(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    /// Takes the first bytes of what came; all, if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> BytesMut {
        self.received.split_to(count.min(self.received.len()))
    }

    /// Waits for more; `false`: there will be no more. `what` is waited for, in words. More than [`LIMIT`] is strange.
    pub(super) async fn more(&mut self, what: &str) -> Step<bool> {
        let Some(room) = LIMIT.checked_sub(self.received.len()).filter(|room| *room > 0) else {
            return Err(Finding::strange(format!("{what}: longer than {LIMIT} bytes")));
        };
        let Some(io) = &mut self.io else { return Err(closed(what)) };
        self.received.reserve(room.min(1 << 10));
        match timeout_at(self.deadline, (&mut *io).take(room as u64).read_buf(&mut self.received)).await {
            Ok(Ok(count)) => Ok(count > 0),
            // TLS whose end was not announced: an end like any other, as with HAProxy.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Ok(Err(error)) => {
                Err(Finding { detail: format!("{what}: {error}"), ..Finding::failed(&error, Code::L7Response) })
            }
            Err(_elapsed) => Err(Finding::new(Code::L7Timeout, format!("waiting for {what}"))),
        }
    }

    /// Waits for that many bytes and takes them.
    pub(super) async fn exact(&mut self, count: usize, what: &str) -> Step<BytesMut> {
        while self.received.len() < count {
            if !self.more(what).await? {
                return Err(self.ended(what));
            }
        }
        Ok(self.take(count))
    }

    /// Waits for a line and takes it, without its end, CRLF or LF alone. One longer than [`LINE`] is strange.
    pub(super) async fn line(&mut self, what: &str) -> Step<BytesMut> {
        let mut looked_at = 0;
        loop {
            let new = self.received.get(looked_at..).unwrap_or_default();
            if let Some(at) =
                new.iter().position(|byte| *byte == b'\n').map(|at| looked_at + at).filter(|at| *at <= LINE)
            {
                let mut line = self.take(at + 1);
                line.truncate(at);
                if line.ends_with(b"\r") {
                    line.truncate(at - 1);
                }
                return Ok(line);
            }
            looked_at = self.received.len();
            if looked_at > LINE {
                return Err(Finding::strange(format!("{what}: a line longer than {LINE} bytes")));
            }
            if !self.more(what).await? {
                return Err(self.ended(what));
            }
        }
    }

    /// The server closed the connection instead.
    pub(super) fn ended(&self, what: &str) -> Finding {
        if self.received.is_empty() {
            closed(what)
        } else {
            Finding::strange(format!("{what}: cut off after {}", quote(&self.received)))
        }
    }

    /// Ends the connection in order: the last words are sent, and the server may end it first. Not longer than a second.
    pub(super) async fn leave(mut self) {
        let Some(io) = &mut self.io else { return };
        let leaving = async {
            io.shutdown().await?;
            let mut rest = [0; 1 << 10];
            let mut left = LIMIT;
            // One that goes on and on is left alone.
            while left > 0 {
                let count = io.read(&mut rest).await?;
                left = if count == 0 { 0 } else { left.saturating_sub(count) };
            }
            io::Result::Ok(())
        };
        // Whatever comes of it, the finding stands.
        drop(timeout_at(Instant::now() + FAREWELL, leaving).await);
    }
}

fn closed(what: &str) -> Finding {
    Finding::strange(format!("{what}: closed without a word"))
}
