//! Ethernet II (IEEE 802.3 §3.2.6): destination, source, EtherType. No VLAN tags yet: tagged frames are not IPv4 here.

use crate::Packet;
use lb_common::{Be16, Stop};

/// Bytes of the header.
pub const LENGTH: usize = 14;
/// Both addresses, the destination first.
pub const ADDRESSES: usize = 0;

const ETHER_TYPE: usize = 12;
const IPV4: Be16 = Be16::new(0x0800);

/// Stops at a frame that does not carry IPv4.
#[inline(always)]
pub fn expect_ipv4(packet: &impl Packet) -> Result<(), Stop> {
    match packet.read::<Be16>(ETHER_TYPE) {
        Some(IPV4) => Ok(()),
        Some(_) => Err(Stop::NotIpv4),
        None => Err(Stop::Truncated),
    }
}
