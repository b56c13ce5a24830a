//! A VIP that is withdrawn: nothing new, and all that is there goes on. So it is with one that does not take what is new without
//! a daemon.

use super::{Case, world::*};
use lb_common::{
    Heartbeat, Stop,
    vip::flags::{NEEDS_DAEMON, TRACK_FULL, WITHDRAWN},
};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::{Extension, Frame};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    let ways: [(&str, Withdraw); 2] = [
        ("withdrawn", |tables, vip| flag(vip, WITHDRAWN)(tables)),
        ("without a daemon", |tables, vip| {
            flag(vip, NEEDS_DAEMON)(tables);
            tables.heartbeat = DEAD;
        }),
    ];
    let cases = ways.into_iter().flat_map(|way| [dropped(net, way), goes_on(net, way)]);
    cases.chain([needs_no_daemon(net)]).flatten().collect()
}

/// Withdraws a VIP.
type Withdraw = fn(&mut MemoryTables, SocketAddr);

/// What opens a connection.
fn dropped(net: &'static Net, (why, withdraw): (&str, Withdraw)) -> Vec<Case> {
    let stops = |name: &str, vip: SocketAddr, input: &Frame| {
        let name = format!("{why}: {name}");
        net.stops(&name, input.bytes(), Stop::Withdrawn).with(|tables| withdraw(tables, vip)).notes(&[])
    };
    let syn = |vip| net.tcp(vip).syn();
    let vips = [
        ("direct", net.direct),
        ("nat", net.nat),
        ("ipip", net.ipip),
        ("gue", net.gue),
        ("ipip, the other family", net.crossed_ipip),
        ("fullnat", net.fullnat),
    ];
    let mut cases: Vec<_> = vips.map(|(forward, vip)| stops(&format!("a SYN, {forward}"), vip, &syn(vip))).into();
    cases.extend([
        stops("a SYN that is tracked", net.nat, &syn(net.nat)).with(flag(net.nat, TRACK_FULL)),
        stops("a SYN into a tunnel that is tracked", net.ipip, &syn(net.ipip)).with(flag(net.ipip, TRACK_FULL)),
        stops("a SYN whose segments are limited", net.direct, &syn(net.direct))
            .with(|tables| set_vip(tables, net.direct, |row| row.mss = 1_300)),
        stops("a SYN that is sent again", net.fullnat, &syn(net.fullnat)).after(syn(net.fullnat).bytes()),
    ]);
    if net.is_v6() {
        let behind = syn(net.direct).extensions(&[Extension::destination(1)]);
        cases.push(stops("a SYN behind a header", net.direct, &behind));
    }
    cases
}

/// What does not.
fn goes_on(net: &'static Net, (why, withdraw): (&str, Withdraw)) -> Vec<Case> {
    let (to_nat, to_direct) = (net.tcp(net.nat), net.tcp(net.direct));
    let reply = answers(Frame::tcp(net.servers[1], net.client).syn_ack(), 1);
    let sends = |name: &str, vip: SocketAddr, input: &Frame, output: &Frame| {
        net.sends(&format!("{why}: {name}"), input, output).with(|tables| withdraw(tables, vip))
    };
    vec![
        sends("a segment, nat", net.nat, &to_nat, &leaves_for(to_nat.clone(), 1).to(net.servers[1])),
        sends("a segment, direct", net.direct, &to_direct, &leaves_for(to_direct.clone(), 1)),
        sends("a reply", net.nat, &reply, &leaves_for_client(reply.clone()).from(net.nat)),
        // Nothing says that it is the first one.
        sends("a datagram", net.direct, &net.udp(net.direct), &leaves_for(net.udp(net.direct), 1)),
        sends("another VIP of that backend", net.direct, &to_nat, &leaves_for(to_nat.clone(), 1).to(net.servers[1])),
    ]
}

/// A daemon that lives is enough, and so is one that nobody expects to say so.
fn needs_no_daemon(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.direct).syn();
    let sends = |name: &str, flags, heartbeat| {
        let case = net.sends(name, &syn, &leaves_for(syn.clone(), 1)).with(flag(net.direct, flags));
        case.with(|tables| tables.heartbeat = heartbeat)
    };
    vec![
        sends("a SYN while the daemon lives", NEEDS_DAEMON, ALIVE),
        sends("a SYN whose VIP goes on without a daemon", 0, DEAD),
        sends("a SYN before any daemon", NEEDS_DAEMON, Heartbeat::default()),
    ]
}
