//! Slots that change hands: from server 1 to server 2, while flows go on.

use super::{Case, world::*};
use lb_common::{Note, ServerState, Slot, vip::flags::AFFINITY};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::{
    Frame,
    flags::{ACK, FIN},
};

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [changing(net), changed(net), failing(net), refused(net), by_client(net)].into_iter().flatten().collect()
}

/// While the slots change hands.
fn changing(net: &'static Net) -> Vec<Case> {
    let (syn, data, datagram) = (net.tcp(net.nat).syn(), net.tcp(net.nat), net.udp(net.nat));
    let goes = |name, frame: &Frame, number| goes(net, name, frame, number).with(slots(net, 2, 1));
    vec![
        goes("slots: a SYN goes to the new owner", &syn, 2).notes(&[Note::Tracked]),
        goes("slots: a segment of before belongs to the old owner", &data, 1).notes(&[Note::Tracked]),
        goes("slots: a datagram belongs to the old owner", &datagram, 1).notes(&[Note::Tracked]),
        goes("slots: a segment follows its SYN", &data, 2).after(syn.bytes()).notes(&[]),
        goes("slots: a repeated SYN follows the first one", &syn, 2).after(syn.bytes()).notes(&[]),
        goes("slots: a FIN follows too", &data.clone().flags(FIN | ACK), 2).after(syn.bytes()).notes(&[]),
        goes("slots: a segment follows one of before", &data, 1).after(data.bytes()).notes(&[]),
        goes("slots: a SYN with the ports of a flow stays with its server", &syn, 1).after(data.bytes()).notes(&[]),
        goes("slots: a draining server takes no SYN with old ports", &syn, 2)
            .after(data.bytes())
            .with(|tables| set_state(tables, net, 1, ServerState::Drain))
            .notes(&[Note::Tracked]),
        goes("slots: a draining server keeps its flows", &data, 1)
            .with(|tables| set_state(tables, net, 1, ServerState::Drain))
            .notes(&[Note::Tracked]),
    ]
}

/// Afterwards the flow table is asked as long as the slot is marked.
fn changed(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let known = |tables: &mut MemoryTables| put_flow(tables, (net.client, net.nat), net.nat_ring(), net.id(1));
    let marked = |name, frame: &Frame, number| goes(net, name, frame, number).with(slots(net, 2, 2));
    vec![
        marked("slots: a flow that is known stays after the change", &data, 1).with(known).notes(&[]),
        marked("slots: a flow that is not known has gone with the slot", &data, 2).notes(&[]),
        marked("slots: a new flow needs no entry after the change", &syn, 2).notes(&[]),
        goes(net, "slots: without the mark nobody asks the table", &data, 2)
            .with(known)
            .with(|tables| set_slots(tables, net.nat_ring(), Slot::of(net.id(2))))
            .notes(&[]),
        marked("slots: a SYN with old ports leaves a draining server", &syn, 2)
            .with(known)
            .with(|tables| set_state(tables, net, 1, ServerState::Drain))
            .notes(&[Note::Tracked]),
        marked("slots: a flow leaves a server that is down", &data, 2)
            .with(known)
            .with(|tables| set_state(tables, net, 1, ServerState::Down))
            .notes(&[Note::Tracked]),
    ]
}

/// A server fails while its slots change hands.
fn failing(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let goes = |name, frame: &Frame, number| goes(net, name, frame, number).with(slots(net, 2, 1));
    let down = |number| move |tables: &mut MemoryTables| set_state(tables, net, number, ServerState::Down);
    vec![
        goes("slots: the old owner fails", &data, 2).with(down(1)).notes(&[Note::Reselected, Note::Tracked]),
        goes("slots: the new owner fails, and a SYN takes the chain", &syn, 1)
            .with(|tables| {
                tables.rings.insert(
                    net.nat_ring(),
                    ring_of_slots(|slot| {
                        let own = lb_common::slots::slot_of(hash(net.client, net.nat, lb_common::Protocol::Tcp));
                        if slot == own { Slot::new(net.id(2), net.id(3), true) } else { Slot::of(net.id(1)) }
                    }),
                );
            })
            .with(down(2))
            .notes(&[Note::Reselected, Note::Tracked]),
        goes("slots: the new owner fails, flows of before stay", &data, 1).with(down(2)).notes(&[Note::Tracked]),
    ]
}

/// The table takes nothing more.
fn refused(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let goes = |name, frame: &Frame, number| goes(net, name, frame, number).with(slots(net, 2, 1));
    let spent = |case: Case| case.with(|tables| tables.track_budget = 0);
    let full = |case: Case| {
        case.with(|tables| tables.max_flows = 1).with(|tables| {
            put_flow(tables, (at_port(net.client, 1), net.nat), net.nat_ring(), net.id(1));
        })
    };
    let down = |number| move |tables: &mut MemoryTables| set_state(tables, net, number, ServerState::Down);
    let drains = |tables: &mut MemoryTables| {
        put_flow(tables, (net.client, net.nat), net.nat_ring(), net.id(3));
        set_state(tables, net, 3, ServerState::Drain);
    };
    let to_third = |name, frame: &Frame| {
        let output = leaves_for(frame.clone(), 3).to(at_port(net.servers[3], net.nat.port()));
        net.sends(name, frame, &output).with(slots(net, 2, 1))
    };
    vec![
        spent(goes("slots: without a budget a SYN stays with the old owner", &syn, 1)).notes(&[Note::BudgetSpent]),
        spent(goes("slots: without a budget a segment stays there too", &data, 1)).notes(&[Note::BudgetSpent]),
        spent(goes("slots: without a budget, and the old owner is down", &syn, 2))
            .with(down(1))
            .notes(&[Note::BudgetSpent]),
        full(goes("slots: with a full table a SYN stays with the old owner", &syn, 1)).notes(&[Note::FlowsFull]),
        full(goes("slots: with a full table a segment stays there too", &data, 1)).notes(&[Note::FlowsFull]),
        goes("slots: a full table takes another server for a flow that it has", &data, 2)
            .with(|tables| tables.max_flows = 1)
            .with(|tables| put_flow(tables, (net.client, net.nat), net.nat_ring(), net.id(1)))
            .with(down(1))
            .notes(&[Note::Reselected, Note::Tracked]),
        // The table still names the draining server: so must the answer to the SYN.
        spent(to_third("slots: without a budget a SYN goes where its flow is known to go", &syn))
            .with(drains)
            .notes(&[Note::BudgetSpent]),
    ]
}

/// With source affinity the table knows clients.
fn by_client(net: &'static Net) -> Vec<Case> {
    let (syn, data) = (net.tcp(net.nat).syn(), net.tcp(net.nat));
    let second = arrives(Frame::tcp(at_port(net.client, 40_001), at_port(net.nat, 30_000)).syn());
    let goes = |name, frame: &Frame, number| {
        goes(net, name, frame, number).with(slots(net, 2, 1)).with(flag(net.nat, AFFINITY)).with(|tables| {
            copy_vip(tables, (net.nat, at_port(net.nat, 30_000)), |_| {});
        })
    };
    vec![
        goes("slots: a client is not new for a SYN", &syn, 1).notes(&[Note::Tracked]),
        goes("slots: a client of before stays", &data, 1).notes(&[Note::Tracked]),
        goes("slots: a client that is known is known at every port", &second, 1).after(syn.bytes()).notes(&[]),
        goes("slots: a client that is known at another backend is not known", &second, 2)
            .after(syn.bytes())
            .then(|tables| {
                set_slots(tables, net.other_ring(), Slot::new(net.id(2), net.id(2), true));
                copy_vip(tables, (net.nat, at_port(net.nat, 30_000)), |row| row.ring = net.other_ring());
            })
            .notes(&[]),
        goes("slots: a client stays with a draining server", &second, 1)
            .after(syn.bytes())
            .with(|tables| set_state(tables, net, 1, ServerState::Drain))
            .notes(&[]),
    ]
}

fn goes(net: &Net, name: &str, input: &Frame, number: usize) -> Case {
    net.sends(name, input, &leaves_for(input.clone(), number).to(net.servers[number]))
}

/// Gives all slots of the ring to a new owner and an old one, with the mark.
fn slots(net: &'static Net, current: usize, previous: usize) -> impl Fn(&mut MemoryTables) {
    move |tables| set_slots(tables, net.nat_ring(), Slot::new(net.id(current), net.id(previous), true))
}
