//! What holds for all packets, not only for those of the rows.

use crate::{cases::world::*, run};
use etherparse::{Ipv4Header, NetSlice, SlicedPacket, TransportSlice};
use lb_common::{Route4Key, ServerId, ServerState, Stop, hash::mix};
use lb_ebpf::{Verdict, testing::MemoryTables};
use lb_tests::packet::{ETHERNET, Frame};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
};

/// Panics if a checksum of the frame is not what its bytes sum up to.
fn assert_checksums(frame: &[u8]) {
    let packet = SlicedPacket::from_ethernet(frame).expect("frame");
    let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("not IPv4") };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum(), "IPv4");
    match packet.transport {
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

prop_compose! {
    /// Anything a client may send to the `nat` VIP.
    fn from_client()(
        address in any::<u32>(), port in any::<u16>(), tcp in any::<bool>(), syn in any::<bool>(), sum in any::<bool>(),
        ttl in 3..=255_u8, words in 0..=10_usize, payload in prop::collection::vec(any::<u8>(), 0..200),
    ) -> Frame {
        let client = SocketAddrV4::new(Ipv4Addr::from_bits(address), port);
        let frame = match (tcp, syn, sum) {
            (true, true, _) => Frame::tcp(client, NAT_VIP).syn(),
            (true, false, _) => Frame::tcp(client, NAT_VIP),
            (false, _, true) => Frame::udp(client, NAT_VIP),
            (false, _, false) => Frame::udp(client, NAT_VIP).without_checksum(),
        };
        arrives(frame.ttl(ttl).options(&vec![1; words * 4]).payload(&payload))
    }
}

/// Tables that route every client.
fn routed() -> MemoryTables {
    let mut tables = tables();
    tables.routes.insert(Route4Key { prefix_len: 0, addr: Ipv4Addr::UNSPECIFIED.into() }, ROUTER);
    tables
}

/// The frame that the receiver of `frame` would answer with: both ends exchanged, all else the same.
fn turned_round(frame: &[u8]) -> Vec<u8> {
    let mut turned = frame.to_vec();
    let l4 = ETHERNET + usize::from(frame[ETHERNET] & 0x0f) * 4;
    turned.copy_within(ETHERNET + 16..ETHERNET + 20, ETHERNET + 12);
    turned[ETHERNET + 16..ETHERNET + 20].copy_from_slice(&frame[ETHERNET + 12..ETHERNET + 16]);
    turned[l4..l4 + 2].copy_from_slice(&frame[l4 + 2..l4 + 4]);
    turned[l4 + 2..l4 + 4].copy_from_slice(&frame[l4..l4 + 2]);
    turned
}

proptest! {
    #[test]
    fn checksums_after_nat_are_those_of_the_whole_packet(frame in from_client()) {
        let input = frame.bytes();
        assert_checksums(&input);
        let (outcome, output) = run(&routed(), OUTSIDE, &input);
        prop_assert_eq!(outcome, Ok(Verdict::Transmit));
        assert_checksums(&output);
    }

    #[test]
    fn a_reply_looks_to_the_client_as_if_the_vip_had_sent_it(frame in from_client()) {
        let (tables, input) = (routed(), frame.bytes());
        let (there, to_server) = run(&tables, OUTSIDE, &input);
        prop_assert_eq!(there, Ok(Verdict::Transmit));
        let (back, to_client) = run(&tables, OUTSIDE, &turned_round(&to_server));
        prop_assert_eq!(back, Ok(Verdict::Transmit));
        assert_checksums(&to_client);
        // The same bytes as if the VIP had turned the packet round, but for two hops and the Ethernet addresses.
        let ttl = input[ETHERNET + 8] - 2;
        let expected = turned_round(&frame.ttl(ttl).hop(BALANCER_MAC, ROUTER_MAC).bytes());
        prop_assert_eq!(to_client, expected);
    }

    #[test]
    fn a_wrong_checksum_stays_wrong_by_as_much(frame in from_client(), error in 1..0xffff_u16) {
        let mut input = frame.bytes();
        let l4 = ETHERNET + usize::from(input[ETHERNET] & 0x0f) * 4;
        let at = l4 + if input[ETHERNET + 9] == 6 { 16 } else { 6 };
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
    let mut input = arrives(Frame::udp(CLIENT, DIRECT_VIP)).bytes();
    for id in 0..=u16::MAX {
        input[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&id.to_be_bytes());
        let (header, _) = Ipv4Header::from_slice(&input[ETHERNET..]).expect("header");
        let sum = header.calc_header_checksum();
        input[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        let (_, output) = run(&tables, OUTSIDE, &input);
        assert_checksums(&output);
    }
}

/// Picks one of `choices` for a slot, without a pattern along the ring.
fn scattered(slot: usize, choices: usize) -> usize {
    usize::try_from(mix(slot as u64 + 1)).expect("64 bits") % choices
}

/// Which server each of many flows goes to, if any.
fn owners(tables: &MemoryTables) -> Vec<Option<ServerId>> {
    let owner = |port| {
        let client = SocketAddrV4::new(*CLIENT.ip(), port);
        let (outcome, output) = run(tables, OUTSIDE, &arrives(Frame::tcp(client, NAT_VIP)).bytes());
        match outcome {
            Ok(Verdict::Transmit) => Some(ServerId::from(output[ETHERNET + 19])),
            Err(Stop::NoServer) => None,
            other => panic!("port {port}: {other:?}"),
        }
    };
    (1..=20_000).map(owner).collect()
}

/// loxilb picks `hash % n`, and sends all flows of a dead server to the first living one.
#[test]
fn loxilb_a_dead_server_moves_only_its_own_flows_and_spreads_them() {
    let mut tables = tables();
    tables.rings.insert(NAT_RING, ring_of(|slot| [1, 2, 3][scattered(slot, 3)]));
    let before = owners(&tables);
    let after = owners(&with_state(tables, 1, ServerState::Down));
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

/// Each server gets the share of flows that it has of the slots.
#[test]
fn flows_spread_as_the_slots_do() {
    let mut tables = tables();
    tables.rings.insert(NAT_RING, ring_of(|slot| [1, 2, 2, 3, 3, 3][scattered(slot, 6)]));
    let owners = owners(&tables);
    for (id, share) in [(1, 1.0 / 6.0), (2, 2.0 / 6.0), (3, 3.0 / 6.0)] {
        #[expect(clippy::cast_precision_loss, reason = "20 000 flows")]
        let got = owners.iter().filter(|owner| **owner == Some(id)).count() as f64 / owners.len() as f64;
        assert!((got - share).abs() < 0.012, "server {id}: {got} of the flows, {share} of the slots");
    }
}
