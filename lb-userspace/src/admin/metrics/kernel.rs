//! Metrics of the kernel half.

use super::{Name, Rows, counters, gauges, parts};
use crate::admin::{
    kernel::{CountersReport, KernelReport},
    ring::{RingReport, ShareReport},
};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

/// Encodes what there is to tell of the kernel half.
pub(super) fn encode(kernel: &KernelReport, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    const VIP: [Name<'_>; 7] = [
        ("vip_packets", "Packets to the VIP that were forwarded"),
        ("vip_bytes", "Bytes of those, from the Ethernet header on"),
        ("vip_connections", "TCP connections opened: packets with SYN and without ACK"),
        ("vip_return_packets", "Packets from servers to clients (nat only)"),
        ("vip_return_bytes", "Bytes of those"),
        ("vip_accepted", "SYNs that servers answered by a SYN with ACK (nat and fullnat only)"),
        ("vip_resets", "SYNs that servers answered by a reset (nat and fullnat only)"),
    ];
    const SERVER: [Name<'_>; 7] = [
        ("server_packets", "Packets that the kernel half forwarded to the server"),
        ("server_bytes", "Bytes of those, from the Ethernet header on"),
        ("server_flows", "TCP connections opened through the kernel half: packets with SYN and without ACK"),
        ("server_return_packets", "Packets from the server to clients (nat only)"),
        ("server_return_bytes", "Bytes of those"),
        ("server_accepted", "SYNs that the server answered by a SYN with ACK (nat and fullnat only)"),
        ("server_resets", "SYNs that the server answered by a reset (nat and fullnat only)"),
    ];
    for (column, name) in VIP.into_iter().enumerate() {
        let rows = kernel.vips.iter().map(|vip| {
            let frontend = vip.frontend.clone().unwrap_or_default();
            let labels = [("frontend", frontend), ("address", vip.address.clone()), ("protocol", vip.protocol.clone())];
            (labels, value(vip.counters, column))
        });
        counters(encoder, name, rows.collect())?;
    }
    for (column, name) in SERVER.into_iter().enumerate() {
        // A server on its way out has no names any more; two without would be one series twice.
        let rows = kernel.servers.iter().filter_map(|server| {
            let labels = [("backend", server.backend.clone()?), ("server", server.name.clone()?)];
            Some((labels, value(server.counters, column)))
        });
        counters(encoder, name, rows.collect())?;
    }
    encode_rings(kernel, encoder)?;
    let stops = kernel.stops.iter().map(|stop| ([("reason", stop.name.to_owned())], stop.packets));
    counters(encoder, ("stopped_packets", "Packets that left the kernel half early, by reason"), stops.collect())?;
    let notes = kernel.notes.iter().map(|note| ([("note", note.name.to_owned())], note.packets));
    counters(encoder, ("noted_packets", "What else happened to packets in the kernel half"), notes.collect())
}

fn encode_rings(kernel: &KernelReport, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&RingReport) -> usize| -> Rows<1> {
        let row = |ring: &RingReport| Some(([("backend", ring.backend.clone()?)], value(ring) as u64));
        kernel.rings.iter().filter_map(row).collect()
    };
    let name = ("ring_changing_slots", "Slots of the ring that change hands");
    gauges(encoder, name, rows(|ring| ring.changing))?;
    let name = ("ring_tracked_slots", "Slots of which the flow table may know flows");
    gauges(encoder, name, rows(|ring| ring.tracked))?;
    let shares = kernel.rings.iter().filter_map(|ring| Some((ring.backend.clone()?, &ring.shares)));
    let shares = shares.flat_map(|(backend, shares)| {
        let row =
            move |share: &ShareReport| ([("backend", backend.clone()), ("server", share.server.clone())], share.share);
        // A server on its way out has no name any more.
        shares.iter().filter(|share| !share.server.starts_with('#')).map(row)
    });
    let name = ("ring_share_ratio", "Part of the ring's slots that the server has; (none): that nobody has");
    parts(encoder, name, shares.collect())
}

fn value(counters: CountersReport, column: usize) -> u64 {
    let CountersReport { packets, bytes, connections, return_packets, return_bytes, accepted, resets } = counters;
    let columns = [packets, bytes, connections, return_packets, return_bytes, accepted, resets];
    columns.get(column).copied().unwrap_or_default()
}
