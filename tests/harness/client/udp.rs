//! UDP to echo servers.

use super::{PATIENCE, Seen};
use crate::netns::Namespace;
use anyhow::{Context, Result, bail, ensure};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Sends one datagram from each of `count` ports; the replies must come from the very address that was asked. Returns
/// who answered.
pub fn ask(client: &Namespace, address: SocketAddr, count: usize) -> Result<Vec<Seen>> {
    client.run(|| (0..count).map(|number| ask_once(address, &format!("datagram {number}"))).collect())?
}

/// Sends one datagram from wherever the calling thread is, and wants it back.
pub fn ask_once(address: SocketAddr, message: &str) -> Result<Seen> {
    ask_from((source_towards(address)?, 0).into(), address, message)
}

/// As [`ask_once`], from one of several addresses of the machine.
pub fn ask_from(own: SocketAddr, address: SocketAddr, message: &str) -> Result<Seen> {
    let socket = UdpSocket::bind(own)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(message.as_bytes(), address).context("sending")?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let (length, from) = socket.recv_from(&mut buffer).with_context(|| format!("no answer to {message:.30?}"))?;
    buffer.truncate(length);
    let reply = String::from_utf8(buffer)?;
    ensure!(from == address, "asked {address}, {from} answered");
    let said = reply.strip_suffix(message).and_then(|said| said.strip_suffix(' '));
    Seen::read(socket.local_addr()?, said.with_context(|| format!("sent {message:.30?}, got {reply:.60?}"))?)
}

/// Many UDP sockets that go on talking to the servers that they met first.
#[derive(Debug, Default)]
pub struct Talks(Vec<(UdpSocket, Seen)>);

impl Talks {
    /// Opens sockets in a namespace; each says something and is answered.
    pub fn open(client: &Namespace, address: SocketAddr, count: usize) -> Result<Self> {
        let open = |_| {
            let socket = UdpSocket::bind((source_towards(address)?, 0))?;
            socket.connect(address)?;
            let seen = talk(&socket, "hello")?;
            Ok((socket, seen))
        };
        client.run(|| (0..count).map(open).collect::<Result<_>>().map(Self))?
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of one server, and all others.
    pub fn split(self, server: &str) -> (Self, Self) {
        let (of, others) = self.0.into_iter().partition(|(_, seen)| seen.server == server);
        (Self(of), Self(others))
    }

    /// Takes more of them in.
    pub fn append(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// How the servers see their clients.
    pub fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.0.iter().map(|(_, seen)| seen)
    }

    /// Each says something; the same server must answer that sees the same client.
    pub fn exchange(&self, message: &str) -> Result<()> {
        for (socket, first) in &self.0 {
            let now = talk(socket, message).with_context(|| format!("of {}, at `{message}`", first.server))?;
            ensure!(now == *first, "at `{message}`: {first:?} before, now {now:?}");
        }
        Ok(())
    }
}

/// Says something by a connected socket, again if nothing comes, and reads who echoes it.
fn talk(socket: &UdpSocket, message: &str) -> Result<Seen> {
    const TRIES: u32 = 60;
    socket.set_read_timeout(Some(PATIENCE / TRIES))?;
    for _ in 0..TRIES {
        socket.send(message.as_bytes()).context("sending")?;
        let mut buffer = [0; 2_048];
        while let Ok(length) = socket.recv(&mut buffer) {
            let reply = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            // What is late is the echo of something else.
            if let Some(said) = reply.strip_suffix(message).and_then(|said| said.strip_suffix(' ')) {
                return Seen::read(socket.local_addr()?, said);
            }
        }
    }
    bail!("no answer to {message:?}, said {TRIES} times")
}

/// The address that this machine sends from to another. A socket that is connected would tell, but also hide replies from
/// the wrong address.
pub(super) fn source_towards(address: SocketAddr) -> Result<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip())
}
