//! Which VIP a packet is for, and why a flow goes where it goes.

use super::*;
use lb_common::Protocol;
use std::time::Duration;

fn tuple(destination: &str, fragment: Option<u32>) -> Tuple {
    let (source, destination) = ("198.51.100.7:1024".parse().unwrap(), destination.parse().unwrap());
    Tuple { source, destination, protocol: Protocol::Udp, fragment }
}

#[test]
fn a_packet_is_for_the_vip_of_its_port_or_of_all_ports_and_a_later_fragment_for_that_of_the_address() {
    let mut tables = Tables::default();
    let mut put = |address: &str, port, id, flags, entry| {
        let key = Endpoint::new(address.parse().unwrap(), port, Protocol::Udp);
        tables.vips.insert(key, Vip { id, flags, ..Vip::default() });
        tables.vips.insert(Endpoint::address_entry(key.address), Vip { flags: entry, ..Vip::default() });
    };
    put("192.0.2.10", 53, 1, 0, 0);
    put("192.0.2.11", 0, 2, FRAGMENTS_HASH, ANY_PORT);
    put("192.0.2.12", 53, 3, 0, 0);
    put("192.0.2.12", 0, 3, FRAGMENTS_HASH | FRAGMENTS_ONLY, ANY_PORT);
    let found = |destination, fragment| vip_for(&tables, &tuple(destination, fragment)).map(|vip| vip.id);
    assert_eq!(
        [found("192.0.2.10:53", None), found("192.0.2.10:54", None), found("192.0.2.9:53", None)],
        [Some(1), None, None]
    );
    assert_eq!([found("192.0.2.11:53", None), found("192.0.2.11:0", Some(7))], [Some(2), Some(2)]);
    assert_eq!(
        [found("192.0.2.12:53", Some(7)), found("192.0.2.12:54", None), found("192.0.2.12:0", Some(7))],
        [Some(3), None, Some(3)]
    );
}

#[test]
fn of_a_flow_it_is_told_who_decided() {
    let known = |table, server| {
        let idle = Duration::ZERO;
        [Known { table, server, idle, closing: false, back: false, becomes: None }]
    };
    assert_eq!(why(2, &known(Some(Table::Flows), 2), Some(Slot::of(1))), "the flow table knows it");
    assert_eq!(why(2, &known(None, 2), None), "the first fragment went there");
    assert_eq!(why(1, &[], Some(Slot::of(1))), "its slot belongs to it");
    assert_eq!(why(1, &known(Some(Table::Flows), 2), Some(Slot::of(1))), "its slot belongs to it");
    assert!(why(1, &[], Some(Slot::new(1, 2, true))).starts_with("it opens a connection"));
    assert!(why(2, &[], Some(Slot::new(1, 2, true))).starts_with("no table knows the flow"));
    assert!(why(3, &[], Some(Slot::of(1))).contains("chain"));
}
