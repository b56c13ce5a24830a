//! A WebSocket (RFC 6455), of which a test needs no more than that it says something and hears it again.

use super::PATIENCE;
use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// The example of RFC 6455, §1.3: what a client says, and what the server must make of it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What clients hide their bytes with.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One that is open.
#[derive(Debug)]
pub struct WebSocket(BufReader<TcpStream>);

impl WebSocket {
    /// Opens so many from a namespace.
    pub fn open(client: &Namespace, address: SocketAddr, count: usize) -> Result<Vec<Self>> {
        client.run(|| (0..count).map(|_| Self::connect(address)).collect())?
    }

    fn connect(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let upgrade = format!(
            "GET /socket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
            address.ip()
        );
        stream.write_all(upgrade.as_bytes())?;
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(stream.read_line(&mut head)? > 0, "closed in the midst of {head:?}");
        }
        ensure!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "no WebSocket: {head:?}");
        Ok(Self(stream))
    }

    /// Says a few letters, and wants them back.
    pub fn say(&mut self, text: &str) -> Result<()> {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).context("too much for one frame")?;
        let masked = text.bytes().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let frame: Vec<u8> = [0x81, 0x80 | length].into_iter().chain(MASK).chain(masked).collect();
        self.0.get_mut().write_all(&frame).context("sending")?;
        let mut back = vec![0; usize::from(length) + 2];
        self.0.read_exact(&mut back).context("receiving")?;
        let (head, body) = back.split_at(2);
        ensure!(head == [0x81, length] && body == text.as_bytes(), "other bytes than {text:?}: {back:?}");
        Ok(())
    }

    /// Whether the other side has ended it.
    pub fn is_over(&mut self) -> bool {
        self.0.get_mut().set_nonblocking(true).is_err()
            || !matches!(self.0.get_mut().read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}
