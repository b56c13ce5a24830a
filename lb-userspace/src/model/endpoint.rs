//! Address, port and protocol in either family: what a VIP is, and where a server's reply comes from.

use lb_common::Protocol;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// An address with port and protocol, as userspace sorts and names it; the kernel's maps have a key for each family.
///
/// Sorted by address, and an address entry comes before all else at its address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// The address, in its own family.
    pub address: IpAddr,
    /// 0: all ports, or an address entry.
    pub port: u16,
    /// `None`: an address entry, which says what holds of the whole address.
    pub protocol: Option<Protocol>,
}

impl Endpoint {
    /// A VIP, or what a server answers from. Port 0: all ports.
    pub const fn new(address: IpAddr, port: u16, protocol: Protocol) -> Self {
        Self { address, port, protocol: Some(protocol) }
    }

    /// The address entry beside the VIPs of `address`.
    pub const fn address_entry(address: IpAddr) -> Self {
        Self { address, port: 0, protocol: None }
    }

    /// Whether it stands for a whole address.
    pub const fn is_address_entry(&self) -> bool {
        self.protocol.is_none()
    }

    /// Address and port.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Some(protocol) => write!(f, "{}/{protocol}", self.socket()),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_entry_comes_before_the_vips_of_its_address_also_before_one_of_all_ports() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let sorted = [
            Endpoint::address_entry(address("192.0.2.1")),
            Endpoint::new(address("192.0.2.1"), 0, Protocol::Tcp),
            Endpoint::new(address("192.0.2.1"), 80, Protocol::Tcp),
            Endpoint::new(address("192.0.2.1"), 80, Protocol::Udp),
            Endpoint::address_entry(address("192.0.2.2")),
            Endpoint::address_entry(address("2001:db8::1")),
        ];
        assert!(sorted.is_sorted());
        let shown: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(shown[..3], ["192.0.2.1", "192.0.2.1:0/tcp", "192.0.2.1:80/tcp"]);
    }
}
