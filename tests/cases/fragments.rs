//! Fragments: dropped, or after the first one, or all of them by their addresses.

use super::{Case, Expect, world::*};
use lb_common::{
    Be16, Family, Forward, Protocol, ServerState, Slot, Stop,
    flow::FragmentRow,
    slots::slot_of,
    vip::flags::{FRAGMENTS_HASH, FRAGMENTS_ONLY, FRAGMENTS_TRACK},
};
use lb_ebpf::testing::{MemoryFamily, MemoryTables};
use lb_tests::{
    oracle::GUE_PORT,
    packet::{Frame, Tunnel},
};
use std::net::SocketAddr;

/// Bytes behind the headers that the first fragment has.
const FIRST: u16 = 64;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [dropped(net), tracked(net), hashed(net), replies(net)].into_iter().flatten().collect()
}

fn long(frame: Frame) -> Frame {
    frame.payload(&[0x6e; 150])
}

fn dropped(net: &'static Net) -> Vec<Case> {
    let [first, later] = long(net.udp(net.nat)).fragments(FIRST);
    vec![
        // glb-director takes ports from the payload of later fragments.
        net.stops("glb: the first fragment to a VIP", first, Stop::Fragment),
        net.stops("glb: the last fragment to a VIP", later, Stop::FragmentUnknown),
        net.stops(
            "glb: a fragment in the middle",
            net.tcp(net.direct).fragment(100, true).bytes(),
            Stop::FragmentUnknown,
        ),
    ]
}

/// What becomes of a frame.
type Leaves = Box<dyn Fn(&Frame) -> Frame>;

/// Later ones follow the first.
fn tracked(net: &'static Net) -> Vec<Case> {
    let track = |vip| flag(vip, FRAGMENTS_TRACK);
    let mut cases = Vec::new();
    let nat = |number: usize| move |frame: &Frame| leaves_for(frame.clone(), number).to(net.servers[number]);
    let ways: [(&str, SocketAddr, Leaves); 5] = [
        ("nat", net.nat, Box::new(nat(1))),
        ("direct", net.direct, Box::new(|frame| leaves_for(frame.clone(), 1))),
        ("ipip", net.ipip, Box::new(|frame| super::tunnels::wrapped(frame, net))),
        ("crossed ipip", net.crossed_ipip, Box::new(|frame| super::tunnels::wrapped(frame, net.crossed()))),
        ("nat without checksum", net.nat, Box::new(nat(1))),
    ];
    for (name, vip, leaves) in ways {
        let whole = long(net.udp(vip));
        let whole = if name.ends_with("checksum") { whole.without_checksum() } else { whole };
        let ([first, later], [first_out, later_out]) = (whole.fragments(FIRST), leaves(&whole).fragments(FIRST));
        cases.extend([
            net.row(&format!("fragments: the first one, {name}"), first.clone(), Expect::Transmit(first_out))
                .with(track(vip)),
            net.row(&format!("fragments: the second one, {name}"), later.clone(), Expect::Transmit(later_out))
                .with(track(vip))
                .after(first),
            net.stops(&format!("fragments: the second one first, {name}"), later, Stop::FragmentUnknown)
                .with(track(vip)),
        ]);
    }
    let whole = long(net.tcp(net.nat));
    let [first, later] = whole.fragments(FIRST);
    let [first_out, later_out] = nat(1)(&whole).fragments(FIRST);
    let stranger = long(net.tcp(net.nat)).id(7).fragments(FIRST);
    cases.extend([
        net.row("fragments: the first one of a segment", first.clone(), Expect::Transmit(first_out))
            .with(track(net.nat)),
        net.row("fragments: the second one of a segment", later.clone(), Expect::Transmit(later_out.clone()))
            .with(track(net.nat))
            .after(first.clone()),
        net.stops("fragments: of another packet", stranger[1].clone(), Stop::FragmentUnknown)
            .with(track(net.nat))
            .after(first.clone()),
        net.stops("fragments: one too short for its header", whole.fragments(16)[0].clone(), Stop::Truncated)
            .with(track(net.nat)),
        net.row("fragments: where the flow goes, and not elsewhere", later.clone(), Expect::Transmit(later_out))
            .with(track(net.nat))
            .with(|tables| {
                let slot = slot_of(hash(net.client, net.nat, Protocol::Tcp));
                tables.rings.insert(net.nat_ring(), ring_of(|at| net.id(if at == slot { 1 } else { 2 })));
            })
            .after(first.clone()),
        net.stops("fragments: the server went down in between", later.clone(), Stop::NoServer)
            .with(track(net.nat))
            .after(first)
            .then(|tables| set_state(tables, net, 1, ServerState::Down)),
        net.stops("fragments: of a packet of long ago", later, Stop::FragmentUnknown)
            .with(|tables| put_fragment(tables, net)),
        gue(net),
    ]);
    cases
}

/// Of a packet in parts nobody knows the sum.
fn gue(net: &'static Net) -> Case {
    let whole = long(net.udp(net.gue));
    let [first, _] = whole.fragments(FIRST);
    let [low, high, ..] = hash(net.client, net.gue, Protocol::Udp).to_le_bytes();
    let udp = Some((0xc000 | u16::from_le_bytes([low, high]), GUE_PORT, false));
    let tunnel = Tunnel { source: net.tunnels, destination: net.servers[1].ip(), udp };
    let [output, _] = leaves_for(whole, 1).within(tunnel).fragments(FIRST);
    net.row("fragments: the first one, gue", first, Expect::Transmit(output)).with(flag(net.gue, FRAGMENTS_TRACK))
}

/// All of them by their addresses, and whole packets too.
fn hashed(net: &'static Net) -> Vec<Case> {
    let slot = slot_of(hash(at_port(net.client, 0), at_port(net.nat, 0), Protocol::Udp));
    let by_hash = |tables: &mut MemoryTables| {
        flag(net.nat, FRAGMENTS_HASH)(tables);
        copy_vip(tables, (net.nat, at_port(net.nat, 0)), |row| row.flags |= FRAGMENTS_ONLY);
        tables.rings.insert(net.nat_ring(), ring_of(|at| net.id(if at == slot { 2 } else { 1 })));
    };
    let changing = |tables: &mut MemoryTables| {
        by_hash(tables);
        set_slots(tables, net.nat_ring(), Slot::new(net.id(1), net.id(2), true));
    };
    let whole = long(net.udp(net.nat));
    let output = |frame: &Frame| leaves_for(frame.clone(), 2).to(net.servers[2]);
    let [first, later] = whole.fragments(FIRST);
    let [first_out, later_out] = output(&whole).fragments(FIRST);
    let other = arrives(Frame::udp(at_port(net.client, 50_505), net.nat));
    let segment = long(net.tcp(net.nat));
    let [_, later_segment] = segment.fragments(FIRST);
    let [_, later_segment_out] = output(&segment).fragments(FIRST);
    let syn = net.tcp(net.nat).syn();
    vec![
        net.row("by address: the first one", first, Expect::Transmit(first_out)).with(by_hash),
        net.row("by address: a later one before it", later, Expect::Transmit(later_out)).with(by_hash),
        net.sends("by address: a whole packet", &whole, &output(&whole)).with(by_hash),
        net.sends("by address: another port of the client", &other, &output(&other)).with(by_hash),
        // Ports do not count, so a SYN begins nothing: its fragments, which have none, must find the same server.
        net.sends("by address: a SYN while the slot changes hands", &syn, &output(&syn)).with(changing),
        net.row("by address: a fragment after it", later_segment.clone(), Expect::Transmit(later_segment_out.clone()))
            .with(changing)
            .after(syn.bytes()),
        net.row("by address: a fragment after a segment", later_segment, Expect::Transmit(later_segment_out))
            .with(changing)
            .after(segment.bytes()),
    ]
}

fn replies(net: &'static Net) -> Vec<Case> {
    let reply = long(answers(Frame::udp(net.servers[1], net.client), 1));
    let [first, later] = reply.fragments(FIRST);
    let [first_out, later_out] = leaves_for_client(reply).from(net.nat).fragments(FIRST);
    let to_host = long(answers(Frame::udp(net.servers[1], net.host), 1)).fragments(FIRST);
    let unrouted = long(answers(Frame::udp(net.servers[1], net.unrouted_client), 1)).fragments(FIRST);
    vec![
        net.row("fragments: the first one of a reply", first.clone(), Expect::Transmit(first_out)),
        net.row("fragments: the second one of a reply", later.clone(), Expect::Transmit(later_out)).after(first),
        net.stops("fragments: the second one of a reply first passes", later, Stop::NotOurs),
        net.stops("fragments: the first one to this host passes", to_host[0].clone(), Stop::ToHost),
        net.stops("fragments: the second one to this host passes", to_host[1].clone(), Stop::ToHost),
        net.stops("fragments: no route to the client", unrouted[1].clone(), Stop::NoRoute).after(unrouted[0].clone()),
        net.stops(
            "fragments: of somebody else's packet pass",
            arrives(Frame::udp(net.client, net.unknown_neighbour)).fragment(3, false).bytes(),
            Stop::NotOurs,
        ),
    ]
}

/// Remembers a packet of long ago with the identification of the rows.
fn put_fragment(tables: &mut MemoryTables, net: &Net) {
    fn put<F: Family>(of: &mut MemoryFamily<F>, net: &Net, id: u32) {
        let (client, vip) = (addr::<F>(net.client.ip()), addr::<F>(net.nat.ip()));
        let row = FragmentRow {
            vip: net.vip_id(0),
            server: net.id(1),
            forward: Forward::Nat as u8,
            gue_port: Be16::new(0),
            source: client,
            destination: addr::<F>(net.servers[1].ip()),
            last: LONG_AGO,
        };
        let key = F::fragment_key(client, vip, id, Protocol::Tcp.number());
        of.fragments.get_mut().insert(key, F::fragment(row));
    }
    if net.is_v6() {
        put(&mut tables.v6, net, 0xbeef_u32.to_be());
    } else {
        put(&mut tables.v4, net, 0xbeef_u16.to_be().into());
    }
}
