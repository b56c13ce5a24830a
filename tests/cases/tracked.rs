//! `track = "full"`: every connection is known by itself, so that a server may be behind two VIPs.

use super::{Case, nat::refusing, world::*};
use lb_common::{Note, ServerState, Stop, flow::BACK, returns::ReturnRow, vip::flags::TRACK_FULL};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::{Frame, flags::RST};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [nat(net), again(net), back(net), direct(net)].into_iter().flatten().collect()
}

fn nat(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.nat).syn();
    let data = net.tcp(net.nat);
    let datagram = net.udp(net.nat);
    vec![
        forward(net, "track: a SYN makes a connection", &syn, 1).notes(&[Note::HalfOpen]),
        forward(net, "track: a segment of none makes one too", &data, 1).notes(&[Note::HalfOpen]),
        forward(net, "track: a datagram makes one", &datagram, 1).notes(&[Note::HalfOpen]),
        forward(net, "track: a repeated SYN establishes nothing", &syn, 1).after(syn.bytes()).notes(&[]),
        forward(net, "track: nor does a reset", &data.clone().flags(RST), 1).after(syn.bytes()).notes(&[]),
        forward(net, "track: a segment establishes a connection", &data, 1)
            .after(syn.bytes())
            .notes(&[Note::Connected]),
        forward(net, "track: so does a second one of none", &data, 1).after(data.bytes()).notes(&[Note::Connected]),
        forward(net, "track: and a second datagram", &datagram, 1).after(datagram.bytes()).notes(&[Note::Connected]),
        forward(net, "track: a segment follows its connection", &data, 1)
            .after(syn.bytes())
            .after(data.bytes())
            .notes(&[]),
        forward(net, "track: a half-open connection stays with its server", &data, 2)
            .with(|tables| know(tables, net, 2))
            .with(half_open)
            .notes(&[Note::Connected]),
        forward(net, "track: a half-open connection leaves a server that is down", &data, 1)
            .with(|tables| know(tables, net, 2))
            .with(half_open)
            .with(|tables| set_state(tables, net, 2, ServerState::Down))
            .notes(&[Note::HalfOpen]),
        forward(net, "track: a connection stays with its server", &data, 2)
            .with(|tables| know(tables, net, 2))
            .notes(&[]),
        forward(net, "track: a draining server keeps its connections", &data, 2)
            .with(|tables| know(tables, net, 2))
            .with(|tables| set_state(tables, net, 2, ServerState::Drain))
            .notes(&[]),
        forward(net, "track: a draining server takes no SYN with old ports", &syn, 1)
            .with(|tables| know(tables, net, 2))
            .with(|tables| set_state(tables, net, 2, ServerState::Drain))
            .notes(&[Note::HalfOpen]),
        forward(net, "track: a connection leaves a server that is down", &data, 1)
            .with(|tables| know(tables, net, 2))
            .with(|tables| set_state(tables, net, 2, ServerState::Down))
            .notes(&[Note::HalfOpen]),
        net.stops("track: no connection without a server", syn.bytes(), Stop::NoServer)
            .with(flag(net.nat, TRACK_FULL))
            .with(|tables| set_state(tables, net, 1, ServerState::Down))
            .notes(&[]),
        net.stops("track: no fragment", datagram.fragment(0, true).bytes(), Stop::Fragment)
            .with(flag(net.nat, TRACK_FULL)),
    ]
}

/// The ports of a connection are used again, and its server takes no new one.
fn again(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let drained = move |tables: &mut MemoryTables| {
        know(tables, net, 2);
        set_state(tables, net, 2, ServerState::Drain);
    };
    vec![
        forward(net, "track: segments follow a SYN that left a draining server", &data, 1)
            .with(drained)
            .after(syn.bytes())
            .notes(&[Note::Connected]),
        forward(net, "track: then it is the only connection with these ports", &data, 1)
            .with(drained)
            .after(syn.bytes())
            .after(data.bytes())
            .notes(&[]),
    ]
}

/// One server behind two VIPs.
fn back(net: &'static Net) -> Vec<Case> {
    let second = at_port(net.client, 40_001);
    let first_syn = net.tcp(net.nat).syn().bytes();
    let second_syn = arrives(Frame::tcp(second, net.other).syn()).bytes();
    let own = answers(Frame::tcp(net.servers[4], net.nat).syn(), 4);
    let reply = |client: SocketAddr| answers(Frame::tcp(net.servers[1], client), 1);
    let answer = answers(Frame::udp(net.servers[1], net.client), 1);
    let (accepts, refuses) = (reply(net.client).syn_ack(), refusing(&reply(net.client)));
    let to_client = |frame: &Frame, vip: SocketAddr| leaves_for_client(frame.clone()).from(vip);
    let goes = |name, client, vip| {
        net.sends(name, &reply(client), &to_client(&reply(client), vip))
            .with(|tables| shared(tables, net))
            .after(first_syn.clone())
            .after(second_syn.clone())
    };
    vec![
        goes("track: a reply of the first VIP of a server", net.client, net.nat),
        goes("track: a reply of its second VIP", second, net.other),
        goes("track: a reply of a connection that is established", net.client, net.nat)
            .after(net.tcp(net.nat).bytes())
            .notes(&[]),
        net.sends("track: a SYN-ACK of a half-open connection", &accepts, &to_client(&accepts, net.nat))
            .with(|tables| shared(tables, net))
            .after(first_syn.clone())
            .notes(&[]),
        net.sends("track: a refusal of a half-open connection", &refuses, &to_client(&refuses, net.nat))
            .with(|tables| shared(tables, net))
            .after(first_syn.clone())
            .notes(&[]),
        net.sends("track: an answer establishes a connection", &answer, &to_client(&answer, net.nat))
            .with(|tables| shared(tables, net))
            .after(net.udp(net.nat).bytes())
            .notes(&[Note::Connected]),
        net.stops("track: what a server says to nobody's client passes", reply(net.client).bytes(), Stop::NotOurs)
            .with(|tables| shared(tables, net)),
        net.stops("track: a fragment of a reply", reply(net.client).fragment(0, true).bytes(), Stop::Fragment)
            .with(|tables| shared(tables, net))
            .after(first_syn.clone()),
        net.sends("track: the way back is made again", &net.tcp(net.nat), &{
            leaves_for(net.tcp(net.nat), 1).to(net.servers[1])
        })
        .with(|tables| shared(tables, net))
        .with(|tables| know(tables, net, 1))
        .with(|tables| {
            // The table has forgotten the one direction and not the other.
            tables.v4.connections.get_mut().retain(|_, row| row.marks & BACK == 0);
            tables.v6.connections.get_mut().retain(|_, row| row.marks & BACK == 0);
        }),
        // Whoever claims the address of a VIP: then the key of the way back to it is that of the server's own connection.
        net.sends(
            "track: a server connects to a VIP that was its client",
            &own,
            &leaves_for(own.clone(), 1).to(net.servers[1]),
        )
        .with(flag(net.nat, TRACK_FULL))
        .with(flag(net.other, TRACK_FULL))
        .after(arrives(Frame::tcp(net.nat, net.other).syn()).bytes())
        .notes(&[Note::HalfOpen]),
    ]
}

/// Nothing is translated, and yet each flow is known.
fn direct(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.direct).syn();
    let data = net.tcp(net.direct);
    let track = || flag(net.direct, TRACK_FULL);
    let known = |tables: &mut MemoryTables| {
        flag(net.direct, TRACK_FULL)(tables);
        let row = Known { server: net.id(3), vip: net.vip_id(1), ..Known::default() };
        put_connection(tables, (net.client, net.direct), (net.client, net.direct), row);
    };
    vec![
        net.sends("track: a SYN by direct", &syn, &leaves_for(syn.clone(), 1)).with(track()).notes(&[Note::HalfOpen]),
        net.sends("track: a segment by direct establishes a connection", &data, &leaves_for(data.clone(), 1))
            .with(track())
            .after(syn.bytes())
            .notes(&[Note::Connected]),
        net.sends("track: a segment by direct stays with its server", &data, &leaves_for(data.clone(), 3)).with(known),
        net.sends("track: a segment by ipip", &net.tcp(net.ipip), &super::tunnels::wrapped(&net.tcp(net.ipip), net))
            .with(flag(net.ipip, TRACK_FULL))
            .notes(&[Note::HalfOpen]),
    ]
}

fn forward(net: &Net, name: &str, input: &Frame, number: usize) -> Case {
    net.sends(name, input, &leaves_for(input.clone(), number).to(net.servers[number])).with(flag(net.nat, TRACK_FULL))
}

/// Puts the client's connection to a server into the table, both ways.
fn know(tables: &mut MemoryTables, net: &Net, number: usize) {
    let server = net.servers[number];
    let row = Known { server: net.id(number), vip: net.vip_id(0), ..Known::default() };
    put_connection(tables, (net.client, net.nat), (net.client, server), row);
    put_connection(tables, (server, net.client), (net.nat, net.client), Known { marks: BACK, ..row });
}

/// Puts server 1 behind both `nat` VIPs.
fn shared(tables: &mut MemoryTables, net: &Net) {
    for vip in [net.nat, net.other] {
        flag(vip, TRACK_FULL)(tables);
    }
    tables.rings.insert(net.other_ring(), ring_of(|_| net.id(1)));
    set_returns(tables, net.servers[1], |row| Some(ReturnRow { vip: 0, ..row }));
}
