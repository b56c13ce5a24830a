//! What holds for all packets, not only for those of the rows.

use crate::{
    cases::{ping, world::*},
    run,
};
use etherparse::{Ipv4Header, NetSlice, SlicedPacket, TransportSlice};
use lb_common::{SLOTS, ServerId, ServerState, Stop, hash::mix, vip::flags::PING};
use lb_ebpf::{Verdict, testing::MemoryTables};
use lb_tests::{
    oracle,
    packet::{ETHERNET, Frame},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Panics if a checksum of the frame is not what its bytes sum up to, by [`oracle`] or by etherparse.
fn assert_checksums(frame: &[u8]) {
    assert!(oracle::wrong(frame).is_empty(), "{:?}", oracle::wrong(frame));
    let packet = SlicedPacket::from_ethernet(frame).expect("frame");
    match (packet.net, packet.transport) {
        (Some(NetSlice::Ipv4(ip)), transport) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum(), "IPv4");
            match transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    let full = tcp.calc_checksum_ipv4(header.source, header.destination).expect("sum");
                    assert_eq!(tcp.checksum(), full, "TCP");
                }
                Some(TransportSlice::Udp(udp)) if udp.checksum() != 0 => {
                    let full = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).expect("sum");
                    assert_eq!(udp.checksum(), full, "UDP");
                }
                _ => {}
            }
        }
        (Some(NetSlice::Ipv6(ip)), transport) => {
            let header = ip.header().to_header();
            match transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    let full = tcp.calc_checksum_ipv6(header.source, header.destination).expect("sum");
                    assert_eq!(tcp.checksum(), full, "TCP");
                }
                Some(TransportSlice::Udp(udp)) if udp.checksum() != 0 => {
                    let full = udp.to_header().calc_checksum_ipv6(&header, udp.payload()).expect("sum");
                    assert_eq!(udp.checksum(), full, "UDP");
                }
                _ => {}
            }
        }
        _ => panic!("no packet"),
    }
}

prop_compose! {
    /// Anything a client may send to the `nat` VIP of its family.
    fn from_client()(
        is_v6 in any::<bool>(), address in any::<u128>(), port in any::<u16>(), tcp in any::<bool>(),
        syn in any::<bool>(), sum in any::<bool>(), ttl in 3..=255_u8, words in 0..=10_usize,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) -> (&'static Net, Frame) {
        #[expect(clippy::cast_possible_truncation, reason = "some of the bits")]
        let v4 = Ipv4Addr::from_bits(address as u32);
        let (net, ip) = if is_v6 { (&NET6, Ipv6Addr::from_bits(address).into()) } else { (&NET4, v4.into()) };
        let client = SocketAddr::new(ip, port);
        let frame = match (tcp, syn, sum) {
            (true, true, _) => Frame::tcp(client, net.nat).syn(),
            (true, false, _) => Frame::tcp(client, net.nat),
            (false, _, true) => Frame::udp(client, net.nat),
            (false, _, false) => Frame::udp(client, net.nat).without_checksum(),
        };
        (net, arrives(frame.ttl(ttl).options(&vec![1; words * 4]).payload(&payload)))
    }
}

/// Tables that route every client.
fn routed() -> MemoryTables {
    let mut tables = tables();
    for net in [&NET4, &NET6] {
        route(&mut tables, net.client, 0, ROUTER);
    }
    tables
}

/// Where the transport header of a frame lies.
fn transport(net: &Net, frame: &[u8]) -> usize {
    ETHERNET + if net.is_v6() { 40 } else { usize::from(frame[ETHERNET] & 0x0f) * 4 }
}

/// The frame that the receiver of `frame` would answer with: both ends exchanged, all else the same.
fn turned_round(net: &Net, frame: &[u8]) -> Vec<u8> {
    let mut turned = frame.to_vec();
    let l4 = transport(net, frame);
    let (source, length) = if net.is_v6() { (ETHERNET + 8, 16) } else { (ETHERNET + 12, 4) };
    let destination = source + length;
    turned.copy_within(destination..destination + length, source);
    turned[destination..destination + length].copy_from_slice(&frame[source..destination]);
    turned[l4..l4 + 2].copy_from_slice(&frame[l4 + 2..l4 + 4]);
    turned[l4 + 2..l4 + 4].copy_from_slice(&frame[l4..l4 + 2]);
    turned
}

proptest! {
    #[test]
    fn checksums_after_nat_are_those_of_the_whole_packet((_, frame) in from_client()) {
        let input = frame.bytes();
        assert_checksums(&input);
        let (outcome, output) = run(&routed(), OUTSIDE, &input);
        prop_assert_eq!(outcome, Ok(Verdict::Transmit));
        assert_checksums(&output);
    }

    #[test]
    fn a_reply_looks_to_the_client_as_if_the_vip_had_sent_it((net, frame) in from_client()) {
        let (tables, input) = (routed(), frame.bytes());
        let (there, to_server) = run(&tables, OUTSIDE, &input);
        prop_assert_eq!(there, Ok(Verdict::Transmit));
        let (back, to_client) = run(&tables, OUTSIDE, &turned_round(net, &to_server));
        prop_assert_eq!(back, Ok(Verdict::Transmit));
        assert_checksums(&to_client);
        // The same bytes as if the VIP had turned the packet round, but for two hops and the Ethernet addresses.
        let ttl = input[ETHERNET + if net.is_v6() { 7 } else { 8 }] - 2;
        let expected = turned_round(net, &frame.ttl(ttl).hop(BALANCER_MAC, ROUTER_MAC).bytes());
        prop_assert_eq!(to_client, expected);
    }

    #[test]
    fn a_wrong_checksum_stays_wrong_by_as_much((net, frame) in from_client(), error in 1..0xffff_u16) {
        let mut input = frame.bytes();
        let l4 = transport(net, &input);
        let at = l4 + if input[ETHERNET + if net.is_v6() { 6 } else { 9 }] == 6 { 16 } else { 6 };
        let word = |bytes: &[u8]| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let right = word(&input);
        let sum = u32::from(right) + u32::from(error);
        let wrong = u16::try_from(sum % 0xffff).expect("16 bits");
        prop_assume!(right != 0 && wrong != 0);
        let (_, sound) = run(&routed(), OUTSIDE, &input);
        input[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
        let (outcome, output) = run(&routed(), OUTSIDE, &input);
        prop_assert_eq!(outcome, Ok(Verdict::Transmit));
        prop_assert_eq!((u32::from(word(&sound)) + u32::from(error)) % 0xffff, u32::from(word(&output)) % 0xffff);
    }
}

/// Katran adds to a checksum without the end-around carry: wrong for 8 packets of 65536.
#[test]
fn katran_every_header_checksum_survives_the_time_to_live() {
    let tables = tables();
    let mut input = NET4.udp(NET4.direct).bytes();
    for id in 0..=u16::MAX {
        input[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&id.to_be_bytes());
        let (header, _) = Ipv4Header::from_slice(&input[ETHERNET..]).expect("header");
        let sum = header.calc_header_checksum();
        input[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        let (_, output) = run(&tables, OUTSIDE, &input);
        assert!(oracle::wrong(&output).is_empty(), "{id}");
    }
}

/// Katran's answers to pings have wrong checksums: 8 of 65,536 in IPv4, where the carry is lost, and one in IPv6.
#[test]
fn katran_every_ping_is_answered_with_its_checksum() {
    for net in [&NET4, &NET6] {
        let mut tables = tables();
        ping::answered(net, PING)(&mut tables);
        let mut input = ping::ping(net, net.nat.ip()).bytes();
        let l4 = transport(net, &input);
        let mut seen = vec![false; 1 << 16];
        for data in 0..=u16::MAX {
            input[l4 + 8..l4 + 10].copy_from_slice(&data.to_be_bytes());
            input[l4 + 2..l4 + 4].fill(0);
            let pseudo = oracle::pseudo_header((net.client.ip(), net.nat.ip()), 58, input.len() - l4);
            let covered = if net.is_v6() { [&pseudo, &input[l4..]].concat() } else { input[l4..].to_vec() };
            let sum = oracle::checksum(&covered);
            seen[usize::from(sum)] = true;
            input[l4 + 2..l4 + 4].copy_from_slice(&sum.to_be_bytes());
            let (outcome, output) = run(&tables, OUTSIDE, &input);
            assert_eq!(outcome, Err(Stop::Answered));
            assert!(oracle::wrong(&output).is_empty(), "{sum:#x}: {:?}", oracle::wrong(&output));
        }
        let missing = seen.iter().filter(|seen| !**seen).count();
        assert!(missing <= 1, "{missing} checksums were not tried; 0xffff and 0 are the same sum");
    }
}

/// Picks one of `choices` for a slot, without a pattern along the ring.
fn scattered(slot: usize, choices: usize) -> usize {
    usize::try_from(mix(slot as u64 + 1)).expect("64 bits") % choices
}

/// Which server each of many flows goes to, if any.
fn owners(net: &Net, tables: &MemoryTables) -> Vec<Option<ServerId>> {
    let owner = |port| {
        let frame = arrives(Frame::tcp(at_port(net.client, port), net.nat));
        let (outcome, output) = run(tables, OUTSIDE, &frame.bytes());
        match outcome {
            // The last byte of the server's address is its number.
            Ok(Verdict::Transmit) => Some(ServerId::from(output[ETHERNET + if net.is_v6() { 39 } else { 19 }])),
            Err(Stop::NoServer) => None,
            other => panic!("port {port}: {other:?}"),
        }
    };
    (1..=20_000).map(owner).collect()
}

/// loxilb picks `hash % n`, and sends all flows of a dead server to the first living one.
#[test]
fn loxilb_a_dead_server_moves_only_its_own_flows_and_spreads_them() {
    for net in [&NET4, &NET6] {
        let mut tables = tables();
        tables.rings.insert(net.nat_ring(), ring_of(|slot| net.id([1, 2, 3][scattered(slot, 3)])));
        let before = owners(net, &tables);
        set_state(&mut tables, net, 1, ServerState::Down);
        let after = owners(net, &tables);
        let mut moved = BTreeMap::<_, u32>::new();
        for (before, after) in before.iter().zip(&after) {
            if *before == Some(1) {
                *moved.entry(*after).or_default() += 1;
            } else {
                assert_eq!(before, after, "a flow of a living server moved");
            }
        }
        let all: u32 = moved.values().sum();
        let share = |owner| f64::from(moved.get(&owner).copied().unwrap_or_default()) / f64::from(all);
        assert!((0.44..0.56).contains(&share(Some(2))) && (0.44..0.56).contains(&share(Some(3))), "{moved:?}");
        // Eight slots in a row are the dead server's own: (1/3)^7 of its flows wait for the ring to be rewritten.
        assert!(share(None) < 0.002, "{moved:?}");
    }
}

/// Each server gets the share of flows that it has of the slots.
#[test]
fn flows_spread_as_the_slots_do() {
    for net in [&NET4, &NET6] {
        let mut tables = tables();
        tables.rings.insert(net.nat_ring(), ring_of(|slot| net.id([1, 2, 2, 3, 3, 3][scattered(slot, 6)])));
        let owners = owners(net, &tables);
        let slots = |id| (0..SLOTS).filter(|slot| [1, 2, 2, 3, 3, 3][scattered(*slot, 6)] == id).count();
        for id in [1, 2, 3] {
            #[expect(clippy::cast_precision_loss, reason = "16 381 slots")]
            let share = slots(id) as f64 / SLOTS as f64;
            #[expect(clippy::cast_precision_loss, reason = "20 000 flows")]
            let got = owners.iter().filter(|owner| **owner == Some(id)).count() as f64 / owners.len() as f64;
            assert!((got - share).abs() < 0.012, "server {id}: {got} of the flows, {share} of the slots");
        }
    }
}
