//! `on_marked_down`: what becomes of connections to a server that is down.

use super::{Case, Expect, refused::reset, world::*};
use lb_common::{
    Note, Protocol, ServerState, Slot, Stop,
    flow::BACK,
    slots::slot_of,
    vip::flags::{AFFINITY, FRAGMENTS_HASH, KEEPS, REFUSES, RESETS, TRACK_FULL},
};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::{
    Frame,
    flags::{ACK, FIN, RST},
};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [kept(net), cut(net), moved(net), untracked(net), by_connection(net), told(net)].into_iter().flatten().collect()
}

fn goes(net: &Net, name: &str, input: &Frame, number: usize) -> Case {
    net.sends(name, input, &leaves_for(input.clone(), number).to(net.servers[number]))
}

/// All of the client's segments are of server 1, which is down; other flows have server 2.
fn failed(case: Case, net: &'static Net, flags: u16) -> Case {
    case.with(flag(net.nat, flags)).with(|tables| {
        set_state(tables, net, 1, ServerState::Down);
        let own = [Protocol::Tcp, Protocol::Udp].map(|protocol| slot_of(hash(net.client, net.nat, protocol)));
        tables.rings.insert(net.nat_ring(), ring_of(|slot| net.id(if own.contains(&slot) { 1 } else { 2 })));
    })
}

/// The same once the ring has followed: its slots go from server 1 to server 2.
fn followed(case: Case, net: &'static Net, flags: u16) -> Case {
    case.with(flag(net.nat, flags)).with(|tables| {
        set_state(tables, net, 1, ServerState::Down);
        set_slots(tables, net.nat_ring(), Slot::new(net.id(2), net.id(1), true));
    })
}

/// The flow table knows the client's flow at a server.
fn known(net: &'static Net, number: usize) -> impl Fn(&mut MemoryTables) {
    move |tables| put_flow(tables, (net.client, net.nat), net.nat_ring(), net.id(number))
}

fn kept(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let goes = |name: &str, frame, number| goes(net, &format!("keep: {name}"), frame, number);
    vec![
        failed(goes("a segment goes to the server that is down", &data, 1), net, KEEPS).notes(&[]),
        failed(goes("a FIN too", &data.clone().flags(FIN | ACK), 1), net, KEEPS).notes(&[]),
        failed(goes("and a reset", &data.clone().flags(RST), 1), net, KEEPS).notes(&[]),
        failed(goes("a SYN does not", &syn, 2), net, KEEPS).notes(&[Note::Reselected, Note::Tracked]),
        failed(goes("a segment follows its SYN", &data, 2), net, KEEPS).after(syn.bytes()).notes(&[]),
        followed(goes("a segment, once the ring has followed", &data, 1), net, KEEPS).notes(&[Note::Tracked]),
        followed(goes("the next one finds it in the table", &data, 1), net, KEEPS).after(data.bytes()).notes(&[]),
        followed(goes("a SYN, once the ring has followed", &syn, 2), net, KEEPS).notes(&[Note::Tracked]),
        followed(goes("a segment follows that SYN", &data, 2), net, KEEPS).after(syn.bytes()).notes(&[]),
        followed(goes("a SYN with the ports of a flow that stays", &syn, 2), net, KEEPS)
            .after(data.bytes())
            .notes(&[Note::Tracked]),
        // Long after the slots have changed hands.
        goes("a flow that is known stays", &data, 1)
            .with(flag(net.nat, KEEPS))
            .with(known(net, 1))
            .with(|tables| {
                set_state(tables, net, 1, ServerState::Down);
                set_slots(tables, net.nat_ring(), Slot::new(net.id(2), net.id(2), true));
            })
            .notes(&[]),
        followed(goes("a row that nobody has keeps nothing", &data, 2), net, KEEPS)
            .with(|tables| set_state(tables, net, 1, ServerState::Free))
            .notes(&[Note::Reselected, Note::Tracked]),
        followed(goes("a server that is back has its flows", &data, 1), net, KEEPS)
            .after(data.bytes())
            .then(|tables| set_state(tables, net, 1, ServerState::Up))
            .notes(&[]),
        failed(goes("before anything is refused", &data, 1), net, KEEPS | REFUSES)
            .with(|tables| set_state(tables, net, 2, ServerState::Down))
            .notes(&[]),
        net.sends(
            "keep: a segment into a tunnel",
            &net.tcp(net.ipip),
            &super::tunnels::wrapped(&net.tcp(net.ipip), net),
        )
        .with(flag(net.ipip, KEEPS))
        .with(|tables| set_state(tables, net, 1, ServerState::Down)),
    ]
}

fn cut(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let goes = |name: &str, frame, number| goes(net, &format!("cut: {name}"), frame, number);
    let over = |name: &str, input: &Frame, flags, acknowledgment| {
        let answer = reset(net, net.nat, flags, 0, acknowledgment);
        net.row(&format!("cut: {name}"), input.bytes(), Expect::Answer(Stop::Reset, answer.bytes())).notes(&[])
    };
    let stops =
        |name: &str, input: &Frame| net.stops(&format!("cut: {name}"), input.bytes(), Stop::ServerDown).notes(&[]);
    vec![
        failed(over("a segment is answered by a reset", &data, RST, 0), net, RESETS),
        failed(over("so is one without ACK", &data.clone().flags(0), RST | ACK, 0x1234_5678 + 13), net, RESETS),
        failed(stops("but no reset", &data.clone().flags(RST)), net, RESETS),
        failed(goes("a SYN goes to another one", &syn, 2), net, RESETS).notes(&[Note::Reselected, Note::Tracked]),
        failed(goes("and its segments follow", &data, 2), net, RESETS).after(syn.bytes()).notes(&[]),
        followed(over("once the ring has followed", &data, RST, 0), net, RESETS),
        followed(goes("a SYN, once the ring has followed", &syn, 2), net, RESETS).notes(&[Note::Tracked]),
        followed(goes("a segment follows that SYN", &data, 2), net, RESETS).after(syn.bytes()).notes(&[]),
        followed(over("a flow that is known", &data, RST, 0), net, RESETS).with(known(net, 1)),
        followed(goes("a flow that is known elsewhere goes on", &data, 2), net, RESETS).with(known(net, 2)).notes(&[]),
        followed(goes("a server that is back has its flows", &data, 1), net, RESETS)
            .after(data.bytes())
            .then(|tables| set_state(tables, net, 1, ServerState::Up))
            .notes(&[Note::Tracked]),
        failed(over("before anything is refused", &data, RST, 0), net, RESETS | REFUSES)
            .with(|tables| set_state(tables, net, 2, ServerState::Down)),
    ]
}

/// What nothing tells apart goes to other servers, whatever was chosen.
fn moved(net: &'static Net) -> Vec<Case> {
    let (data, datagram) = (net.tcp(net.nat), net.udp(net.nat));
    let mut cases = Vec::new();
    for (choice, flags) in [("keep", KEEPS), ("cut", RESETS)] {
        let goes = |name: &str, frame, number| goes(net, &format!("{choice}: {name}"), frame, number);
        let reselected = [Note::Reselected, Note::Tracked];
        cases.extend([
            failed(goes("a datagram moves", &datagram, 2), net, flags).notes(&reselected),
            followed(goes("a datagram, once the ring has followed", &datagram, 2), net, flags).notes(&reselected),
            followed(goes("with source affinity all move", &data, 2), net, flags | AFFINITY).notes(&reselected),
            followed(goes("where fragments go by their addresses too", &data, 2), net, flags | FRAGMENTS_HASH)
                .notes(&reselected),
        ]);
    }
    cases
}

/// The table takes nothing more. What it does not know is of the server that is down, so a SYN that it does not take is no
/// connection.
fn untracked(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let spent = |tables: &mut MemoryTables| tables.track_budget = 0;
    let stops = |name: &str| net.stops(name, syn.bytes(), Stop::ServerDown).with(spent).notes(&[Note::BudgetSpent]);
    vec![
        followed(stops("keep: a SYN that is not tracked is dropped"), net, KEEPS),
        followed(stops("cut: a SYN that is not tracked is dropped"), net, RESETS),
        failed(net.stops("keep: also before the ring has followed", syn.bytes(), Stop::ServerDown), net, KEEPS)
            .with(spent)
            .notes(&[Note::Reselected, Note::BudgetSpent]),
        followed(stops("keep: a SYN whose flow is known at the server that is down"), net, KEEPS).with(known(net, 1)),
        followed(goes(net, "keep: a segment stays without being tracked", &data, 1), net, KEEPS)
            .with(spent)
            .notes(&[Note::BudgetSpent]),
    ]
}

/// `track = "full"` and `fullnat`: by the connection itself.
fn by_connection(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let connected = |flags: u16, number: usize| {
        move |tables: &mut MemoryTables| {
            flag(net.nat, TRACK_FULL | flags)(tables);
            set_state(tables, net, number, ServerState::Down);
            let (server, row) = (net.servers[number], Known { server: net.id(number), vip: net.vip_id(0), marks: 0 });
            put_connection(tables, (net.client, net.nat), (net.client, server), row);
            put_connection(tables, (server, net.client), (net.nat, net.client), Known { marks: BACK, ..row });
        }
    };
    let over = |name: &str, vip: SocketAddr, input: &Frame| {
        net.row(name, input.bytes(), Expect::Answer(Stop::Reset, reset(net, vip, RST, 0, 0).bytes()))
    };
    let lent = super::fullnat::lent(net, Protocol::Tcp, 0);
    let (to_fullnat, server) = (net.tcp(net.fullnat), net.servers[2]);
    let on_loan = |flags: u16| {
        move |tables: &mut MemoryTables| {
            flag(net.fullnat, flags)(tables);
            set_state(tables, net, 2, ServerState::Down);
            let row = Known { server: net.id(2), vip: net.vip_id(7), marks: 0 };
            put_connection(tables, (net.client, net.fullnat), (lent, server), row);
            put_connection(tables, (server, lent), (net.fullnat, net.client), Known { marks: BACK, ..row });
        }
    };
    vec![
        goes(net, "keep: a connection that is tracked", &data, 2).with(connected(KEEPS, 2)).notes(&[]),
        goes(net, "keep: a half-open one is established", &data, 2)
            .with(connected(KEEPS, 2))
            .with(half_open)
            .notes(&[Note::Connected]),
        goes(net, "keep: but a SYN makes a new one", &syn, 1).with(connected(KEEPS, 2)).notes(&[Note::HalfOpen]),
        goes(net, "keep: whose segments follow", &data, 1)
            .with(connected(KEEPS, 2))
            .after(syn.bytes())
            .notes(&[Note::Connected]),
        net.sends("keep: by fullnat", &to_fullnat, &leaves_for(to_fullnat.clone(), 2).from(lent).to(server))
            .with(on_loan(KEEPS))
            .notes(&[]),
        net.sends(
            "keep: a segment follows its SYN by fullnat",
            &to_fullnat,
            &leaves_for(to_fullnat.clone(), 1).from(lent).to(net.servers[1]),
        )
        .with(on_loan(KEEPS))
        .after(net.tcp(net.fullnat).syn().bytes())
        .notes(&[Note::Connected]),
        over("cut: a connection that is tracked", net.nat, &data).with(connected(RESETS, 2)).notes(&[]),
        over("cut: a half-open one", net.nat, &data).with(connected(RESETS, 2)).with(half_open).notes(&[]),
        goes(net, "cut: but a SYN makes a new connection", &syn, 1).with(connected(RESETS, 2)).notes(&[Note::HalfOpen]),
        net.stops("cut: not a reset of one", data.clone().flags(RST).bytes(), Stop::ServerDown)
            .with(connected(RESETS, 2)),
        over("cut: by fullnat", net.fullnat, &to_fullnat).with(on_loan(RESETS)).notes(&[]),
        net.stops("cut: a fullnat connection that nobody knows", to_fullnat.bytes(), Stop::NoConnection)
            .with(flag(net.fullnat, RESETS)),
    ]
}

/// An error about what a server sent past the balancer.
fn told(net: &'static Net) -> Vec<Case> {
    let kind = if net.is_v6() { (1, 4) } else { (3, 3) };
    let sent = Frame::tcp(net.direct, net.client).packet();
    let error = arrives(Frame::icmp(net.client.ip(), net.direct.ip(), kind, [0; 4]).payload(&sent[..48]));
    let failed = |flags: u16| {
        move |tables: &mut MemoryTables| {
            flag(net.direct, flags)(tables);
            set_state(tables, net, 1, ServerState::Down);
        }
    };
    vec![
        net.sends("keep: an error", &error, &leaves_for(error.clone(), 1)).with(failed(KEEPS)).notes(&[Note::Errors]),
        net.stops("cut: an error", error.bytes(), Stop::ServerDown).with(failed(RESETS)).notes(&[]),
    ]
}
