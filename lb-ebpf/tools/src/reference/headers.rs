//! What the reference reads of a packet.

use aya_ebpf::programs::XdpContext;
use core::ptr;
use lb_ebpf_tools::rows::reference::FlowKey;

pub(super) const ETHERNET: usize = 14;
/// IPv4 without options.
pub(super) const IPV4: usize = 20;
pub(super) const IPV6: usize = 40;

const ETHER_TYPE: usize = 12;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 0x02;
/// The flags of TCP, from the start of its header.
const FLAGS: usize = 13;

/// A packet of TCP or UDP.
pub(super) struct Packet {
    pub(super) flow: FlowKey,
    pub(super) is_ipv6: bool,
    /// TCP with SYN.
    pub(super) opens: bool,
    /// Bytes from the IP header on.
    pub(super) bytes: u64,
}

impl Packet {
    #[inline(always)]
    pub(super) fn read(context: &XdpContext) -> Option<Self> {
        match u16::from_be(at(context, ETHER_TYPE)?) {
            0x0800 => {
                let protocol = at(context, ETHERNET + 9)?;
                let (source, destination) = (at(context, ETHERNET + 12)?, at(context, ETHERNET + 16)?);
                let bytes: u16 = at(context, ETHERNET + 2)?;
                let flow = flow([source, 0, 0, 0], [destination, 0, 0, 0], protocol);
                Self::with_ports(context, flow, ETHERNET + IPV4, false, u16::from_be(bytes).into())
            }
            0x86dd => {
                let protocol = at(context, ETHERNET + 6)?;
                let (source, destination) = (at(context, ETHERNET + 8)?, at(context, ETHERNET + 24)?);
                let payload: u16 = at(context, ETHERNET + 4)?;
                let bytes = u64::from(u16::from_be(payload)) + IPV6 as u64;
                Self::with_ports(context, flow(source, destination, protocol), ETHERNET + IPV6, true, bytes)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn with_ports(context: &XdpContext, mut flow: FlowKey, l4: usize, is_ipv6: bool, bytes: u64) -> Option<Self> {
        let opens = match flow.protocol as u8 {
            TCP => at::<u8>(context, l4 + FLAGS)? & SYN != 0,
            UDP => false,
            _ => return None,
        };
        flow.ports = at(context, l4)?;
        Some(Self { flow, is_ipv6, opens, bytes })
    }
}

#[inline(always)]
fn flow(source: [u32; 4], destination: [u32; 4], protocol: u8) -> FlowKey {
    FlowKey { source, destination, ports: [0; 2], protocol: protocol.into() }
}

/// The `T` at `offset` of the frame.
#[inline(always)]
fn at<T: Copy>(context: &XdpContext, offset: usize) -> Option<T> {
    let at = context.data() + offset;
    // SAFETY: within the frame, and every T that is read here may be any bytes.
    (at + size_of::<T>() <= context.data_end()).then(|| unsafe { ptr::read_unaligned(at as *const T) })
}
