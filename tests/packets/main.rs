//! The packet path on the host: every golden row, every truncation of it, and properties over many packets. Needs no
//! privilege. `tests/kernel` runs the same rows through the kernel object.
#![expect(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a test that meets these has failed")]

#[path = "../cases/all.rs"]
mod cases;
mod properties;

use cases::{Case, Expect};
use lb_common::{Be32, Counters, Stop};
use lb_ebpf::{
    Verdict,
    testing::{Counted, MemoryTables, PacketBuf},
};
use lb_tests::packet::ETHERNET;
use std::{collections::BTreeSet, net::Ipv4Addr};

/// Runs one frame, and returns what came out with the frame afterwards.
fn run(tables: &MemoryTables, ingress: u32, input: &[u8]) -> (Result<Verdict, Stop>, Vec<u8>) {
    let mut packet = PacketBuf { bytes: input.to_vec(), ingress };
    let outcome = lb_ebpf::run(&mut packet, tables);
    (outcome, packet.bytes)
}

#[test]
fn every_row_comes_out_as_promised() {
    for Case { name, tables, ingress, input, expect } in cases::all() {
        let (outcome, output) = run(&tables, ingress, &input);
        let (wanted, bytes) = match expect {
            Expect::Transmit(bytes) => (Ok(Verdict::Transmit), bytes),
            Expect::Redirect(bytes) => (Ok(Verdict::Redirect), bytes),
            Expect::Stop(stop) => (Err(stop), input.clone()),
        };
        assert_eq!(outcome, wanted, "{name}");
        assert_eq!(output, bytes, "{name}");
    }
}

#[test]
fn rows_have_names_of_their_own() {
    let cases = cases::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
}

#[test]
fn every_stop_has_a_row() {
    let seen: BTreeSet<u32> = cases::all()
        .iter()
        .filter_map(|case| if let Expect::Stop(stop) = case.expect { Some(stop as u32) } else { None })
        .collect();
    for stop in Stop::ALL {
        assert!(seen.contains(&(stop as u32)), "no row ends in {stop:?}");
    }
}

#[test]
fn every_truncation_of_a_packet_passes_untouched() {
    for Case { name, tables, ingress, input, expect } in cases::all() {
        for length in 0..input.len() {
            let cut = &input[..length];
            let (outcome, output) = run(&tables, ingress, cut);
            match outcome {
                Ok(_) => {
                    let total = usize::from(u16::from_be_bytes([cut[ETHERNET + 2], cut[ETHERNET + 3]]));
                    assert!(length >= ETHERNET + total, "{name}, {length} bytes: sent, but the packet is longer");
                }
                Err(stop) => {
                    assert_eq!(output, cut, "{name}, {length} bytes");
                    let whole = matches!(expect, Expect::Stop(same) if same == stop);
                    assert!(whole || stop.passes(), "{name}, {length} bytes: {stop:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_sent_is_counted_once_and_what_stops_only_as_a_stop() {
    for Case { name, tables, ingress, input, expect } in cases::all() {
        let (outcome, _) = run(&tables, ingress, &input);
        let Counted { vips, servers, stops, .. } = tables.counted.borrow().clone();
        assert_eq!(outcome.is_err(), matches!(expect, Expect::Stop(_)), "{name}");
        if let Err(stop) = outcome {
            assert_eq!(stops, [(stop as u32, 1)].into(), "{name}");
            assert!(vips.is_empty() && servers.is_empty(), "{name}: {vips:?} {servers:?}");
        } else {
            assert!(stops.is_empty(), "{name}: {stops:?}");
            let [(vip, of_vip)] = vips.into_iter().collect::<Vec<_>>()[..] else { panic!("{name}: not one VIP") };
            let [(server, of_server)] = servers.into_iter().collect::<Vec<_>>()[..] else {
                panic!("{name}: not one server")
            };
            assert!(vip > 0 && server > 0, "{name}");
            assert_eq!(of_vip, of_server, "{name}");
            assert_eq!(of_vip.packets + of_vip.return_packets, 1, "{name}");
            assert_eq!(of_vip.bytes + of_vip.return_bytes, input.len() as u64, "{name}");
        }
    }
}

#[test]
fn only_a_packet_that_finds_no_ethernet_address_has_somebody_ask_and_for_its_destination() {
    for Case { name, tables, ingress, input, expect } in cases::all() {
        let _verdict = run(&tables, ingress, &input);
        // Where the interface is gone, asking would help nobody.
        let asks = matches!(expect, Expect::Stop(Stop::NoNextHop)) && name != "out of an interface that is gone";
        let destination = if name.starts_with("the server is not resolved") {
            *cases::world::SERVERS[1].ip()
        } else {
            destination(&input)
        };
        let wanted: Vec<Be32> = asks.then(|| destination.into()).into_iter().collect();
        assert_eq!(tables.counted.borrow().unresolved, wanted, "{name}");
    }
}

/// Where an IPv4 packet of a row goes. Of anything else: nonsense, and nobody looks.
fn destination(frame: &[u8]) -> Ipv4Addr {
    let at = ETHERNET + 16;
    frame
        .get(at..at + 4)
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
        .map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from)
}

#[test]
fn only_a_syn_opens_a_connection() {
    let count = |name: &str| {
        let case = cases::all().into_iter().find(|case| case.name == name).expect("row");
        let _verdict = run(&case.tables, case.ingress, &case.input);
        let counted = case.tables.counted.borrow().clone();
        (counted.vips, counted.servers)
    };
    let row = |bytes, connections| Counters { packets: 1, bytes, connections, ..Counters::default() };
    assert_eq!(count("a SYN goes to the server"), ([(1, row(54, 1))].into(), [(1, row(54, 1))].into()));
    let syn_ack = count("a SYN-ACK of a client goes to the server");
    assert_eq!(syn_ack, ([(1, row(54, 0))].into(), [(1, row(54, 0))].into()));
    assert_eq!(count("a segment goes to the server"), ([(1, row(67, 0))].into(), [(1, row(67, 0))].into()));
    assert_eq!(count("a datagram goes to the server"), ([(2, row(55, 0))].into(), [(1, row(55, 0))].into()));
    let returned = Counters { return_packets: 1, return_bytes: 54, ..Counters::default() };
    assert_eq!(count("a SYN-ACK gets the VIP as its source"), ([(1, returned)].into(), [(1, returned)].into()));
}
