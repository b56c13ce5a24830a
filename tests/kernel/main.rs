//! The kernel object: the golden rows through `BPF_PROG_TEST_RUN`, and that kernel and host agree on many more packets.
//! Needs root, or CAP_BPF with CAP_NET_ADMIN and CAP_SYS_ADMIN for the namespaces.
#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "a test that meets these has failed")]

#[path = "../cases/all.rs"]
mod cases;
mod agreement;
mod differential;
mod decapsulation;
mod tagging;
mod loading;
mod namespace;
mod tools;

use agreement::Kernels;
use anyhow::{Context as _, Result, ensure};
use cases::{Case, Expect, world};
use lb_common::{Stop, maps::EVENTS_BYTES};
use lb_ebpf::Verdict;
use lb_tests::{
    object::{Action, Loaded},
    packet::Frame,
};

#[test]
fn every_row_comes_out_as_promised() -> Result<()> {
    namespace::enter()?;
    let mut kernels = Kernels::default();
    for mut case in cases::all() {
        let loaded = kernels.begin(&mut case).with_context(|| case.name.clone())?;
        let Case { name, tables, ingress, input, expect, .. } = case;
        let (action, output) = loaded.run(ingress, &input)?;
        let (wanted, bytes) = match expect {
            Expect::Transmit(bytes) => (Action::Sent(Verdict::Transmit), bytes),
            Expect::Redirect(bytes) => (Action::Sent(Verdict::Redirect), bytes),
            Expect::Stop(stop) => (Action::of(Err(stop)), input.clone()),
            Expect::Answer(stop, bytes) => (Action::of(Err(stop)), bytes),
        };
        ensure!(action == wanted, "{name}: {action:?}, not {wanted:?}");
        ensure!(output == bytes, "{name}:\n{output:02x?}, not\n{bytes:02x?}");
        let _fate = agreement::host(&tables, ingress, &input)?;
        agreement::left_alike(loaded, &tables).context(name)?;
    }
    Ok(())
}

/// Nobody reads the events here, as when the daemon is away. A record takes 24 bytes with its header.
#[test]
fn a_flood_of_packets_without_a_next_hop_fills_the_events_and_is_dropped_all_the_same() -> Result<()> {
    const FLOOD: u32 = EVENTS_BYTES / 24 * 2;
    namespace::enter()?;
    let loaded = Loaded::with(&world::tables())?;
    let lost = Frame::tcp(world::NET4.servers[1], world::NET4.unknown_neighbour).bytes();
    loaded.time(&lost, FLOOD)?;
    let counted = loaded.counted()?;
    ensure!(counted.stops == [(Stop::NoNextHop as u32, FLOOD.into())].into(), "{:?}", counted.stops);
    let said = counted.unresolved.len();
    ensure!((1_000..=EVENTS_BYTES as usize / 24).contains(&said), "{said} events");
    let (action, _) = loaded.run(world::OUTSIDE, &lost)?;
    ensure!(action == Action::Dropped && loaded.counted()?.unresolved.len() == 1, "after reading there is room again");
    Ok(())
}
