//! The packet that an ICMP error quotes (RFC 792, RFC 4443 §3): its header and at least 8 bytes after it, which are the
//! ports.

use super::{
    Ip, Layer3, Part,
    l4::{self, PORTS},
};
use crate::Packet;
use lb_common::{Be16, Ends, Protocol};

/// Bytes of an ICMP header before what it quotes.
pub const ICMP_HEADER: usize = 8;

/// What is known of a quoted packet.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<F: Layer3> {
    /// Its header. Its lengths are what it once had, not what is quoted.
    pub ip: Ip<F>,
    /// Who talked to whom.
    pub ends: Ends<F>,
    /// Whether its transport checksum is quoted, and is one.
    pub has_checksum: bool,
    /// That checksum.
    pub checksum: Be16,
}

/// Reads what an ICMP error quotes. `None`: nothing that has ports. IPv6 extension headers are not followed here.
#[inline(always)]
pub fn quoted<F: Layer3>(packet: &impl Packet, error: &Ip<F>) -> Option<Quoted<F>> {
    let ip = F::header(packet, error.l4_offset + ICMP_HEADER).ok()?;
    let protocol = Protocol::from_number(ip.protocol)?;
    if ip.part == Part::Later || (ip.l4_offset - error.l4_offset) + 8 > error.l4_length {
        return None;
    }
    let [source_port, destination_port] = packet.read::<[Be16; 2]>(ip.l4_offset + PORTS)?;
    let at = l4::checksum(protocol);
    let quoted = (ip.l4_offset - error.l4_offset) + at + 2 <= error.l4_length;
    let checksum = if quoted { packet.read::<Be16>(ip.l4_offset + at) } else { None };
    let is_one = |sum: &Be16| protocol == Protocol::Tcp || sum.raw() != 0;
    let checksum = checksum.filter(is_one);
    Some(Quoted {
        ends: Ends { source: ip.source, destination: ip.destination, source_port, destination_port, protocol },
        has_checksum: checksum.is_some(),
        checksum: checksum.unwrap_or_default(),
        ip,
    })
}
