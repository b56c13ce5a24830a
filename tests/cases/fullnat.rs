//! `fullnat`: from an address of the pool to the server, back to the client.

use super::{Case, Expect, world::*};
use lb_common::{
    Be16, Family, Note, Protocol, ServerState, Stop,
    flow::{BACK, ConnectionRow},
};
use lb_ebpf::testing::{MemoryFamily, MemoryTables};
use lb_tests::packet::{Frame, flags::RST};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [forward(net), back(net), ports(net), forgotten(net)].into_iter().flatten().collect()
}

fn forward(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.fullnat).syn();
    let data = net.tcp(net.fullnat);
    let datagram = net.udp(net.fullnat);
    let reset = data.clone().flags(RST);
    let connected = |name, input: &Frame, protocol| sent(net, name, input, lent(net, protocol, 0));
    vec![
        connected("fullnat: a SYN makes a connection", &syn, Protocol::Tcp).notes(&[Note::HalfOpen]),
        connected("fullnat: a datagram makes one too", &datagram, Protocol::Udp).notes(&[Note::HalfOpen]),
        connected("fullnat: so does one without checksum", &datagram.clone().without_checksum(), Protocol::Udp),
        connected("fullnat: a segment establishes its connection", &data, Protocol::Tcp)
            .after(syn.bytes())
            .notes(&[Note::Connected]),
        connected("fullnat: the next one follows it", &data, Protocol::Tcp)
            .after(syn.bytes())
            .after(data.bytes())
            .notes(&[]),
        connected("fullnat: a repeated SYN establishes nothing", &syn, Protocol::Tcp).after(syn.bytes()).notes(&[]),
        connected("fullnat: nor does a reset", &reset, Protocol::Tcp).after(syn.bytes()).notes(&[]),
        connected("fullnat: a second datagram establishes", &datagram, Protocol::Udp)
            .after(datagram.bytes())
            .notes(&[Note::Connected]),
        net.stops("fullnat: a segment of no connection", data.bytes(), Stop::NoConnection),
        net.stops("fullnat: a reset of no connection", reset.bytes(), Stop::NoConnection),
        net.stops("fullnat: a VIP without a pool", syn.bytes(), Stop::BadTables)
            .with(|tables| set_vip(tables, net.fullnat, |vip| vip.sources_count = 0)),
        net.stops("fullnat: a fragment", datagram.clone().fragment(0, true).bytes(), Stop::Fragment),
        // The ring has moved on, the connection has not.
        connected("fullnat: a connection stays with its server", &data, Protocol::Tcp)
            .with(|tables| know(tables, net, 1))
            .with(|tables| {
                tables.rings.insert(net.nat_ring(), ring_of(|_| net.id(2)));
            }),
        connected("fullnat: a draining server keeps its connections", &data, Protocol::Tcp)
            .with(|tables| know(tables, net, 1))
            .with(|tables| set_state(tables, net, 1, ServerState::Drain)),
        net.stops("fullnat: a connection ends with its server", data.bytes(), Stop::NoConnection)
            .with(|tables| know(tables, net, 1))
            .with(|tables| set_state(tables, net, 1, ServerState::Down)),
    ]
}

fn back(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.fullnat).syn().bytes();
    let datagram = net.udp(net.fullnat).bytes();
    let reply = |frame: fn(SocketAddr, SocketAddr) -> Frame, protocol| {
        answers(frame(net.servers[1], lent(net, protocol, 0)), 1)
    };
    let to_client = |frame: &Frame| leaves_for_client(frame.clone()).from(net.fullnat).to(net.client);
    let bare = reply(Frame::tcp, Protocol::Tcp);
    let segment = bare.clone().syn_ack();
    let answer = reply(Frame::udp, Protocol::Udp);
    let stranger = answers(Frame::tcp(net.servers[1], SocketAddr::new(net.pool[0], 9)), 1);
    vec![
        net.sends("fullnat: a SYN-ACK goes back to the client", &segment, &to_client(&segment))
            .after(syn.clone())
            .notes(&[]),
        // A server may so answer a SYN that claims the ends of another one's (RFC 5961 §4): it says nothing of the client.
        net.sends("fullnat: what a server says establishes nothing", &bare, &to_client(&bare)).after(syn).notes(&[]),
        net.sends("fullnat: an answer establishes", &answer, &to_client(&answer))
            .after(datagram.clone())
            .notes(&[Note::Connected]),
        net.sends("fullnat: the next one follows", &answer, &to_client(&answer))
            .after(datagram)
            .after(answer.bytes())
            .notes(&[]),
        net.stops("fullnat: a reply of no connection", stranger.bytes(), Stop::NoConnection),
        net.stops("fullnat: what is for the host's own port at a pool's address", stranger.bytes(), Stop::ToHost)
            .with(|tables| own(tables, net.pool[0])),
        net.stops("fullnat: a fragment of a reply", answer.clone().fragment(0, true).bytes(), Stop::Fragment),
        net.stops(
            "fullnat: a fragment for the host at a pool's address",
            answer.fragment(0, true).bytes(),
            Stop::ToHost,
        )
        .with(|tables| net.pool.iter().for_each(|source| own(tables, *source))),
        net.stops(
            "fullnat: a later fragment for the host at a pool's address",
            stranger.fragment(9, false).bytes(),
            Stop::ToHost,
        )
        .with(|tables| own(tables, net.pool[0])),
    ]
}

/// Ports that others have already.
fn ports(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.fullnat).syn();
    let taken = |steps: u32| move |tables: &mut MemoryTables| (0..steps).for_each(|step| take(tables, net, step));
    let half_taken = |tables: &mut MemoryTables| {
        take(tables, net, 0);
        half_open(tables);
    };
    vec![
        sent(net, "fullnat: a port that is taken", &syn, lent(net, Protocol::Tcp, 1))
            .with(taken(1))
            .notes(&[Note::PortTaken, Note::HalfOpen]),
        sent(net, "fullnat: a port that a half-open connection has", &syn, lent(net, Protocol::Tcp, 1))
            .after(syn.bytes())
            .then(|tables| {
                lose(tables, net);
                forget(tables, net, false);
            })
            .notes(&[Note::PortTaken, Note::HalfOpen]),
        sent(
            net,
            "fullnat: a port that a half-open connection has had for too long",
            &syn,
            lent(net, Protocol::Tcp, 0),
        )
        .with(half_taken)
        .notes(&[Note::HalfOpen]),
        sent(net, "fullnat: seven ports that are taken", &syn, lent(net, Protocol::Tcp, 7)).with(taken(7)),
        net.stops("fullnat: all ports that are tried are taken", syn.bytes(), Stop::PortsExhausted)
            .with(taken(8))
            .notes(&[Note::PortTaken; 8]),
    ]
}

/// The table forgets the two directions of a connection each by itself.
fn forgotten(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.fullnat).syn(), net.tcp(net.fullnat));
    let source = lent(net, Protocol::Tcp, 0);
    vec![
        sent(net, "fullnat: a SYN whose way back is still known", &syn, source).with(|tables| {
            know(tables, net, 1);
            forget(tables, net, false);
        }),
        sent(net, "fullnat: the way back is made again", &data, source).with(|tables| {
            know(tables, net, 1);
            forget(tables, net, true);
        }),
        sent(net, "fullnat: the way back is made again at once", &data, source)
            .after(syn.bytes())
            .after(data.bytes())
            .then(|tables| forget(tables, net, true)),
        sent(net, "fullnat: a half-open way back is made again", &data, source)
            .after(syn.bytes())
            .then(|tables| forget(tables, net, true))
            .notes(&[Note::Connected]),
        sent(net, "fullnat: a repeated SYN whose port became another's", &syn, lent(net, Protocol::Tcp, 1))
            .after(syn.bytes())
            .then(|tables| lose(tables, net))
            .notes(&[Note::PortTaken, Note::HalfOpen]),
        net.stops("fullnat: a half-open connection whose port became another's", data.bytes(), Stop::NoConnection)
            .after(syn.bytes())
            .then(|tables| lose(tables, net)),
        net.stops("fullnat: a half-open connection whose port became an established one's", data.bytes(), {
            Stop::NoConnection
        })
        .after(syn.bytes())
        .then(|tables| {
            forget(tables, net, true);
            take(tables, net, 0);
        }),
        // Somebody else has the port by now: two flows with the same ends would be one to the server.
        net.stops("fullnat: a way back that became another's", data.bytes(), Stop::NoConnection).with(|tables| {
            know(tables, net, 1);
            forget(tables, net, true);
            take(tables, net, 0);
        }),
    ]
}

fn sent(net: &Net, name: &str, input: &Frame, source: SocketAddr) -> Case {
    let output = leaves_for(input.clone(), 1).from(source).to(net.servers[1]);
    net.row(name, input.bytes(), Expect::Transmit(output.bytes()))
}

/// Where the client's flow comes from, after so many ports that were taken: of the pool by the flow's hash, of the ports
/// below those of the host's own connections by its product with the golden ratio, and on by an odd number from its lowest
/// bits.
pub(super) fn lent(net: &Net, protocol: Protocol, steps: u32) -> SocketAddr {
    let scaled = |hash: u32, range: u32| u32::try_from((u64::from(hash) * u64::from(range)) >> 32).expect("32 bits");
    let hash = hash(net.client, net.fullnat, protocol);
    let first = scaled(hash.wrapping_mul(0x9e37_79b1), 31_744);
    let port = 1_024 + (first + steps * (hash & 0x3fff | 1)) % 31_744;
    let address = net.pool[usize::try_from(scaled(hash, 2)).expect("one of two")];
    SocketAddr::new(address, u16::try_from(port).expect("below 32,768"))
}

/// Puts the client's connection to a server into the table, both ways.
fn know(tables: &mut MemoryTables, net: &Net, number: usize) {
    let (source, server) = (lent(net, Protocol::Tcp, 0), net.servers[number]);
    let row = Known { server: net.id(number), vip: net.vip_id(7), ..Known::default() };
    put_connection(tables, (net.client, net.fullnat), (source, server), row);
    put_connection(tables, (server, source), (net.fullnat, net.client), Known { marks: BACK, ..row });
}

/// Takes a direction of that connection out again.
fn forget(tables: &mut MemoryTables, net: &Net, back: bool) {
    fn gone<F: Family>(of: &mut MemoryFamily<F>, back: bool) {
        for table in [&mut of.connections, &mut of.half_open] {
            table.get_mut().retain(|_, row| (F::unpack_connection(row).marks & BACK != 0) != back);
        }
    }
    if net.is_v6() { gone(&mut tables.v6, back) } else { gone(&mut tables.v4, back) }
}

/// Gives the port of the half-open connection to somebody else.
fn lose(tables: &mut MemoryTables, net: &Net) {
    fn lost<F: Family>(of: &mut MemoryFamily<F>) {
        for row in of.half_open.get_mut().values_mut() {
            let back = F::unpack_connection(row);
            if back.marks & BACK != 0 {
                *row = F::connection(ConnectionRow { destination_port: Be16::new(50_001), ..back });
            }
        }
    }
    if net.is_v6() { lost(&mut tables.v6) } else { lost(&mut tables.v4) }
}

/// Gives a port that would be lent to the client to somebody else.
fn take(tables: &mut MemoryTables, net: &Net, steps: u32) {
    let other = at_port(net.client, 50_001);
    let row = Known { server: net.id(1), vip: net.vip_id(7), marks: BACK };
    put_connection(tables, (net.servers[1], lent(net, Protocol::Tcp, steps)), (net.fullnat, other), row);
}
