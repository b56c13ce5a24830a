//! The PROXY protocol, both ways: who the client of a proxy before us is, and telling servers who ours is.
//!
//! Source: proxy-protocol.txt of HAProxy. The header comes and goes before the first byte of anything else, also of TLS.

use super::balance::Flow;
use crate::model::SendProxy;
use ppp::{HeaderResult, v1, v2};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time};

/// How long a header may take. A proxy before us sends it with its first packet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Of version 2: what each header begins with, and the bytes up to its length.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

/// Longest line of version 1 (section 2.1).
const LONGEST_LINE: usize = 107;

/// Longest header of version 2 that we take: addresses and what may be said of TLS fit into far less.
const LONGEST: usize = 2_048;

/// Reads the header that a connection must begin with. `None`: the proxy speaks for itself, as its checks do.
pub(super) async fn receive(stream: &mut TcpStream) -> io::Result<Option<Flow>> {
    let header = time::timeout(PATIENCE, read(stream)).await.map_err(|_elapsed| io::ErrorKind::TimedOut)??;
    parse(&header)
}

/// The bytes of the header and no more: what follows belongs to somebody else.
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header != SIGNATURE {
        return read_line(stream, header).await;
    }
    header.resize(FIXED, 0);
    stream.read_exact(header.get_mut(SIGNATURE.len()..).unwrap_or_default()).await?;
    let length = match header.as_slice() {
        [.., high, low] => FIXED + usize::from(u16::from_be_bytes([*high, *low])),
        _ => FIXED,
    };
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    header.resize(length, 0);
    stream.read_exact(header.get_mut(FIXED..).unwrap_or_default()).await?;
    Ok(header)
}

async fn read_line(stream: &mut TcpStream, mut line: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut ahead = [0; LONGEST_LINE];
    while line.starts_with(b"PROXY ") && line.len() < LONGEST_LINE {
        let room = ahead.get_mut(..LONGEST_LINE - line.len()).unwrap_or_default();
        let seen = stream.peek(room).await?;
        let seen = room.get(..seen).unwrap_or_default();
        let end = seen.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(seen.len(), |end| end + 1);
        if count == 0 {
            break;
        }
        let start = line.len();
        line.resize(start + count, 0);
        stream.read_exact(line.get_mut(start..).unwrap_or_default()).await?;
        if end.is_some() {
            return Ok(line);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Who talks to whom by a whole header. `None`: it does not say.
fn parse(header: &[u8]) -> io::Result<Option<Flow>> {
    let none = || io::Error::new(io::ErrorKind::InvalidData, "not a header of the PROXY protocol");
    let flow = |client: (IpAddr, u16), local: (IpAddr, u16)| Flow { client: client.into(), local: local.into() };
    Ok(match HeaderResult::parse(header) {
        HeaderResult::V1(line) => match line.map_err(|_flaw| none())?.addresses {
            v1::Addresses::Unknown => None,
            v1::Addresses::Tcp4(ip) => Some(flow(
                (ip.source_address.into(), ip.source_port),
                (ip.destination_address.into(), ip.destination_port),
            )),
            v1::Addresses::Tcp6(ip) => Some(flow(
                (ip.source_address.into(), ip.source_port),
                (ip.destination_address.into(), ip.destination_port),
            )),
        },
        HeaderResult::V2(header) => {
            let header = header.map_err(|_flaw| none())?;
            match header.addresses {
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
                v2::Addresses::IPv4(ip) => Some(flow(
                    (ip.source_address.into(), ip.source_port),
                    (ip.destination_address.into(), ip.destination_port),
                )),
                v2::Addresses::IPv6(ip) => Some(flow(
                    (ip.source_address.into(), ip.source_port),
                    (ip.destination_address.into(), ip.destination_port),
                )),
            }
        }
    })
}

/// The header for a connection that we open: who the client is, or that we speak for ourselves.
pub(crate) fn header(version: SendProxy, client: Option<(SocketAddr, SocketAddr)>) -> io::Result<Vec<u8>> {
    match version {
        SendProxy::V1 => Ok(line(client).into_bytes()),
        SendProxy::V2 => {
            let Some((client, local)) = client else {
                let local = v2::Version::Two | v2::Command::Local;
                return v2::Builder::new(local, v2::AddressFamily::Unspecified | v2::Protocol::Unspecified).build();
            };
            let proxy = v2::Version::Two | v2::Command::Proxy;
            v2::Builder::with_addresses(proxy, v2::Protocol::Stream, same_family(client, local)).build()
        }
    }
}

fn line(client: Option<(SocketAddr, SocketAddr)>) -> String {
    let Some((client, local)) = client.map(|(client, local)| same_family(client, local)) else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {} {} {} {}\r\n", client.ip(), local.ip(), client.port(), local.port())
}

/// Both in IPv4 if both can be, else both in IPv6: a header has one family.
fn same_family(client: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (ours, theirs) = (local.ip().to_canonical(), client.ip().to_canonical());
    let v6 = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let (theirs, ours) = match (theirs, ours) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (theirs, ours),
        _ => (v6(theirs).into(), v6(ours).into()),
    };
    (SocketAddr::new(theirs, client.port()), SocketAddr::new(ours, local.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, local: &str) -> (SocketAddr, SocketAddr) {
        (client.parse().expect("address"), local.parse().expect("address"))
    }

    #[test]
    fn what_is_written_is_read_in_both_versions_and_families() {
        let both = [SendProxy::V1, SendProxy::V2];
        let pairs = [
            (ends("198.51.100.7:4000", "192.0.2.1:80"), ends("198.51.100.7:4000", "192.0.2.1:80")),
            (ends("[2001:db8::7]:4000", "[2001:db8::1]:443"), ends("[2001:db8::7]:4000", "[2001:db8::1]:443")),
            (ends("[::ffff:198.51.100.7]:4000", "192.0.2.1:80"), ends("198.51.100.7:4000", "192.0.2.1:80")),
            (ends("198.51.100.7:4000", "[2001:db8::1]:80"), ends("[::ffff:198.51.100.7]:4000", "[2001:db8::1]:80")),
        ];
        for (version, (sent, (client, local))) in both.into_iter().flat_map(|it| pairs.map(|pair| (it, pair))) {
            let header = header(version, Some(sent)).expect("header");
            assert_eq!(parse(&header).expect("a header"), Some(Flow { client, local }), "{version:?}");
        }
        for version in both {
            assert_eq!(parse(&header(version, None).expect("header")).expect("a header"), None);
        }
        let sent = header(SendProxy::V1, Some(ends("198.51.100.7:4000", "192.0.2.1:80"))).expect("header");
        assert_eq!(sent, b"PROXY TCP4 198.51.100.7 192.0.2.1 4000 80\r\n");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bad in ["PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 70000\r\n", "GET / HTTP/1.1\r\n"]
        {
            parse(bad.as_bytes()).expect_err(bad);
        }
    }
}
