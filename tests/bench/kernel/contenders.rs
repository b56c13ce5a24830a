//! Who is measured, with maps that were filled for it.

#[path = "../../cases/all.rs"]
#[expect(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "written for tests; of the golden rows only their network is wanted here"
)]
#[cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "as above; in a test it is no matter"))]
mod cases;

pub(super) use cases::world;

use super::rows::{Load, Program, Rival};
use anyhow::{Context, Result};
use aya::programs::{ProgramFd, ProgramInfo};
use lb_common::{ServerEntry, ServerId, hash::mix};
use lb_ebpf::testing::MemoryTables;
use lb_tests::{object::Loaded, tools::reference::Reference};
use std::{fs, net::Ipv4Addr, path::Path, thread, time::Duration};

/// Servers of each backend: enough that their rows are not all in one cache line.
const SERVERS: ServerId = 100;
/// The id of the first; those below belong to the golden rows.
const FIRST: ServerId = 5;

pub(super) struct Contenders {
    reference: Reference,
    sluice: Loaded,
    against: Option<Against>,
}

/// What `--against` names.
enum Against {
    /// Another build of Sluice.
    Sluice(Box<Loaded>),
    /// A program with maps that somebody else has filled.
    Pinned(ProgramFd),
}

impl Contenders {
    pub(super) fn load(against: Option<&Path>) -> Result<Self> {
        let tables = tables()?;
        let vip = world::DIRECT_VIP.into();
        let servers: Vec<_> = (0..SERVERS).map(|number| address(FIRST + number).into()).collect();
        Ok(Self {
            reference: Reference::load(vip, &servers, world::ROUTER_MAC).context("the reference")?,
            sluice: Loaded::with(&tables)?,
            against: against
                .map(|path| Against::load(path, &tables).with_context(|| path.display().to_string()))
                .transpose()?,
        })
    }

    /// What `--against` turned out to be.
    pub(super) fn rival(&self) -> Option<Rival> {
        Some(match self.against.as_ref()? {
            Against::Sluice(_) => Rival::Sluice,
            Against::Pinned(_) => Rival::Foreign,
        })
    }

    /// Waits until a foreign program must have forgotten the flood that it was sent, if there is one.
    pub(super) fn wait_for_calm(&self) {
        if self.rival() == Some(Rival::Foreign) {
            thread::sleep(Duration::from_millis(1_100));
        }
    }

    /// The program, ready for this load.
    pub(super) fn program(&mut self, program: Program, load: Load) -> Result<&ProgramFd> {
        let program = match program {
            Program::Reference => {
                self.reference.set_flooded(load == Load::New)?;
                self.reference.program()?
            }
            Program::Sluice => self.sluice.program()?,
            Program::Against => match self.against.as_ref().context("nothing to race against")? {
                Against::Sluice(loaded) => loaded.program()?,
                Against::Pinned(program) => return Ok(program),
            },
        };
        Ok(program.fd()?)
    }
}

/// New flows that come before those that are timed. What Katran and the reference cost in a flood is of interest, and not
/// what they cost before they guard themselves against it, which is a multiple: they do so at 125,000 in a second.
pub(super) fn flood(program: Program) -> u32 {
    if program == Program::Against { 150_000 } else { 1_000 }
}

impl Against {
    fn load(path: &Path, tables: &MemoryTables) -> Result<Self> {
        const BPF_FS: &str = "/sys/fs/bpf";
        if path.starts_with(BPF_FS) {
            return Ok(Self::Pinned(ProgramInfo::from_pin(path)?.fd()?));
        }
        Ok(Self::Sluice(Box::new(Loaded::from_bytes(&fs::read(path)?, tables)?)))
    }
}

/// The network of the golden rows, with more servers, and rings without a pattern.
fn tables() -> Result<MemoryTables> {
    let mut tables = world::tables();
    let first = *tables.servers.get(&1).context("the golden rows have no server 1")?;
    for number in 0..SERVERS {
        let id = FIRST + number;
        let server = ServerEntry { identity: u64::from(id) << 32, addr: address(id).into(), ..first };
        tables.servers.insert(id, server);
    }
    for ring in [world::NAT_RING, world::DIRECT_RING] {
        tables.rings.insert(ring, world::ring_of(server_of));
    }
    Ok(tables)
}

/// The server of a slot.
fn server_of(slot: usize) -> ServerId {
    FIRST + ServerId::try_from(mix(slot as u64) % u64::from(SERVERS)).unwrap_or(0)
}

fn address(id: ServerId) -> Ipv4Addr {
    let [high, low] = id.to_be_bytes();
    Ipv4Addr::new(10, 0, 1 + high, low)
}
