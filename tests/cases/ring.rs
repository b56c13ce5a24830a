//! Which server: the slot of the flow, and the chain from a server that takes nothing.

use super::{Case, Expect, world::*};
use lb_common::{
    Note, Protocol, ServerState, Stop,
    slots::{next_slot, slot_of},
};
use lb_ebpf::select::TRIES;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    let down = |case: Case| case.with(|tables| set_state(tables, net, 1, ServerState::Down));
    let chain: [usize; TRIES] = std::array::from_fn(|steps| slot(net, steps));
    let last = chain[TRIES - 1];
    vec![
        goes(net, "the slot of the flow names the server", &|at| if at == chain[0] { 2 } else { 0 }, Some(2))
            .notes(&[]),
        goes(net, "a draining server keeps its slots", &|_| 2, Some(2))
            .with(|tables| set_state(tables, net, 2, ServerState::Drain))
            .notes(&[]),
        // The flow is remembered: when the server returns, it must stay where it is now.
        down(goes(net, "a dead server's flow takes the next slot", &|at| if at == chain[1] { 2 } else { 1 }, Some(2)))
            .notes(&[Note::Reselected, Note::Tracked]),
        goes(net, "an empty slot's flow takes the next slot", &|at| if at == chain[1] { 2 } else { 0 }, Some(2)),
        down(goes(net, "the eighth slot is the last one tried", &|at| if at == last { 2 } else { 1 }, Some(2))),
        down(goes(net, "no ninth slot is tried", &|at| if chain.contains(&at) { 1 } else { 2 }, None)).notes(&[]),
    ]
}

/// The slot of the row's flow after `steps` along the chain.
fn slot(net: &Net, steps: usize) -> usize {
    (0..steps).fold(slot_of(hash(net.client, net.nat, Protocol::Tcp)), |slot, _| next_slot(slot))
}

/// `ring`: the number of the server of each slot.
fn goes(net: &'static Net, name: &str, ring: &dyn Fn(usize) -> usize, server: Option<usize>) -> Case {
    let input = net.tcp(net.nat);
    let expect = match server {
        Some(number) => Expect::Transmit(leaves_for(input.clone(), number).to(net.servers[number]).bytes()),
        None => Expect::Stop(Stop::NoServer),
    };
    let id = |number| if number == 0 { 0 } else { net.id(number) };
    net.row(name, input.bytes(), expect).with(|tables| {
        tables.rings.insert(net.nat_ring(), ring_of(|slot| id(ring(slot))));
    })
}
