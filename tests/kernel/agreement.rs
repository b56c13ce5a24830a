//! Kernel and host come to the same end, whatever the frame.

use crate::{
    cases::{self, Case},
    namespace,
};
use anyhow::{Context as _, Result, ensure};
use lb_common::{Stop, hash::HashKey, maps::MAX_VIPS};
use lb_ebpf::{
    Verdict,
    testing::{self, Counted, MemoryTables, PacketBuf},
};
use lb_tests::{
    object::{Action, Loaded, Remembered},
    packet::Frame,
};
use lb_tests_traffic::world::{self, NET4, NET6};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    ops::Range,
};

/// Loaded objects, one for each way in which what is frozen at loading may be.
#[derive(Default)]
pub(crate) struct Kernels(BTreeMap<(HashKey, u32, usize), Loaded>);

impl Kernels {
    /// An object that holds these tables.
    pub(crate) fn holding(&mut self, tables: &MemoryTables) -> Result<&mut Loaded> {
        match self.0.entry((tables.hash_key, tables.track_budget, tables.max_flows)) {
            Entry::Occupied(there) => {
                let loaded = there.into_mut();
                loaded.fill(tables)?;
                Ok(loaded)
            }
            Entry::Vacant(free) => Ok(free.insert(Loaded::with(tables)?)),
        }
    }

    /// An object to which all has happened that comes before a row's frame, and nothing been counted.
    pub(crate) fn begin(&mut self, case: &mut Case) -> Result<&mut Loaded> {
        let loaded = self.holding(&case.tables)?;
        for frame in mem::take(&mut case.earlier) {
            agree(loaded, &case.tables, case.ingress, &frame)?;
        }
        if let Some(change) = case.change.take() {
            remembered_alike(loaded, &case.tables)?;
            change(&mut case.tables);
        }
        *case.tables.counted.get_mut() = Counted::default();
        loaded.fill(&case.tables)?;
        Ok(loaded)
    }
}

/// What became of a frame, and the frame afterwards.
pub(crate) struct Fate {
    pub(crate) outcome: Result<Verdict, Stop>,
    pub(crate) bytes: Vec<u8>,
}

/// Runs one frame on the host, by the kernel's clock.
pub(crate) fn host(tables: &MemoryTables, ingress: u32, input: &[u8]) -> Result<Fate> {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    tables.now.set(u64::try_from(now.tv_sec)? * 1_000_000_000 + u64::try_from(now.tv_nsec)?);
    let mut packet = PacketBuf::new(input.to_vec(), ingress);
    let outcome = testing::run(&mut packet, tables);
    Ok(Fate { outcome, bytes: packet.bytes })
}

/// Runs one frame through both, and returns what became of it.
pub(crate) fn agree(loaded: &Loaded, tables: &MemoryTables, ingress: u32, input: &[u8]) -> Result<Fate> {
    let Fate { outcome, bytes } = host(tables, ingress, input)?;
    let (action, output) = loaded.run(ingress, input)?;
    ensure!(action == Action::of(outcome), "kernel {action:?}, host {outcome:?}: {input:02x?}");
    ensure!(output == bytes, "kernel\n{output:02x?}, host\n{bytes:02x?}, from\n{input:02x?}");
    Ok(Fate { outcome, bytes })
}

/// Whether both counted, said and remembered the same.
pub(crate) fn left_alike(loaded: &Loaded, tables: &MemoryTables) -> Result<()> {
    let (kernel, host) = (loaded.counted()?, tables.counted.borrow());
    ensure!(kernel == *host, "the kernel counted {kernel:?}, the host {host:?}");
    remembered_alike(loaded, tables)
}

fn remembered_alike(loaded: &Loaded, tables: &MemoryTables) -> Result<()> {
    let (kernel, host) = (loaded.remembered()?, Remembered::of(tables));
    ensure!(kernel == host, "the kernel remembers {kernel:?}, the host {host:?}");
    Ok(())
}

/// Lengths of a frame that end in its headers.
fn lengths(input: &[u8]) -> Range<usize> {
    14..input.len().min(134)
}

#[test]
fn on_every_truncation_of_every_row() -> Result<()> {
    namespace::enter()?;
    let mut kernels = Kernels::default();
    for mut case in cases::all() {
        let name = case.name.clone();
        let loaded = kernels.begin(&mut case).with_context(|| name.clone())?;
        let Case { tables, ingress, input, .. } = case;
        for length in lengths(&input) {
            agree(loaded, &tables, ingress, &input[..length]).with_context(|| name.clone())?;
        }
        left_alike(loaded, &tables).context(name)?;
    }
    Ok(())
}

/// As many VIPs as there may be: some are in the first line of their key, some in the second.
#[test]
fn on_all_vips_of_a_table_that_has_no_room_for_more() -> Result<()> {
    namespace::enter()?;
    let mut tables = world::tables();
    let (mut clients, mut wanted) = (Vec::new(), 0);
    for net in [&NET4, &NET6] {
        let (vip, there) = (net.direct, if net.is_v6() { tables.v6.vips.len() } else { tables.v4.vips.len() });
        for number in 0..u16::try_from(MAX_VIPS as usize - there)? / 2 {
            let at = world::at_port(vip, 10_000 + number);
            world::copy_vip(&mut tables, (vip, at), |_| {});
            clients.push(world::arrives(Frame::tcp(net.client, at)).bytes());
            wanted += 1;
        }
    }
    let loaded = &mut Loaded::with(&tables)?;
    let mut sent = 0;
    // In one half and in the other.
    for _ in 0..2 {
        for client in &clients {
            sent += usize::from(agree(loaded, &tables, world::OUTSIDE, client)?.outcome.is_ok());
        }
        world::set_vip(&mut tables, NET4.nat, |vip| vip.flags ^= 1);
        world::set_vip(&mut tables, NET6.nat, |vip| vip.flags ^= 1);
        loaded.change(&tables)?;
    }
    ensure!(sent == 2 * wanted, "{sent} of {} packets were sent", 2 * wanted);
    Ok(())
}
