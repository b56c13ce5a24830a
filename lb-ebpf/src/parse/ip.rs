//! The header of a packet, in either family: what the path needs of it, and what differs between the two.

use crate::{Packet, checksum::Change};
use core::hint::black_box;
use lb_common::{Be16, Family, Stop};

/// What the path needs of a header.
#[derive(Clone, Copy, Debug)]
pub struct Ip<F: Family> {
    /// Who sent it.
    pub source: F::Addr,
    /// Whom it is for.
    pub destination: F::Addr,
    /// Hops left, this one included.
    pub ttl: u8,
    /// The transport's IANA number.
    pub protocol: u8,
    /// Type of service and congestion mark (RFC 2474, RFC 3168).
    pub service: u8,
    /// Of the header, as it stands in the packet; 0 in IPv6, which has none.
    pub checksum: Be16,
    /// Where the packet begins in the frame.
    pub offset: usize,
    /// Bytes of the whole packet, without the padding of the frame.
    pub length: usize,
    /// Where the transport header lies in the frame: after options or extensions, if there are any.
    pub l4_offset: usize,
    /// Bytes from there to the end of the packet, which may be before the end of the frame.
    pub l4_length: usize,
    /// Whether this is all of a packet.
    pub part: Part,
    /// What all fragments of the packet share beside the addresses, as it stands in memory.
    pub id: u32,
    /// Whether it must not be fragmented: always so in IPv6.
    pub keep_whole: bool,
}

impl<F: Family> Ip<F> {
    /// Bytes of the frame that belong to the packet: what counters count.
    #[inline(always)]
    pub const fn frame_length(&self) -> u64 {
        (self.offset + self.length) as u64
    }
}

impl<F: Family> Ip<F> {
    /// The same header. The verifier forgets what numbers can be when they are kept in a map; here it learns it again.
    #[inline(always)]
    pub fn bounded(&self) -> Result<Self, Stop> {
        if self.offset > FARTHEST || self.l4_offset > FARTHEST {
            return Err(Stop::BadTables);
        }
        Ok(*self)
    }

    /// The same header, of a packet that begins at `offset`: as [`bounded`](Self::bounded), for steps that do so much that the
    /// compiler keeps copies of the numbers from before that test, of which the verifiers of older kernels know nothing.
    #[inline(always)]
    #[must_use]
    pub fn placed(&self, offset: usize) -> Self {
        Self { offset, l4_offset: black_box(self.l4_offset) & (2 * FARTHEST - 1), ..*self }
    }
}

/// No header begins farther from the start of a frame: six extensions of 2 KiB, and what is quoted behind them.
const FARTHEST: usize = 1 << 14;

/// How much of a packet a frame has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The first fragment: it has the ports.
    First,
    /// A later fragment: it has no ports.
    Later,
}

/// Reads the header, and checks what it says about lengths against the frame.
#[inline(always)]
pub fn header<F: Layer3>(packet: &impl Packet, offset: usize) -> Result<Ip<F>, Stop> {
    let ip = F::header(packet, offset)?;
    if packet.holds(offset + ip.length) { Ok(ip) } else { Err(Stop::Truncated) }
}

/// The same, and goes on to the transport header.
#[inline(always)]
pub fn ip<F: Layer3>(packet: &impl Packet, offset: usize) -> Result<Ip<F>, Stop> {
    let mut ip = header(packet, offset)?;
    F::extensions(packet, &mut ip)?;
    Ok(ip)
}

/// What differs between the families where packets are read and written.
pub trait Layer3: Family {
    /// Of frames that carry it.
    const ETHER_TYPE: Be16;
    /// IANA number of its ICMP.
    const ICMP: u8;
    /// IANA number of a packet of this family inside another one.
    const INSIDE: u8;
    /// Where the source stands in the header; the destination follows.
    const SOURCE: usize;
    /// Where the time to live stands in the header.
    const TTL: usize;
    /// Type of an ICMP echo request, and of its reply.
    const ECHO: (u8, u8);
    /// Whether this is the number of a header between this one and the transport header.
    fn is_extension(protocol: u8) -> bool;
    /// Whether an ICMP message of this type quotes a packet.
    fn quotes(icmp_type: u8) -> bool;

    /// Whether this is the address of one other machine, as that of a sender who may be told what became of a packet
    /// (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)): not of nobody, of many, or of whoever reads it.
    fn is_single(address: Self::Addr) -> bool;

    /// Reads the header at `offset`. What it says about lengths is not checked against the frame.
    fn header(packet: &impl Packet, offset: usize) -> Result<Ip<Self>, Stop>;

    /// Goes on from the header to the transport header where there is something between them.
    fn extensions(packet: &impl Packet, ip: &mut Ip<Self>) -> Result<(), Stop>;

    /// The change of a sum by another address.
    fn change(old: Self::Addr, new: Self::Addr) -> Change;

    /// The sum of an address.
    fn sum(addr: Self::Addr) -> Change;

    /// Writes the checksum of a header at `offset` after a change of its addresses and its time to live.
    fn finish(packet: &mut impl Packet, ip: &Ip<Self>, offset: usize, addresses: Change, ttl: u8);
}
