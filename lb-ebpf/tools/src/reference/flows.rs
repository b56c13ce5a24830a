//! Which server a flow of the reference goes to.

use super::{REF_COUNTS, count, headers::Packet};
use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, LruHashMap},
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::btf_map,
};
use lb_ebpf_tools::rows::reference::{Flow, FlowKey, MAX_CPUS, MOST_NEW, Row, SLOTS};

type Flows = LruHashMap<FlowKey, Flow, 1>;

#[btf_map]
static REF_FLOWS: ArrayOfMaps<Flows, { MAX_CPUS as usize }> = ArrayOfMaps::new();
#[btf_map]
static REF_CPU_FLOWS: Flows = LruHashMap::new();
#[btf_map]
static REF_SLOTS: Array<u32, 1> = Array::new();

const SECOND: u64 = 1_000_000_000;

/// The server of a known flow, or this CPU's table, where it is not. What opens a connection is always new.
#[inline(always)]
pub(super) fn known(packet: &Packet) -> Result<u32, Option<&'static Flows>> {
    // SAFETY: has no precondition.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let table = REF_FLOWS.get(cpu).ok_or(None)?;
    if !packet.opens
        && let Some(flow) = table.get_ptr(&packet.flow)
    {
        // SAFETY: the kernel may give the row to another flow, but does not take its memory away.
        return Ok(unsafe { (*flow).server });
    }
    Err(Some(table))
}

/// Chooses a server for a flow, and remembers it in the table unless new flows come too fast.
#[inline(always)]
pub(super) fn new(packet: &Packet, vip: u32, table: Option<&Flows>) -> Option<u32> {
    count(&REF_COUNTS, Row::Unknown as u32, u64::from(packet.opens), u64::from(!packet.opens));
    let flooded = flooded()?;
    let slot = vip * SLOTS + hash(&packet.flow, packet.is_ipv6) % SLOTS;
    let server = *REF_SLOTS.get(slot)?;
    if server == 0 {
        return None;
    }
    if let Some(table) = table
        && !flooded
    {
        // A full table gives up an old flow; if it cannot, this one goes by its slot again next time.
        let _full = table.insert(&packet.flow, Flow { server, reserved: 0, used: 0 }, 0);
    }
    Some(server)
}

/// Whether this CPU has seen too many new flows in this second.
#[inline(always)]
fn flooded() -> Option<bool> {
    let row = REF_COUNTS.get_ptr_mut(Row::New as u32)?;
    // SAFETY: the row is this CPU's own.
    let row = unsafe { &mut *row };
    // SAFETY: has no precondition.
    let now = unsafe { bpf_ktime_get_ns() };
    if now - row.second > SECOND {
        row.first = 1;
        row.second = now;
        return Some(false);
    }
    row.first += 1;
    Some(row.first > MOST_NEW)
}

/// Bob Jenkins' lookup3 (public domain) over the client's address and both ports: what Linux calls `jhash`.
#[inline(always)]
fn hash(flow: &FlowKey, is_ipv6: bool) -> u32 {
    const SEED: u32 = 0x5eed;
    let [a, b, c, d] = flow.source;
    let source = if is_ipv6 { last(mix([a, b, c]), d) } else { a };
    let [client, vip] = flow.ports;
    last([source, u32::from(client) | u32::from(vip) << 16, 0].map(|word| word.wrapping_add(SEED)), 0)
}

#[inline(always)]
fn mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    for [first, second, third] in [[4, 6, 8], [16, 19, 4]] {
        a = a.wrapping_sub(c) ^ c.rotate_left(first);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(second);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(third);
        b = b.wrapping_add(a);
    }
    [a, b, c]
}

#[inline(always)]
fn last([a, mut b, mut c]: [u32; 3], more: u32) -> u32 {
    let mut a = a.wrapping_add(more);
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}
