//! `reference`: the yardstick. A layer-4 balancer that looks up what Katran looks up, in the same order and with keys of the
//! same sizes, and sends the packet on inside another IP header: 4 in 4, 6 in 6.
//!
//! A known flow costs two hash lookups (VIP, 20 bytes; flow, 40 bytes, in the CPU's own LRU) and eight of arrays. A new one
//! asks the clock for the guard against floods, computes its slot, and is remembered unless there are too many like it.
//! Not a balancer to use: no check of lengths, no options, no extension headers, no fragments, no state of servers.

mod encapsulate;
mod flows;
mod headers;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, HashMap, PerCpuArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use headers::Packet;
use lb_ebpf_tools::rows::reference::{COUNT_ROWS, Count, Gateway, Row, Server, Vip, VipKey};

#[btf_map]
static REF_VIPS: HashMap<VipKey, Vip, 1> = HashMap::new();
#[btf_map]
static REF_SERVERS: Array<Server, 1> = Array::new();
#[btf_map]
static REF_GATEWAY: Array<Gateway, 1> = Array::new();
#[btf_map]
static REF_COUNTS: PerCpuArray<Count, { COUNT_ROWS as usize }> = PerCpuArray::new();
#[btf_map]
static REF_SERVER_COUNTS: PerCpuArray<Count, 1> = PerCpuArray::new();

#[xdp(frags)]
fn reference(context: XdpContext) -> u32 {
    count(&REF_COUNTS, Row::Seen as u32, 1, 0);
    match balance(&context) {
        Some(()) => {
            count(&REF_COUNTS, Row::Sent as u32, 1, 0);
            xdp_action::XDP_TX
        }
        None => xdp_action::XDP_PASS,
    }
}

/// Sends a packet to a VIP on; `None` if it is none.
#[inline(always)]
fn balance(context: &XdpContext) -> Option<()> {
    let packet = Packet::read(context)?;
    let key = VipKey {
        address: packet.flow.destination,
        port: packet.flow.ports[1],
        protocol: packet.flow.protocol as u8,
        reserved: 0,
    };
    let vip = REF_VIPS.get_ptr(key)?;
    // SAFETY: the kernel keeps the row while the program runs.
    let vip = unsafe { (*vip).number };
    count(&REF_COUNTS, Row::Packets as u32, 1, 0);

    let number = match flows::known(&packet) {
        Ok(server) => server,
        Err(table) => flows::new(&packet, vip, table)?,
    };
    let server = REF_SERVERS.get(number)?;
    let gateway = REF_GATEWAY.get(0)?;
    count(&REF_COUNTS, vip, 1, packet.bytes);
    count(&REF_SERVER_COUNTS, number, 1, packet.bytes);
    encapsulate::to(context, &packet, server, gateway)
}

/// Adds to this CPU's row.
#[inline(always)]
fn count<const ROWS: usize>(counts: &PerCpuArray<Count, ROWS>, row: u32, first: u64, second: u64) {
    if let Some(row) = counts.get_ptr_mut(row) {
        // SAFETY: the row is this CPU's own, and the program is not interrupted by itself.
        let row = unsafe { &mut *row };
        row.first += first;
        row.second += second;
    }
}
