//! ICMP errors: each goes to the end of the flow that sent what it quotes, and quotes what that end sent.

use super::{Case, Expect, fullnat::lent, tunnels::wrapped, world::*};
use lb_common::{Note, Protocol, ServerState, Slot, Stop, flow::BACK, returns::ReturnRow, vip::flags::TRACK_FULL};
use lb_tests::{
    oracle::GUE_PORT,
    packet::{ETHERNET, Extension, Frame, Tunnel},
};
use std::net::{IpAddr, SocketAddr};

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [
        to_servers(net),
        to_clients(net),
        kinds(net),
        remembered(net),
        claimed(net),
        tunnelled(net),
        passed(net),
        lost(net),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Bytes of a header without options or extensions.
fn header(net: &Net) -> usize {
    if net.is_v6() { 40 } else { 20 }
}

/// "Too big": 1,400 bytes.
fn too_big(net: &Net) -> (u8, u8) {
    if net.is_v6() { (2, 0) } else { (3, 4) }
}

/// An error of that kind about a packet, of which it quotes so many bytes behind the header.
fn error(net: &Net, (from, to): (IpAddr, IpAddr), kind: (u8, u8), (about, bytes): (&Frame, usize)) -> Frame {
    let packet = about.packet();
    let quoted = packet.len().min(header(net) + bytes);
    Frame::icmp(from, to, kind, [0, 0, 0x05, 0x78]).payload(&packet[..quoted])
}

/// Where routers far away are.
fn far(net: &Net) -> IpAddr {
    net.unresolved_client.ip()
}

/// A packet that did not come through to the client.
fn lost_to_client(net: &Net, vip: SocketAddr) -> Frame {
    Frame::tcp(vip, net.client).ttl(3).payload(&[0x42; 60])
}

/// From a router on the way to the client.
fn from_afar(net: &Net, vip: SocketAddr, bytes: usize) -> Frame {
    arrives(error(net, (far(net), vip.ip()), too_big(net), (&lost_to_client(net, vip), bytes)))
}

/// What a server gets to see of it, which sent the packet to `client`.
fn for_server(net: &Net, vip: SocketAddr, client: SocketAddr, bytes: usize) -> Frame {
    let sent = lost_to_client(net, vip).from(net.servers[1]).to(client);
    leaves_for(error(net, (far(net), net.servers[1].ip()), too_big(net), (&sent, bytes)), 1)
}

fn to_servers(net: &'static Net) -> Vec<Case> {
    let mut cases = Vec::new();
    for bytes in [8, 16, 18, 20, 1_000] {
        let (direct, nat) = (from_afar(net, net.direct, bytes), from_afar(net, net.nat, bytes));
        let fullnat = from_afar(net, net.fullnat, bytes);
        cases.extend([
            net.sends(&format!("errors: direct, {bytes} bytes quoted"), &direct, &leaves_for(direct.clone(), 1))
                .notes(&[Note::Errors]),
            net.sends(
                &format!("errors: nat, {bytes} bytes quoted"),
                &nat,
                &for_server(net, net.nat, net.client, bytes),
            )
            .notes(&[Note::Errors]),
            net.sends(
                &format!("errors: fullnat, {bytes} bytes quoted"),
                &fullnat,
                &for_server(net, net.fullnat, lent(net, Protocol::Tcp, 0), bytes),
            )
            .after(net.tcp(net.fullnat).syn().bytes())
            .notes(&[Note::Errors]),
        ]);
    }
    cases
}

/// A packet that did not come through to server 1, or that it refused.
fn lost_to_server(net: &Net, client: SocketAddr) -> Frame {
    Frame::udp(client, net.servers[1]).ttl(3).payload(&[0x42; 60])
}

fn to_clients(net: &'static Net) -> Vec<Case> {
    let mut cases = Vec::new();
    let server = net.servers[1].ip();
    for bytes in [8, 1_000] {
        for (name, from, seen) in [("a router", net.hop, net.hop), ("the server", server, net.nat.ip())] {
            let input = answers(
                error(net, (from, net.client.ip()), too_big(net), (&lost_to_server(net, net.client), bytes)),
                1,
            );
            let sent = lost_to_server(net, net.client).to(net.nat);
            let output = leaves_for_client(error(net, (seen, net.client.ip()), too_big(net), (&sent, bytes)));
            cases.push(
                net.sends(&format!("errors: nat, from {name}, {bytes} bytes quoted"), &input, &output)
                    .notes(&[Note::Errors]),
            );

            let source = lent(net, Protocol::Udp, 0);
            let seen = if from == server { net.fullnat.ip() } else { from };
            let input =
                answers(error(net, (from, source.ip()), too_big(net), (&lost_to_server(net, source), bytes)), 1);
            let sent = lost_to_server(net, net.client).to(net.fullnat);
            let output = leaves_for_client(error(net, (seen, net.client.ip()), too_big(net), (&sent, bytes)));
            cases.push(
                net.sends(&format!("errors: fullnat, from {name}, {bytes} bytes quoted"), &input, &output)
                    .after(net.udp(net.fullnat).bytes())
                    .notes(&[Note::Errors]),
            );
        }
    }
    cases.push(quoted_sum_of_zero(net));
    cases
}

/// The quoted datagram's checksum comes out as 0, which would mean "none".
fn quoted_sum_of_zero(net: &'static Net) -> Case {
    let sent = |word: &[u8]| Frame::udp(net.client, net.nat).payload(word);
    let at = header(net) + 6;
    let word = &sent(&[0, 0]).packet()[at..at + 2];
    let ends = (net.servers[1].ip(), net.client.ip());
    let input = answers(error(net, ends, too_big(net), (&sent(word).to(net.servers[1]), 1_000)), 1);
    let output = error(net, (net.nat.ip(), net.client.ip()), too_big(net), (&sent(word), 1_000));
    net.sends("errors: a quoted sum of zero", &input, &leaves_for_client(output))
}

fn kinds(net: &'static Net) -> Vec<Case> {
    let about = lost_to_client(net, net.nat);
    let of = |kind| arrives(error(net, (far(net), net.nat.ip()), kind, (&about, 8)));
    let kinds: &[(u8, u8)] =
        if net.is_v6() { &[(1, 0), (1, 4), (3, 0), (4, 1)] } else { &[(3, 1), (3, 3), (4, 0), (11, 0), (12, 0)] };
    let mut cases = Vec::new();
    for kind in kinds {
        let sent = lost_to_client(net, net.nat).from(net.servers[1]);
        let output = leaves_for(error(net, (far(net), net.servers[1].ip()), *kind, (&sent, 8)), 1);
        cases.push(net.sends(&format!("errors: type {}, code {}", kind.0, kind.1), &of(*kind), &output));
    }
    let others: &[(u8, u8)] = if net.is_v6() { &[(137, 0), (100, 0), (135, 0)] } else { &[(5, 1), (13, 0), (17, 0)] };
    for kind in others {
        let name = format!("errors: type {} passes, and a redirect is nothing to forward", kind.0);
        cases.push(net.stops(&name, of(*kind).bytes(), Stop::NotBalanced));
    }
    if !net.is_v6() {
        let about = about.options(&[1; 12]);
        let input = arrives(error(net, (far(net), net.nat.ip()), (3, 1), (&about, 20)));
        let sent = about.from(net.servers[1]);
        let output = error(net, (far(net), net.servers[1].ip()), (3, 1), (&sent, 20));
        let options = |frame: Frame| frame.options(&[1; 4]);
        cases.push(net.sends("errors: options outside and inside", &options(input), &options(leaves_for(output, 1))));
    }
    cases
}

/// Somebody claimed a VIP's address, and so there is a way back to it, with the ends of what a server has sent to it.
fn claimed(net: &'static Net) -> Vec<Case> {
    let lost = Frame::tcp(net.nat, net.servers[4]).ttl(3);
    let of = |to: IpAddr, about: &Frame| error(net, (far(net), to), too_big(net), (about, 8));
    let (input, output) = (of(net.nat.ip(), &lost), of(net.servers[1].ip(), &lost.clone().from(net.servers[1])));
    vec![
        net.sends("errors: to a VIP that was a server's client", &arrives(input), &leaves_for(output, 1))
            .with(flag(net.nat, TRACK_FULL))
            .with(flag(net.other, TRACK_FULL))
            .after(arrives(Frame::tcp(net.nat, net.other).syn()).bytes())
            .notes(&[Note::Errors]),
    ]
}

/// The flow that an error is about is looked for like any other, but nothing is remembered of it.
fn remembered(net: &'static Net) -> Vec<Case> {
    let input = from_afar(net, net.direct, 8);
    let goes = |name, number| {
        net.sends(name, &input, &leaves_for(input.clone(), number)).notes(&[Note::Errors]).with(move |tables| {
            set_slots(tables, net.direct_ring(), Slot::new(net.id(2), net.id(1), true));
        })
    };
    let tracked = from_afar(net, net.nat, 8);
    let known = |tables: &mut lb_ebpf::testing::MemoryTables| {
        flag(net.nat, TRACK_FULL)(tables);
        tables.rings.insert(net.nat_ring(), ring_of(|_| net.id(2)));
        let row = Known { server: net.id(1), vip: net.vip_id(0), ..Known::default() };
        put_connection(tables, (net.client, net.nat), (net.client, net.servers[1]), row);
        put_connection(tables, (net.servers[1], net.client), (net.nat, net.client), Known { marks: BACK, ..row });
        set_returns(tables, net.servers[1], |row| Some(ReturnRow { vip: 0, ..row }));
    };
    let sent = lost_to_client(net, net.nat).from(net.servers[2]);
    let moved = leaves_for(error(net, (far(net), net.servers[2].ip()), too_big(net), (&sent, 8)), 2);
    let refused = Frame::tcp(net.client, net.servers[1]);
    let from_server = error(net, (net.servers[1].ip(), net.client.ip()), too_big(net), (&refused, 8));
    let to_client = error(net, (net.nat.ip(), net.client.ip()), too_big(net), (&refused.to(net.nat), 8));
    vec![
        goes("errors: a flow of before belongs to the old owner", 1),
        goes("errors: a flow that is known has its server", 3)
            .with(|tables| put_flow(tables, (net.client, net.direct), net.direct_ring(), net.id(3))),
        net.sends(
            "errors: a connection that is known has its server",
            &tracked,
            &for_server(net, net.nat, net.client, 8),
        )
        .with(known)
        .notes(&[Note::Errors]),
        net.sends("errors: a connection whose server is down has another", &tracked, &moved)
            .with(known)
            .with(|tables| set_state(tables, net, 1, ServerState::Down))
            .notes(&[Note::Errors]),
        net.sends(
            "errors: from a server behind two VIPs",
            &answers(from_server.clone(), 1),
            &leaves_for_client(to_client),
        )
        .with(known)
        .notes(&[Note::Errors]),
        net.stops("errors: about a flow that no VIP of the server has", answers(from_server, 1).bytes(), Stop::NotOurs)
            .with(known)
            .with(|tables| {
                tables.v4.connections.get_mut().clear();
                tables.v6.connections.get_mut().clear();
            }),
    ]
}

fn tunnelled(net: &'static Net) -> Vec<Case> {
    let (ipip, crossed) = (from_afar(net, net.ipip, 8), from_afar(net, net.crossed_ipip, 20));
    let (gue, crossed_gue) = (from_afar(net, net.gue, 8), from_afar(net, net.crossed_gue, 8));
    let in_udp = |frame: &Frame, over: &Net| {
        let udp = Some((0xc000, GUE_PORT, over.is_v6()));
        let tunnel = Tunnel { source: over.tunnels, destination: over.servers[1].ip(), udp };
        leaves_for(frame.clone(), 1).within(tunnel)
    };
    vec![
        net.sends("errors: ipip", &ipip, &wrapped(&ipip, net)),
        net.sends("errors: ipip over the other family", &crossed, &wrapped(&crossed, net.crossed())),
        net.sends("errors: gue", &gue, &in_udp(&gue, net)),
        net.sends("errors: gue over the other family", &crossed_gue, &in_udp(&crossed_gue, net.crossed())),
    ]
}

/// What concerns nobody behind us.
fn passed(net: &'static Net) -> Vec<Case> {
    let about = lost_to_client(net, net.nat);
    let ends = (far(net), net.nat.ip());
    let of = |about: &Frame, bytes| arrives(error(net, ends, too_big(net), (about, bytes))).bytes();
    let to_host = Frame::tcp(net.host, net.servers[1]);
    let from_server =
        |about: &Frame| answers(error(net, (net.servers[1].ip(), net.host.ip()), too_big(net), (about, 20)), 1).bytes();
    let ping = Frame::icmp(net.nat.ip(), far(net), (8, 0), [0; 4]);
    let unknown = lost_to_client(net, at_port(net.nat, 22));
    let mut cases = vec![
        net.stops("errors: seven bytes of ports and more", of(&about, 7), Stop::NotOurs),
        net.stops("errors: no quote", of(&about, 0), Stop::NotOurs),
        net.stops("errors: what somebody else sent", of(&about.clone().from(net.unknown_neighbour), 20), Stop::NotOurs),
        net.stops("errors: about a later fragment", of(&about.clone().fragment(9, false), 20), Stop::NotOurs),
        net.stops("errors: about a ping", of(&ping, 20), Stop::NotOurs),
        net.stops("errors: about an unknown port", of(&unknown, 20), Stop::NotOurs),
        net.stops("errors: about an unknown port of a VIP that the host owns", of(&unknown, 20), Stop::ToHost)
            .with(|tables| own(tables, net.nat.ip())),
        net.stops("errors: about this host's own flow", from_server(&to_host), Stop::ToHost),
        net.stops("errors: a server to this host about somebody else's flow", from_server(&about), Stop::ToHost),
        net.stops(
            "errors: one that ends in its header",
            arrives(Frame::icmp(ends.0, ends.1, too_big(net), [0; 4]).payload(b"")).bytes(),
            Stop::NotOurs,
        ),
        net.stops(
            "errors: a fragment of one",
            arrives(error(net, ends, too_big(net), (&about, 20)).fragment(0, true)).bytes(),
            Stop::NotBalanced,
        ),
    ];
    // Of a message of seven bytes not even the header is there.
    let mut short = of(&about, 20);
    short.truncate(ETHERNET + header(net) + 7);
    let length = if net.is_v6() { (ETHERNET + 4, 7) } else { (ETHERNET + 2, 27) };
    short[length.0..length.0 + 2].copy_from_slice(&u16::to_be_bytes(length.1));
    cases.push(net.stops("errors: one that ends before its header does", short, Stop::Truncated));
    if net.is_v6() {
        let extended = about.extensions(&[Extension::destination(1)]);
        cases.push(net.stops("errors: extensions in a quote are not followed", of(&extended, 40), Stop::NotOurs));
    }
    cases
}

/// What concerns somebody, but cannot be sent there.
fn lost(net: &'static Net) -> Vec<Case> {
    let nat = from_afar(net, net.nat, 8);
    let big = from_afar(net, net.nat, 1_000);
    let refused = lost_to_server(net, net.unrouted_client);
    let unrouted = error(net, (net.servers[1].ip(), net.unrouted_client.ip()), too_big(net), (&refused, 8));
    let stranger = Frame::udp(SocketAddr::new(net.pool[0], 9), net.servers[1]);
    let to_pool = error(net, (net.servers[1].ip(), net.pool[0]), too_big(net), (&stranger, 8));
    vec![
        net.stops("errors: time to live 1", nat.clone().ttl(1).bytes(), Stop::TtlExpired),
        net.stops("errors: the server is not resolved", nat.bytes(), Stop::NoNextHop)
            .with(|tables| set_hop(tables, net.id(1).into(), |hop| hop.resolved = 0)),
        net.stops("errors: no server", nat.bytes(), Stop::NoServer)
            .with(|tables| set_state(tables, net, 1, ServerState::Down)),
        net.stops("errors: fullnat, of no connection", from_afar(net, net.fullnat, 8).bytes(), Stop::NoConnection),
        net.stops(
            "errors: fullnat, of a connection whose server is down",
            from_afar(net, net.fullnat, 8).bytes(),
            Stop::NoConnection,
        )
        .after(net.tcp(net.fullnat).syn().bytes())
        .then(|tables| set_state(tables, net, 1, ServerState::Down)),
        net.stops("errors: to the pool, of no connection, passes", answers(to_pool, 1).bytes(), Stop::NotOurs),
        net.stops("errors: no route to the client", answers(unrouted, 1).bytes(), Stop::NoRoute),
        // Nobody is told that an error was too big (RFC 1122 §3.2.2, RFC 4443 §2.4).
        net.row("errors: one that is too big", big.bytes(), Expect::Stop(Stop::TooBig))
            .with(|tables| set_hop(tables, net.id(1).into(), |hop| hop.mtu = 100)),
    ]
}
