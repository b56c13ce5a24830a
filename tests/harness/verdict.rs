//! The smallest XDP program there is: it gives every packet the same verdict.
//!
//! A veth device hands over what its peer sends by XDP only if it has a program of its own, so the far end of the
//! balancer's cable needs one that passes everything. Two instructions do not warrant a compiler: they are written down
//! here and wrapped in the ELF file that a loader wants.

use crate::{netns::Namespace, process};
use anyhow::{Context, Result};
use aya::{Ebpf, programs::Xdp};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Symbol, SymbolSection},
};
use std::{fs, path::Path};

/// What an XDP program returns: `enum xdp_action` of linux/bpf.h.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Verdict {
    /// On to the stack.
    Pass = 2,
    /// Out of the device it came in by.
    Transmit = 3,
}

/// Attaches the program to a device, in the driver. It belongs to the device and goes with it.
pub fn attach(verdict: Verdict, namespace: &Namespace, device: &str, lab: &str) -> Result<()> {
    let elf = elf(verdict)?;
    let mut loaded = Ebpf::load(&elf).context("loading the two-instruction program")?;
    let program: &mut Xdp = loaded.program_mut("verdict").context("no program in the object")?.try_into()?;
    program.load()?;
    // By way of a pin, because `ip` attaches without a link: no descriptor has to stay open for a lab that is kept.
    let pin = format!("/sys/fs/bpf/{lab}-verdict");
    program.pin(Path::new(&pin))?;
    let attached = process::run(namespace.command("ip").args(["link", "set", "dev", device, "xdpdrv", "pinned", &pin]));
    fs::remove_file(&pin)?;
    attached.map(drop)
}

/// Whether this computer lets us load a program at all.
pub(crate) fn can_load() -> Result<()> {
    let mut loaded = Ebpf::load(&elf(Verdict::Pass)?)?;
    let program: &mut Xdp = loaded.program_mut("verdict").context("no program in the object")?.try_into()?;
    Ok(program.load()?)
}

fn elf(verdict: Verdict) -> Result<Vec<u8>> {
    let instructions = [
        [0xb7, 0, 0, 0, verdict as u8, 0, 0, 0], // r0 = verdict
        [0x95, 0, 0, 0, 0, 0, 0, 0],             // exit
    ]
    .concat();
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let section = object.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
    object.append_section_data(section, &instructions, 8);
    object.add_symbol(Symbol {
        name: b"verdict".to_vec(),
        value: 0,
        size: instructions.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    Ok(object.write()?)
}
