//! The lab's tunnel ends open what is right and nothing else: else a test behind them would prove nothing.

use anyhow::{Result, ensure};
use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder};
use lb_tests::{
    lab::{CLIENT, CLIENT6, DIRECT_VIP, DIRECT_VIP6, Family, GATEWAY, GATEWAY6},
    tunnel::{GUE_PORT, Tunnel, TunnelEnd},
};
use std::net::{Ipv4Addr, Ipv6Addr};

const OWN: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 11);
const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11);
/// Ethernet addresses of server and balancer.
const ADDRESSES: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
const DROP: u32 = 1;
const PASS: u32 = 2;

/// Every tunnel there is: what carries, of which family, a packet of which family.
fn kinds() -> impl Iterator<Item = (Tunnel, Family, Family)> {
    let of = |tunnel| Family::BOTH.into_iter().flat_map(move |outer| Family::BOTH.map(|inner| (tunnel, outer, inner)));
    of(Tunnel::Ipip).chain(of(Tunnel::Gue))
}

/// A datagram to the VIP. Of odd length, for the sake of checksums.
fn inner(family: Family) -> Result<Vec<u8>> {
    let builder = match family {
        Family::V4 => PacketBuilder::ipv4(CLIENT.octets(), DIRECT_VIP.octets(), 63),
        Family::V6 => PacketBuilder::ipv6(CLIENT6.octets(), DIRECT_VIP6.octets(), 63),
    };
    let mut packet = Vec::new();
    builder.udp(40_000, 80).write(&mut packet, b"to be, or not")?;
    Ok(packet)
}

/// The frame of a tunnel to a machine.
fn frame(tunnel: Tunnel, outer: Family, inner: &[u8], to: (Ipv4Addr, Ipv6Addr)) -> Result<Vec<u8>> {
    let mut packet = Vec::new();
    match tunnel {
        Tunnel::Gue => {
            let builder = match outer {
                Family::V4 => PacketBuilder::ipv4(GATEWAY.octets(), to.0.octets(), 64),
                Family::V6 => PacketBuilder::ipv6(GATEWAY6.octets(), to.1.octets(), 64),
            };
            builder.udp(50_000, GUE_PORT).write(&mut packet, inner)?;
        }
        Tunnel::Ipip => {
            let (length, carried) = (inner.len().try_into()?, if inner[0] >> 4 == 4 { 4 } else { 41 });
            match outer {
                Family::V4 => Ipv4Header::new(length, 64, IpNumber(carried), GATEWAY.octets(), to.0.octets())?
                    .write(&mut packet)?,
                Family::V6 => Ipv6Header {
                    payload_length: length,
                    next_header: IpNumber(carried),
                    hop_limit: 64,
                    source: GATEWAY6.octets(),
                    destination: to.1.octets(),
                    ..Ipv6Header::default()
                }
                .write(&mut packet)?,
            }
            packet.extend(inner);
        }
    }
    Ok(ethernet(outer, &packet))
}

fn ethernet(family: Family, packet: &[u8]) -> Vec<u8> {
    let ether_type = if family == Family::V4 { EtherType::IPV4 } else { EtherType::IPV6 };
    let header = Ethernet2Header { destination: ADDRESSES.0, source: ADDRESSES.1, ether_type };
    [&header.to_bytes()[..], packet].concat()
}

#[test]
fn every_tunnel_is_opened_and_the_packet_is_as_it_went_in() -> Result<()> {
    let end = TunnelEnd::load(OWN, OWN6, GUE_PORT)?;
    for (tunnel, outer, family) in kinds() {
        let inner = inner(family)?;
        let (verdict, output) = end.run(&frame(tunnel, outer, &inner, (OWN, OWN6))?)?;
        ensure!(
            (verdict, &output) == (PASS, &ethernet(family, &inner)),
            "{tunnel:?} {outer:?} {family:?}: {output:02x?}"
        );
        ensure!(end.opened(tunnel, outer, family)? == 1);
    }
    ensure!((end.opened_all()?, end.damaged()?, end.foreign()?) == (8, 0, 0));
    Ok(())
}

/// Each bit of the outer headers that says where they end or that they are sound.
#[test]
fn a_wrong_length_or_checksum_is_dropped_and_counted() -> Result<()> {
    let end = TunnelEnd::load(OWN, OWN6, GUE_PORT)?;
    let mut damaged = 0;
    for (tunnel, outer, family) in kinds() {
        let whole = frame(tunnel, outer, &inner(family)?, (OWN, OWN6))?;
        let (length, header) = if outer == Family::V4 { (14 + 2, 20) } else { (14 + 4, 40) };
        let mut places = vec![length, length + 1];
        if outer == Family::V4 {
            places.extend([14 + 8, 14 + 10, 14 + 11, 14 + 12, 14 + 15]); // TTL, checksum, source
        }
        if tunnel == Tunnel::Gue {
            places.extend([14 + header, 14 + header + 4, 14 + header + 6, 14 + header + 7, whole.len() - 1]);
        }
        for (place, bit) in places.into_iter().flat_map(|place| (0..8).map(move |bit| (place, 1 << bit))) {
            let mut frame = whole.clone();
            frame[place] ^= bit;
            let (verdict, output) = end.run(&frame)?;
            ensure!(verdict == DROP && output == frame, "{tunnel:?} {outer:?} {family:?}, byte {place}, bit {bit:#x}");
            damaged += 1;
        }
    }
    ensure!((end.opened_all()?, end.damaged()?, end.foreign()?) == (0, damaged, 0), "{damaged}");
    Ok(())
}

/// RFC 768 allows it, RFC 8200 does not.
#[test]
fn udp_without_a_checksum_is_good_over_ipv4_alone() -> Result<()> {
    let end = TunnelEnd::load(OWN, OWN6, GUE_PORT)?;
    for (outer, header, wanted) in [(Family::V4, 20, PASS), (Family::V6, 40, DROP)] {
        let mut frame = frame(Tunnel::Gue, outer, &inner(Family::V4)?, (OWN, OWN6))?;
        frame[14 + header + 6..][..2].fill(0);
        ensure!(end.run(&frame)?.0 == wanted, "{outer:?}");
    }
    Ok(())
}

#[test]
fn a_tunnel_to_another_machine_is_dropped() -> Result<()> {
    let other = (Ipv4Addr::new(10, 1, 1, 12), Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x12));
    let end = TunnelEnd::load(OWN, OWN6, GUE_PORT)?;
    for (tunnel, outer, family) in kinds() {
        ensure!(end.run(&frame(tunnel, outer, &inner(family)?, other)?)?.0 == DROP, "{tunnel:?} {outer:?} {family:?}");
    }
    ensure!((end.opened_all()?, end.damaged()?, end.foreign()?) == (0, 0, 8));
    Ok(())
}

#[test]
fn what_is_no_tunnel_passes_as_it_is() -> Result<()> {
    let end = TunnelEnd::load(OWN, OWN6, GUE_PORT + 1)?;
    for family in Family::BOTH {
        let (plain, port) = (ethernet(family, &inner(family)?), frame(Tunnel::Gue, family, b"to a port", (OWN, OWN6))?);
        for frame in [&plain, &port] {
            let (verdict, output) = end.run(frame)?;
            ensure!(verdict == PASS && output == *frame);
        }
    }
    ensure!((end.opened_all()?, end.damaged()?, end.foreign()?) == (0, 0, 0));
    Ok(())
}
