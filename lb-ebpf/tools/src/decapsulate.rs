//! `decapsulate`: the server's end of a tunnel. Takes the outer header off packets that are for this machine, and lets its
//! stack have the packet inside; the build machines' kernels have no tunnel devices.
//!
//! IP in IP (RFC 2003, RFC 2473, RFC 4213) and generic UDP encapsulation of variant 1, in which the inner IP header follows
//! the UDP header at once (draft-ietf-intarea-gue §4), of either family in either. What the outer header promises is
//! checked to the last byte, as nobody looks at it afterwards: lengths, and the checksums of IPv4 and UDP.
#![expect(unsafe_code, reason = "references into maps are only as valid as the kernel's rules make them")]

use crate::frame::{ETHERNET, Frame, IPV4, IPV6, TYPE};
use aya_ebpf::{
    Global, bindings::xdp_action, btf_maps::PerCpuArray, macros::btf_map, macros::xdp, programs::XdpContext,
};

/// This machine's own addresses, by which it is reached through tunnels; set by the loader.
#[unsafe(no_mangle)]
static OWN4: Global<[u8; 4]> = Global::new([0; 4]);
/// As [`OWN4`].
#[unsafe(no_mangle)]
static OWN6: Global<[u32; 4]> = Global::new([0; 4]);
/// The UDP port of generic UDP encapsulation; set by the loader.
#[unsafe(no_mangle)]
static GUE_PORT: Global<u16> = Global::new(6080);

/// Packets by what became of them: the rows below.
#[btf_map]
static DECAPSULATED: PerCpuArray<u64, 10> = PerCpuArray::new();

/// Taken out of a tunnel: plus 4 for UDP, 2 for an outer header of IPv6, 1 for an inner one of IPv6.
const OPENED: u32 = 0;
/// Dropped: a length or a checksum of the outer header is wrong.
const DAMAGED: u32 = 8;
/// Dropped: a tunnel that ends at another machine.
const FOREIGN: u32 = 9;

const IPIP: u8 = 4;
const IPV6_IN_IP: u8 = 41;
const UDP: u8 = 17;

/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;
/// Words of 32 bits that a checksum is taken over at most; the largest packet of the lab's links has 375.
const WORDS: usize = 512;

#[xdp(frags)]
fn decapsulate(context: XdpContext) -> u32 {
    let mut frame = Frame::new(&context);
    let row = match frame.read::<[u8; 2]>(TYPE) {
        Some(IPV4) => ipv4(&mut frame),
        Some(IPV6) => ipv6(&mut frame),
        _ => None,
    };
    // No tunnel: not a matter of ours.
    let Some(row) = row else { return xdp_action::XDP_PASS };
    if let Some(packets) = DECAPSULATED.get_ptr_mut(row) {
        // SAFETY: the row is this CPU's own, and the program is not interrupted by itself.
        unsafe { *packets += 1 };
    }
    if row < DAMAGED { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

/// The row to count, or `None` for what is no tunnel.
#[inline(always)]
fn ipv4(frame: &mut Frame) -> Option<u32> {
    const HEADER: usize = 20;
    let [version, protocol] = [frame.read::<u8>(ETHERNET)?, frame.read::<u8>(ETHERNET + 9)?];
    let fragment = u16::from_be_bytes(frame.read(ETHERNET + 6)?) & 0x3fff;
    if version != 0x45 || fragment != 0 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(frame.read(ETHERNET + 2)?));
    let addresses = sum(frame.read::<[u32; 2]>(ETHERNET + 12)?);
    let own = frame.read::<[u8; 4]>(ETHERNET + 16)? == OWN4.load();
    let sound = length + ETHERNET == frame.length() && fold(sum(frame.read::<[u32; 5]>(ETHERNET)?)) == u16::MAX;
    tunnel::<HEADER>(frame, protocol, own, sound, addresses)
}

/// As [`ipv4`].
#[inline(always)]
fn ipv6(frame: &mut Frame) -> Option<u32> {
    const HEADER: usize = 40;
    let protocol = frame.read::<u8>(ETHERNET + 6)?;
    let length = usize::from(u16::from_be_bytes(frame.read(ETHERNET + 4)?));
    let own = frame.read::<[u32; 4]>(ETHERNET + 24)? == OWN6.load();
    let sound = length + HEADER + ETHERNET == frame.length();
    let addresses = sum(frame.read::<[u32; 8]>(ETHERNET + 8)?);
    tunnel::<HEADER>(frame, protocol, own, sound, addresses)
}

/// Opens the tunnel whose outer IP header has so many bytes. `addresses` is the sum of the outer addresses.
#[inline(always)]
fn tunnel<const HEADER: usize>(frame: &mut Frame, protocol: u8, own: bool, sound: bool, addresses: u64) -> Option<u32> {
    let udp = protocol == UDP && u16::from_be_bytes(frame.read(ETHERNET + HEADER + 2)?) == GUE_PORT.load();
    if !(udp || protocol == IPIP || protocol == IPV6_IN_IP) {
        return None;
    }
    if !own {
        return Some(FOREIGN);
    }
    let version = frame.read::<u8>(ETHERNET + HEADER + if udp { UDP_HEADER } else { 0 })? >> 4;
    let kind = match (version, protocol) {
        (4, IPIP | UDP) => IPV4,
        (6, IPV6_IN_IP | UDP) => IPV6,
        _ => return Some(DAMAGED),
    };
    if !sound || udp && !udp_is_sound::<HEADER>(frame, addresses)? {
        return Some(DAMAGED);
    }
    // Constant amounts, for the verifier's sake.
    if udp {
        frame.shift((HEADER + UDP_HEADER) as i32, kind)?
    } else {
        frame.shift(HEADER as i32, kind)?
    }
    Some(OPENED + u32::from(udp) * 4 + u32::from(HEADER == 40) * 2 + u32::from(kind == IPV6))
}

/// Whether length and checksum of UDP are right. Over IPv4 a datagram may have none (RFC 768), over IPv6 it may not (RFC
/// 8200 §8.1).
#[inline(always)]
fn udp_is_sound<const HEADER: usize>(frame: &Frame, addresses: u64) -> Option<bool> {
    let [length, checksum] = frame.read::<[u16; 2]>(ETHERNET + HEADER + 4)?;
    if usize::from(u16::from_be(length)) + HEADER + ETHERNET != frame.length() {
        return Some(false);
    }
    if checksum == 0 {
        return Some(HEADER == 20);
    }
    let pseudo_header = addresses + u64::from(u16::from(UDP).to_be()) + u64::from(length);
    Some(fold(pseudo_header + rest::<HEADER>(frame)) == u16::MAX)
}

/// The sum of what follows the IP header, to the end of the frame.
#[inline(always)]
fn rest<const HEADER: usize>(frame: &Frame) -> u64 {
    let (mut sum, mut at) = (0, ETHERNET + HEADER);
    for _ in 0..WORDS {
        let Some(word) = frame.read::<u32>(at) else { break };
        sum += u64::from(word);
        at += 4;
    }
    if let Some(word) = frame.read::<u16>(at) {
        sum += u64::from(word);
        at += 2;
    }
    sum + frame.read::<u8>(at).map_or(0, |byte| u64::from(u16::from_ne_bytes([byte, 0])))
}

/// The sum of words of 32 bits: of two at once of those that the checksum is made of (RFC 1071 §2).
#[inline(always)]
fn sum(words: impl IntoIterator<Item = u32>) -> u64 {
    words.into_iter().map(u64::from).sum()
}

/// Adds the carries back in: 64 bits to 16.
#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}
