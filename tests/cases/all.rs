//! Golden rows: a packet, the tables, and what must come out. `tests/packets` runs them on the host, `tests/kernel` runs
//! the same rows through the kernel object and expects the same, byte for byte.

pub(crate) mod world;

mod direct;
mod drop;
mod errors;
mod extensions;
mod fragments;
mod fullnat;
mod marked_down;
mod mss;
mod nat;
mod pass;
pub(crate) mod ping;
mod refused;
mod ring;
mod slots;
mod tags;
mod too_big;
mod tracked;
mod tunnels;
mod vips;
mod withdrawn;

use lb_common::{Note, Stop};
use lb_ebpf::testing::MemoryTables;

/// One row.
pub(crate) struct Case {
    /// What it promises.
    pub(crate) name: String,
    /// What is known.
    pub(crate) tables: MemoryTables,
    /// Frames that come before, each at the interface of arrival. What becomes of them other rows tell.
    pub(crate) earlier: Vec<Vec<u8>>,
    /// What the daemon changes after those.
    pub(crate) change: Option<Change>,
    /// The interface of arrival.
    pub(crate) ingress: u32,
    /// The frame as it arrives.
    pub(crate) input: Vec<u8>,
    /// What must become of it.
    pub(crate) expect: Expect,
    /// What else must be counted of it, if this row tells of that.
    pub(crate) notes: Option<Vec<Note>>,
}

/// A change of the tables.
pub(crate) type Change = Box<dyn Fn(&mut MemoryTables)>;

/// What becomes of a frame.
pub(crate) enum Expect {
    /// It leaves through the interface of arrival.
    Transmit(Vec<u8>),
    /// It leaves through another one.
    Redirect(Vec<u8>),
    /// It is passed on or dropped, as it came.
    Stop(Stop),
    /// Something else goes back in its place.
    Answer(Stop, Vec<u8>),
}

impl Case {
    /// The same with other tables.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut MemoryTables)) -> Self {
        change(&mut self.tables);
        self
    }

    /// The same after another frame came.
    pub(crate) fn after(mut self, frame: Vec<u8>) -> Self {
        self.earlier.push(frame);
        self
    }

    /// The same after the daemon changed the tables.
    pub(crate) fn then(mut self, change: impl Fn(&mut MemoryTables) + 'static) -> Self {
        self.change = Some(Box::new(change));
        self
    }

    /// What else must be counted.
    pub(crate) fn notes(mut self, notes: &[Note]) -> Self {
        self.notes = Some(notes.to_vec());
        self
    }
}

/// Every row.
pub(crate) fn all() -> Vec<Case> {
    let families = [&world::NET4, &world::NET6].into_iter().flat_map(|net| {
        [
            nat::cases,
            direct::cases,
            tunnels::cases,
            fullnat::cases,
            tracked::cases,
            ring::cases,
            slots::cases,
            vips::cases,
            withdrawn::cases,
            refused::cases,
            marked_down::cases,
            fragments::cases,
            ping::cases,
            errors::cases,
            too_big::cases,
            tags::cases,
            mss::cases,
            pass::cases,
            drop::cases,
        ]
        .into_iter()
        .flat_map(move |cases| cases(net))
    });
    families.chain(pass::of_no_family()).chain(extensions::cases()).collect()
}
