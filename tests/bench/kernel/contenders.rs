//! Who is measured, with maps that were filled for it.

use super::{
    network::{Net, ROUTER_MAC},
    rows::{Load, Program, Rival},
    tables,
};
use anyhow::{Context, Result};
use aya::programs::{ProgramFd, ProgramInfo};
use lb_common::maps::{CONNECTIONS6, FLOWS6, HALF_OPEN4, HALF_OPEN6, MAX_CONNECTIONS4, MAX_FLOWS4};
use lb_ebpf::testing::MemoryTables;
use lb_tests::{object::Loaded, tools::reference::Reference};
use lb_userspace::dataplane::object::object;
use std::{fs, path::Path, thread, time::Duration};

/// By default there is room for fewer connections of IPv6, and for fewer that are half-open, than are measured.
const ROOM: [(&str, u32); 4] = [
    (CONNECTIONS6, MAX_CONNECTIONS4),
    (HALF_OPEN4, MAX_CONNECTIONS4),
    (HALF_OPEN6, MAX_CONNECTIONS4),
    (FLOWS6, MAX_FLOWS4),
];

pub(super) struct Contenders {
    /// One a family, so that neither finds its flows among the other's.
    reference4: Reference,
    reference6: Reference,
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
        let tables = tables::tables();
        Ok(Self {
            reference4: reference(Net::V4)?,
            reference6: reference(Net::V6)?,
            sluice: Loaded::from_bytes(object()?, &tables, &ROOM)?,
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
    pub(super) fn program(&mut self, program: Program, net: Net, load: Load) -> Result<&ProgramFd> {
        let program = match program {
            Program::Reference => {
                let reference = match net {
                    Net::V4 => &mut self.reference4,
                    Net::V6 => &mut self.reference6,
                };
                reference.set_flooded(load == Load::New)?;
                reference.program()?
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

/// The reference, which balances the first VIP.
fn reference(net: Net) -> Result<Reference> {
    let servers: Vec<_> = (1..=tables::SERVERS).map(|number| net.server(0, number).ip()).collect();
    Reference::load(net.vip(0), &servers, ROUTER_MAC).context("the reference")
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
        Ok(Self::Sluice(Box::new(Loaded::from_bytes(&fs::read(path)?, tables, &ROOM)?)))
    }
}
