//! The listening sockets. Made by the privileged process, served by [`Threads`](super::Threads).

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

/// Connections that wait to be accepted, a socket. The kernel's own bound (`net.core.somaxconn`) is 4096 since 5.4.
const BACKLOG: i32 = 4096;

/// A listening socket for each thread, among which the kernel spreads new connections (SO_REUSEPORT).
///
/// A specific address need not exist yet (IP_FREEBIND): it may be a floating one that another balancer holds now. With
/// port 0 the kernel chooses one port for all the sockets.
pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    let mut listeners = Vec::with_capacity(threads);
    for _ in 0..threads {
        let listener = bind_one(address)?;
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    match address.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => socket.set_freebind_v4(true)?,
        IpAddr::V6(ip) if !ip.is_unspecified() => socket.set_freebind_v6(true)?,
        IpAddr::V4(_) => {}
        // `[::]` means IPv6 alone: `*` binds both families, each with a socket of its own.
        IpAddr::V6(_) => socket.set_only_v6(true)?,
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    #[test]
    fn all_sockets_of_a_bind_share_its_port() {
        let listeners = bind((Ipv4Addr::LOCALHOST, 0).into(), 3).expect("bind");
        let ports: Vec<_> = listeners.iter().map(|it| it.local_addr().expect("address").port()).collect();
        assert_eq!(ports, [ports[0]; 3]);
    }

    #[test]
    fn an_address_that_is_not_here_yet_can_be_bound() {
        assert_eq!(bind("192.0.2.77:0".parse().expect("address"), 1).expect("bind").len(), 1);
    }

    #[test]
    fn the_unspecified_ipv6_address_leaves_ipv4_alone() {
        let v6 = bind((Ipv6Addr::UNSPECIFIED, 0).into(), 1).expect("bind");
        let port = v6[0].local_addr().expect("address").port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect_err("IPv4 is not served");
        bind((Ipv4Addr::UNSPECIFIED, port).into(), 1).expect("IPv4 is still free");
    }
}
