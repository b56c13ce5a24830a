//! More than fits into one packet: megabytes over TCP, and datagrams as large as the path takes.

use super::{PATIENCE, Seen, udp::source_towards};
use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    panic::resume_unwind,
    thread,
};

/// Sends so many bytes to an echo server on one connection, and wants all of them back. Returns who did that.
pub fn transfer(client: &Namespace, address: SocketAddr, bytes: usize) -> Result<Seen> {
    let stream = client.run(|| TcpStream::connect_timeout(&address, PATIENCE))?.context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut greeting = String::new();
    reader.read_line(&mut greeting).context("reading the greeting")?;
    thread::scope(|scope| {
        let sender = scope.spawn(|| (&stream).write_all(&pattern(bytes)).context("sending"));
        let mut back = vec![0; bytes];
        let received = reader.read_exact(&mut back).context("receiving");
        sender.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        received?;
        ensure!(back == pattern(bytes), "other bytes came back");
        Seen::read(stream.local_addr()?, greeting.trim_end())
    })
}

/// Bytes that repeat after a prime number of them, so that a lost or doubled packet shows.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

/// The largest packet that a machine believes to take the way from one of its addresses to another machine. Ends up below
/// what the link takes when the network says so.
pub fn path_mtu(machine: &Namespace, from: IpAddr, to: IpAddr) -> Result<u32> {
    const ANY_PORT: u16 = 9;
    let socket = machine.run(|| UdpSocket::bind((from, 0)))?.with_context(|| from.to_string())?;
    socket.connect((to, ANY_PORT))?;
    Ok(if to.is_ipv4() { ip_mtu(&socket)? } else { ipv6_mtu(&socket)? })
}

/// A UDP socket whose datagrams are never fragmented by the machine that sends them.
#[derive(Debug)]
pub struct Unfragmented(UdpSocket);

impl Unfragmented {
    /// Opens one in a namespace, to send to one address only.
    pub fn open(client: &Namespace, address: SocketAddr) -> Result<Self> {
        let socket = client.run(|| UdpSocket::bind((source_towards(address)?, 0)).context("binding"))??;
        if address.is_ipv4() {
            set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?;
        } else {
            set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DO)?;
        }
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Sends a datagram that makes a packet of so many bytes, headers of IP and UDP included. The error is the kernel's:
    /// `EMSGSIZE` when it knows that the path does not take it.
    pub fn send(&self, packet: usize) -> std::io::Result<()> {
        // The socket keeps what the network said of an earlier datagram to say it of this one.
        self.0.take_error()?;
        let headers = if self.0.local_addr()?.is_ipv4() { 20 + 8 } else { 40 + 8 };
        self.0.send(&pattern(packet.saturating_sub(headers))).map(drop)
    }

    /// Waits for the echo of a datagram.
    pub fn receive(&self) -> Result<()> {
        self.0.recv(&mut vec![0; usize::from(u16::MAX)]).map(drop).context("no echo")
    }
}
