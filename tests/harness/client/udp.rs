//! UDP to echo servers.

use super::{PATIENCE, Seen};
use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Sends one datagram from each of `count` ports; the replies must come from the very address that was asked. Returns
/// who answered.
pub fn ask(client: &Namespace, address: SocketAddr, count: usize) -> Result<Vec<Seen>> {
    client.run(|| (0..count).map(|number| ask_once(address, &format!("datagram {number}"))).collect())?
}

/// Sends one datagram from wherever the calling thread is, and wants it back.
pub fn ask_once(address: SocketAddr, message: &str) -> Result<Seen> {
    let socket = UdpSocket::bind((source_towards(address)?, 0))?;
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

/// The address that this machine sends from to another. A socket that is connected would tell, but also hide replies from
/// the wrong address.
pub(super) fn source_towards(address: SocketAddr) -> Result<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip())
}
