//! Which VIP: of one port, of all ports, of no port, and one whose clients meet at one server.

use super::{Case, Expect, world::*};
use lb_common::{
    Be16, Family, Protocol, Stop, V4, V6,
    slots::slot_of,
    vip::flags::{AFFINITY, ANY_PORT, FRAGMENTS_HASH, FRAGMENTS_ONLY, POOL},
};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::Frame;
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [any_port(net), affinity(net), addresses(net)].into_iter().flatten().collect()
}

/// A VIP of all ports. Server 3 has none of its own, and answers from each.
fn any_port(net: &'static Net) -> Vec<Case> {
    let (wild, some) = (at_port(net.nat, 0), at_port(net.nat, 777));
    let server = at_port(net.servers[3], 777);
    let input = net.tcp(some);
    let to_server = leaves_for(input.clone(), 3).to(server);
    let reply = answers(Frame::tcp(server, net.client), 3);
    let all = |tables: &mut MemoryTables| {
        copy_vip(tables, (net.nat, wild), |_| {});
        remove_vip(tables, net.nat);
        flag_address(tables, net.nat.ip(), ANY_PORT);
        tables.rings.insert(net.nat_ring(), ring_of(|_| net.id(3)));
        any_reply(tables, net);
    };
    vec![
        net.sends("all ports: a packet keeps its port", &input, &to_server).with(all),
        net.sends("all ports: a reply keeps its port", &reply, &leaves_for_client(reply.clone()).from(some)).with(all),
        net.sends("all ports: port 0 is one of them", &net.tcp(wild), &{
            leaves_for(net.tcp(wild), 3).to(at_port(net.servers[3], 0))
        })
        .with(all),
        net.sends("all ports: a VIP of the port comes first", &input, &leaves_for(input.clone(), 1).to(net.servers[1]))
            .with(all)
            .with(|tables| copy_vip(tables, (wild, some), |row| row.ring = net.direct_ring())),
        net.sends("all ports: a server with a port gets all of them there", &input, &{
            leaves_for(input.clone(), 1).to(net.servers[1])
        })
        .with(all)
        .with(|tables| {
            tables.rings.insert(net.nat_ring(), ring_of(|_| net.id(1)));
        }),
        net.stops("all ports: without the mark of the address nobody looks", input.bytes(), Stop::UnknownPort)
            .with(|tables| copy_vip(tables, (net.nat, wild), |_| {})),
        net.stops("all ports: a row for fragments alone serves no port", input.bytes(), Stop::UnknownPort)
            .with(|tables| copy_vip(tables, (net.nat, wild), |row| row.flags = FRAGMENTS_ONLY | FRAGMENTS_HASH)),
        net.stops("all ports: nor does it serve port 0", net.tcp(wild).bytes(), Stop::UnknownPort)
            .with(|tables| copy_vip(tables, (net.nat, wild), |row| row.flags = FRAGMENTS_ONLY | FRAGMENTS_HASH)),
    ]
}

/// Everything that server 3 says is a reply of the VIP.
fn any_reply(tables: &mut MemoryTables, net: &Net) {
    fn row<F: Family>(rows: &mut std::collections::BTreeMap<F::Endpoint, F::Return>, net: &Net) -> Option<F::Endpoint> {
        let server = at_port(net.servers[3], net.nat.port());
        let key = F::endpoint(addr::<F>(server.ip()), port(server), Protocol::Tcp.number());
        let row = rows.remove(&key)?;
        let any = F::endpoint(addr::<F>(server.ip()), Be16::new(0), Protocol::Tcp.number());
        rows.insert(any, row);
        Some(any)
    }
    if net.is_v6() {
        let key = row::<V6>(&mut tables.v6.returns, net).expect("a server");
        tables.v6.returns.get_mut(&key).expect("a row").vip_port = Be16::new(0);
    } else {
        let key = row::<V4>(&mut tables.v4.returns, net).expect("a server");
        tables.v4.returns.get_mut(&key).expect("a row").vip_port = Be16::new(0);
    }
}

/// The control connection of FTP, and one of its data connections.
fn affinity(net: &'static Net) -> Vec<Case> {
    let (control, data) = (at_port(net.direct, 21), at_port(net.direct, 30_021));
    // Where the client alone counts; the hash of the flow would lead elsewhere.
    let slot = slot_of(source_hash(net));
    let sends = |name, client: SocketAddr, vip: SocketAddr| {
        let frame = arrives(Frame::tcp(client, vip).syn());
        assert_ne!(slot, slot_of(hash(client, vip, Protocol::Tcp)));
        net.sends(name, &frame, &leaves_for(frame.clone(), 2)).with(|tables| {
            for vip in [control, data] {
                copy_vip(tables, (net.direct, vip), |row| row.flags |= AFFINITY);
            }
            tables.rings.insert(net.direct_ring(), ring_of(|at| net.id(if at == slot { 2 } else { 1 })));
        })
    };
    vec![
        sends("affinity: the control connection goes where the client belongs", net.client, control),
        sends("affinity: a data connection meets it there", at_port(net.client, 51_234), data),
    ]
}

fn source_hash(net: &Net) -> u32 {
    if net.is_v6() {
        V6::source_hash(HASH_KEY, addr::<V6>(net.client.ip()))
    } else {
        V4::source_hash(HASH_KEY, addr::<V4>(net.client.ip()))
    }
}

/// What else an address may be.
fn addresses(net: &'static Net) -> Vec<Case> {
    let known = net.tcp(net.nat);
    let unknown = net.tcp(at_port(net.nat, 22));
    let sent = leaves_for(known.clone(), 1).to(net.servers[1]);
    let pooled = |tables: &mut MemoryTables| flag_address(tables, net.nat.ip(), POOL);
    vec![
        net.sends("a VIP that the host owns is served", &known, &sent).with(|tables| own(tables, net.nat.ip())),
        net.stops("another port of a VIP that the host owns is the host's", unknown.bytes(), Stop::ToHost)
            .with(|tables| own(tables, net.nat.ip())),
        net.sends("a VIP that is in a pool is served", &known, &sent).with(pooled),
        net.stops("another port of a VIP in a pool is of no connection", unknown.bytes(), Stop::NoConnection)
            .with(pooled),
        net.row("a VIP's row without a port's", unknown.bytes(), Expect::Stop(Stop::UnknownPort)),
    ]
}
