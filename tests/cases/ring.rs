//! Which server: the slot of the flow, and the chain from a server that takes nothing.

use super::{Case, Expect, world::*};
use lb_common::{
    ServerId, ServerState, Stop,
    hash::flow_hash_v4,
    slots::{next_slot, slot_of},
};
use lb_ebpf::{select::TRIES, testing::MemoryTables};
use lb_tests::packet::Frame;

pub(crate) fn cases() -> Vec<Case> {
    let up = tables();
    let first_down = || with_state(tables(), 1, ServerState::Down);
    let chain: [usize; TRIES] = std::array::from_fn(slot);
    let last = slot(TRIES - 1);
    vec![
        goes("the slot of the flow names the server", up.clone(), &|at| if at == chain[0] { 2 } else { 0 }, Some(2)),
        goes("a draining server keeps its slots", with_state(up, 2, ServerState::Drain), &|_| 2, Some(2)),
        goes(
            "a dead server's flow takes the next slot",
            first_down(),
            &|at| if at == chain[1] { 2 } else { 1 },
            Some(2),
        ),
        goes("an empty slot's flow takes the next slot", tables(), &|at| if at == chain[1] { 2 } else { 0 }, Some(2)),
        goes("the eighth slot is the last one tried", first_down(), &|at| if at == last { 2 } else { 1 }, Some(2)),
        goes("no ninth slot is tried", first_down(), &|at| if chain.contains(&at) { 1 } else { 2 }, None),
    ]
}

/// The slot of the row's flow after `steps` along the chain.
fn slot(steps: usize) -> usize {
    let protocol = lb_common::Protocol::Tcp;
    let key = tables().hash_key;
    let hash = flow_hash_v4(key, addr(CLIENT), port(CLIENT), addr(NAT_VIP), port(NAT_VIP), protocol);
    (0..steps).fold(slot_of(hash), |slot, _| next_slot(slot))
}

fn goes(
    name: &'static str,
    mut tables: MemoryTables,
    ring: &dyn Fn(usize) -> ServerId,
    server: Option<ServerId>,
) -> Case {
    tables.rings.insert(NAT_RING, ring_of(ring));
    let input = arrives(Frame::tcp(CLIENT, NAT_VIP));
    let expect = match server {
        Some(id) => Expect::Transmit(leaves_for(input.clone(), id).to(SERVERS[usize::from(id)]).bytes()),
        None => Expect::Stop(Stop::NoServer),
    };
    Case { name, tables, ingress: OUTSIDE, input: input.bytes(), expect }
}
