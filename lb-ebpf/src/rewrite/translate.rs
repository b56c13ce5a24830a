//! Network address translation: other ends for a packet, and the checksums that cover them (RFC 1624).

use crate::{
    Packet,
    checksum::Change,
    parse::{Ip, L4, Layer3, l4},
};
use lb_common::{Be16, Ends, Protocol};

/// Gives a packet other ends and another time to live.
#[inline(always)]
pub fn ends<F: Layer3>(packet: &mut impl Packet, ip: &Ip<F>, l4: &L4<F>, to: &Ends<F>, ttl: u8) {
    let ports =
        Change::default().word(l4.ends.source_port, to.source_port).word(l4.ends.destination_port, to.destination_port);
    let addresses = addresses(packet, ip, (to.source, to.destination), ttl);
    packet.write(ip.l4_offset + l4::PORTS, [to.source_port, to.destination_port]);
    let change = addresses.and(ports);
    let at = ip.l4_offset + l4::checksum(l4.ends.protocol);
    match l4.ends.protocol {
        Protocol::Tcp => packet.write(at, change.applied_to(l4.checksum)),
        Protocol::Udp => {
            if let Some(checksum) = change.applied_to_udp(l4.checksum) {
                packet.write(at, checksum);
            }
        }
    }
}

/// Gives a packet other addresses and another time to live, without looking at its transport header: a later fragment has
/// none. Returns what changed.
#[inline(always)]
pub fn addresses<F: Layer3>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    (source, destination): (F::Addr, F::Addr),
    ttl: u8,
) -> Change {
    let change = F::change(ip.source, source).and(F::change(ip.destination, destination));
    packet.write(ip.offset + F::SOURCE, source);
    packet.write(ip.offset + F::SOURCE + size_of::<F::Addr>(), destination);
    F::finish(packet, ip, ip.offset, change, ttl);
    change
}

/// Changes the time to live alone.
#[inline(always)]
pub fn ttl<F: Layer3>(packet: &mut impl Packet, ip: &Ip<F>, ttl: u8) {
    F::finish(packet, ip, ip.offset, Change::default(), ttl);
}

/// The port that a server listens on, where 0 keeps that of the packet.
#[inline(always)]
pub fn port(wanted: Be16, kept: Be16) -> Be16 {
    if wanted.raw() == 0 { kept } else { wanted }
}
