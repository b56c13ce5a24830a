//! Addresses, ports and protocols as they stand in a packet: the byte order is in the type.

use bytemuck::{Pod, Zeroable};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A 16-bit value in network byte order, such as a port.
#[repr(transparent)]
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
pub struct Be16(u16);

impl Be16 {
    /// From a number of this machine, such as `443`.
    #[inline(always)]
    pub const fn new(host: u16) -> Self {
        Self(host.to_be())
    }

    /// As a number of this machine.
    #[inline(always)]
    pub const fn host(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The bits as they stand in memory, for checksums, which do not depend on the byte order (RFC 1071 §2).
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// From bits as they stand in memory.
    #[inline(always)]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for Be16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.host(), f)
    }
}

/// A 32-bit value in network byte order: an IPv4 address, mostly.
#[repr(transparent)]
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
pub struct Be32(u32);

impl Be32 {
    /// From a number of this machine.
    #[inline(always)]
    pub const fn new(host: u32) -> Self {
        Self(host.to_be())
    }

    /// The bits as they stand in memory, for checksums and hashing.
    #[inline(always)]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// From bits as they stand in memory.
    #[inline(always)]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// As a number of this machine.
    #[inline(always)]
    pub const fn host(self) -> u32 {
        u32::from_be(self.0)
    }

    /// As an address.
    #[inline(always)]
    pub const fn ip(self) -> Ipv4Addr {
        let [a, b, c, d] = self.0.to_ne_bytes();
        Ipv4Addr::new(a, b, c, d)
    }
}

impl From<Ipv4Addr> for Be32 {
    #[inline(always)]
    fn from(address: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(address.octets()))
    }
}

impl fmt::Debug for Be32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.ip(), f)
    }
}

/// A 128-bit value in network byte order: an IPv6 address. In rows that serve both families also an IPv4 address, mapped
/// (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2).
#[repr(transparent)]
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
pub struct Be128([u32; 4]);

impl Be128 {
    /// The bits as they stand in memory, for checksums and hashing.
    #[inline(always)]
    pub const fn raw(self) -> [u32; 4] {
        self.0
    }

    /// The last word: the IPv4 address where one is mapped.
    #[inline(always)]
    pub const fn v4(self) -> Be32 {
        let [_, _, _, last] = self.0;
        Be32::from_raw(last)
    }

    /// An IPv4 address, mapped.
    #[inline(always)]
    pub const fn mapped(v4: Be32) -> Self {
        Self([0, 0, 0xffff_u32.to_be(), v4.raw()])
    }

    /// As an address; a mapped one as what it stands for.
    pub fn ip(self) -> IpAddr {
        let [first, second, third, last] = self.0;
        let bits = |high: u32, low: u32| u128::from(u32::from_be(high)) << 32 | u128::from(u32::from_be(low));
        Ipv6Addr::from_bits(bits(first, second) << 64 | bits(third, last)).to_canonical()
    }
}

impl From<Ipv6Addr> for Be128 {
    #[inline(always)]
    fn from(address: Ipv6Addr) -> Self {
        Self(bytemuck::must_cast(address.octets()))
    }
}

impl From<IpAddr> for Be128 {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl fmt::Debug for Be128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.ip(), f)
    }
}

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A transport protocol that we balance. Of 32 bits, so that [`Ends`](crate::Ends) has no padding: the verifier takes no
/// bytes that nobody wrote.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u32)]
pub enum Protocol {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
}

impl Protocol {
    /// The protocol of an IP header's number (IANA "Protocol Numbers"), if we balance it.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }

    /// The number in an IP header.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were() {
        for text in ["192.0.2.1", "2001:db8::1", "::", "0.0.0.0", "ff02::1:ff00:42"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Be128::from(address).ip(), address, "{text}");
        }
        assert_eq!(Be128::from(IpAddr::from([192, 0, 2, 1])).v4(), Be32::from(Ipv4Addr::new(192, 0, 2, 1)));
    }
}
