//! Kernel and host come to the same end, whatever the frame.

use crate::{
    cases::{self, Case, world::*},
    namespace, set_clock,
};
use anyhow::{Context as _, Result, ensure};
use lb_common::{ServerState, hash::mix};
use lb_ebpf::testing::{MemoryTables, PacketBuf};
use lb_tests::object::{Action, Loaded};
use std::{collections::HashSet, mem};

/// Bytes in which mutations fall: all headers with the longest options.
const HEADERS: u64 = 90;
const MUTATED: u64 = 20_000;

/// Runs one frame through both, and returns what both did.
fn agree(loaded: &Loaded, tables: &MemoryTables, ingress: u32, input: &[u8]) -> Result<Action> {
    set_clock(tables)?;
    let mut packet = PacketBuf::new(input.to_vec(), ingress);
    let wanted = Action::of(lb_ebpf::run(&mut packet, tables));
    let (action, output) = loaded.run(ingress, input)?;
    ensure!(action == wanted, "kernel {action:?}, host {wanted:?}: {input:02x?}");
    ensure!(output == packet.bytes, "kernel\n{output:02x?}, host\n{:02x?}, from\n{input:02x?}", packet.bytes);
    Ok(action)
}

fn assert_counted_alike(loaded: &Loaded, tables: &MemoryTables) -> Result<()> {
    let (kernel, host) = (loaded.counted()?, tables.counted.borrow().clone());
    ensure!(kernel == host, "the kernel counted {kernel:?}, the host {host:?}");
    Ok(())
}

#[test]
fn on_every_truncation_of_every_row() -> Result<()> {
    namespace::enter()?;
    let mut loaded = Loaded::with(&tables())?;
    for Case { name, tables, ingress, input, .. } in cases::all() {
        if !loaded.can_hold(&tables) {
            loaded = Loaded::with(&tables)?;
        }
        loaded.fill(&tables)?;
        for length in (14..input.len()).take(120) {
            agree(&loaded, &tables, ingress, &input[..length]).with_context(|| name.clone())?;
        }
        assert_counted_alike(&loaded, &tables).with_context(|| name.clone())?;
    }
    Ok(())
}

/// Tables in which most things can happen: two interfaces, three servers in rings without a pattern, one of them down.
fn tables_of_all() -> MemoryTables {
    let mut tables = tables();
    two_armed(&mut tables);
    for net in [&NET4, &NET6] {
        set_state(&mut tables, net, 2, ServerState::Down);
        let of = |slot: usize| [net.id(1), net.id(2), net.id(3), 0][(mix(slot as u64 + 1) % 4) as usize];
        for ring in [net.nat_ring(), net.direct_ring()] {
            tables.rings.insert(ring, ring_of(of));
        }
    }
    tables
}

#[test]
fn on_thousands_of_mutated_frames() -> Result<()> {
    namespace::enter()?;
    let tables = tables_of_all();
    let loaded = Loaded::with(&tables)?;
    let rows = cases::all();
    let mut seen = HashSet::new();
    let mut random = Random(0x5eed);
    for _ in 0..MUTATED {
        let row = &rows[random.below(rows.len() as u64)];
        let mut frame = row.input.clone();
        frame.truncate(1_514);
        for _ in 0..random.below(4) {
            let at = random.below(HEADERS.min(frame.len() as u64));
            frame[at] = random.next().to_le_bytes()[0];
        }
        // Half of the mutations change the flow only, so that many of them are sent.
        if random.below(2) == 0 && frame.len() > 36 {
            let port = random.next().to_le_bytes();
            frame[34..36].copy_from_slice(&port[..2]);
        }
        if random.below(8) == 0 {
            frame.truncate(14 + random.below(frame.len() as u64 - 13));
        }
        let ingress = if random.below(2) == 0 { OUTSIDE } else { INSIDE };
        seen.insert(mem::discriminant(&agree(&loaded, &tables, ingress, &frame)?));
    }
    assert_counted_alike(&loaded, &tables)?;
    let counted = tables.counted.borrow();
    ensure!(seen.len() == 3, "not everything happened");
    let served = |id| counted.servers.get(&id).is_some_and(|row| row.packets > 0);
    for net in [&NET4, &NET6] {
        let served = [1, 2, 3, 4].map(|number| served(net.id(number)));
        ensure!(served == [true, false, true, true], "{:?}", counted.servers);
    }
    ensure!(counted.stops.len() >= 9, "{:?}", counted.stops);
    let sent: u64 = counted.vips.values().map(|row| row.packets + row.return_packets).sum();
    ensure!(sent > MUTATED / 8, "only {sent} frames were sent");
    Ok(())
}

/// The same numbers in every run: a difference that was found once is found again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    /// Less than `bound`.
    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).expect("64 bits")
    }
}
