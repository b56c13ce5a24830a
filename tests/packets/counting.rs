//! What is counted and said of packets.

use crate::{
    begin,
    cases::{self, Case, Expect},
    run,
};
use lb_common::{Be128, Counters, End, ServerId, Stop, VipId};
use lb_ebpf::testing::Counted;
use std::{collections::BTreeMap, net::IpAddr};

#[test]
fn what_is_sent_is_counted_once_and_what_stops_only_as_a_stop() {
    for mut case in cases::all() {
        begin(&mut case);
        let Case { name, tables, ingress, input, .. } = case;
        let (outcome, _) = run(&tables, ingress, &input);
        let Counted { vips, servers, stops, .. } = tables.counted.borrow().clone();
        if let Err(stop) = outcome {
            assert_eq!(stops, [(stop as u32, 1)].into(), "{name}");
            // That a server answers is counted wherever the answer goes.
            let counted = |row: &Counters| row.packets + row.return_packets + row.connections > 0;
            assert!(!vips.values().chain(servers.values()).any(counted), "{name}: {vips:?} {servers:?}");
        } else {
            assert!(stops.is_empty(), "{name}: {stops:?}");
            let [(vip, of_vip)] = vips.into_iter().collect::<Vec<_>>()[..] else { panic!("{name}: not one VIP") };
            let [(server, of_server)] = servers.into_iter().collect::<Vec<_>>()[..] else {
                panic!("{name}: not one server")
            };
            assert!(vip > 0 && server > 0, "{name}");
            assert_eq!(of_vip, of_server, "{name}");
            assert_eq!(of_vip.packets + of_vip.return_packets, 1, "{name}");
            // Padding belongs to no packet.
            let claimed = crate::claimed(&input).expect("a packet");
            assert_eq!(of_vip.bytes + of_vip.return_bytes, claimed as u64, "{name}");
        }
    }
}

#[test]
fn only_a_packet_that_finds_no_ethernet_address_has_somebody_ask() {
    let mut asked = 0;
    for mut case in cases::all() {
        begin(&mut case);
        let _outcome = run(&case.tables, case.ingress, &case.input);
        // Where the interface is gone, asking would help nobody.
        let asks =
            matches!(case.expect, Expect::Stop(Stop::NoNextHop)) && !case.name.contains("interface that is gone");
        let said = case.tables.counted.borrow().unresolved.clone();
        assert_eq!(said.len(), usize::from(asks), "{}", case.name);
        asked += said.len();
    }
    assert!(asked > 10);
}

#[test]
fn who_is_asked_for_is_the_server_or_the_client() {
    let said = |name: &str| {
        let case = row(name);
        let _outcome = run(&case.tables, case.ingress, &case.input);
        case.tables.counted.borrow().unresolved.clone()
    };
    for net in [&cases::world::NET4, &cases::world::NET6] {
        let address = |ip: IpAddr| vec![Be128::from(ip)];
        let said = |name: &str| said(&format!("{}: {name}", net.name));
        assert_eq!(said("the server is not resolved (nat)"), address(net.servers[1].ip()));
        assert_eq!(said("the server is not resolved (direct)"), address(net.servers[1].ip()));
        assert_eq!(said("the server is not resolved (ipip)"), address(net.servers[1].ip()));
        assert_eq!(said("the client's router is not resolved"), address(net.unresolved_client.ip()));
        assert_eq!(said("the client is on our link but unknown"), address(net.unknown_neighbour.ip()));
    }
}

fn row(name: &str) -> Case {
    cases::all().into_iter().find(|case| case.name == name).expect("row")
}

#[test]
fn only_a_syn_opens_a_connection_and_servers_answer_it_or_not() {
    let count = |name: &str| {
        let mut case = row(name);
        begin(&mut case);
        let _verdict = run(&case.tables, case.ingress, &case.input);
        let counted = case.tables.counted.borrow().clone();
        (counted.vips, counted.servers)
    };
    let row = |bytes, connections| Counters { packets: 1, bytes, connections, ..Counters::default() };
    for (net, header) in [(&cases::world::NET4, 20), (&cases::world::NET6, 40)] {
        let count = |name: &str| count(&format!("{}: {name}", net.name));
        let (tcp, udp, server) = (net.vip_id(0), net.vip_id(0) + 1, net.id(1));
        let length = 14 + header + 20;
        let syn = count("a SYN goes to the server");
        assert_eq!(syn, ([(tcp, row(length, 1))].into(), [(server, row(length, 1))].into()));
        let syn_ack = count("a SYN-ACK of a client goes to the server");
        assert_eq!(syn_ack, ([(tcp, row(length, 0))].into(), [(server, row(length, 0))].into()));
        let segment = count("a segment goes to the server");
        assert_eq!(segment, ([(tcp, row(length + 13, 0))].into(), [(server, row(length + 13, 0))].into()));
        let datagram = count("a datagram goes to the server");
        assert_eq!(datagram, ([(udp, row(length + 1, 0))].into(), [(server, row(length + 1, 0))].into()));
        let returned = Counters { return_packets: 1, return_bytes: length, ..Counters::default() };
        let back = count("a SYN-ACK gets the VIP as its source");
        let accepted = Counters { accepted: 1, ..returned };
        assert_eq!(back, ([(tcp, accepted)].into(), [(server, accepted)].into()));
        let back = count("a refusal gets the VIP as its source");
        let refused = Counters { resets: 1, ..returned };
        assert_eq!(back, ([(tcp, refused)].into(), [(server, refused)].into()));
        // Neither a server's own SYN nor the end of a connection that it has.
        for name in ["a server's SYN gets the VIP as its source", "a server's reset gets the VIP as its source"] {
            assert_eq!(count(name), ([(tcp, returned)].into(), [(server, returned)].into()), "{name}");
        }
        assert_eq!(count("track: a SYN-ACK of a half-open connection"), back_of(tcp, server, accepted));
        assert_eq!(count("track: a refusal of a half-open connection"), back_of(tcp, server, refused));
        assert_eq!(count("fullnat: a SYN-ACK goes back to the client"), back_of(net.vip_id(7), server, accepted));
    }
}

type Rows = BTreeMap<u16, Counters>;

fn back_of(vip: VipId, server: ServerId, row: Counters) -> (Rows, Rows) {
    ([(vip, row)].into(), [(server, row)].into())
}

#[test]
fn every_end_has_its_rows() {
    let ends = |end: End| {
        let ends =
            |case: &Case| matches!(case.expect, Expect::Stop(stop) | Expect::Answer(stop, _) if stop.end() == end);
        cases::all().iter().filter(|case| ends(case)).count()
    };
    for end in [End::Pass, End::Drop, End::Answer] {
        assert!(ends(end) > 10, "{end:?}");
    }
}
