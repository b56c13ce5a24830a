//! The object of `lb-ebpf/tools`: XDP programs that stand beside the balancer and never ship.

pub mod rearm;
pub mod reference;

use crate::{netns::Namespace, process};
use anyhow::{Context, Result, ensure};
use aya::{Ebpf, programs::Xdp};
use std::{fs, path::Path};

/// What `build.rs` left in `OUT_DIR`, at an address that an ELF reader may use.
static EMBEDDED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-ebpf-tools"));

/// The object: an ELF file for BPF with BTF maps.
pub fn object() -> Result<&'static [u8]> {
    ensure!(!EMBEDDED.is_empty(), "built with SLUICE_EBPF_SKIP, so there is no object inside; build again without");
    Ok(EMBEDDED)
}

/// A program of the object that needs no map to be filled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// Every frame goes on to the stack.
    Pass,
    /// The same, for frames of one page only.
    PassPlain,
    /// Every frame leaves by the device that it came in by.
    Transmit,
}

impl Program {
    /// The name of its entry point.
    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PassPlain => "pass_plain",
            Self::Transmit => "transmit",
        }
    }
}

/// Attaches a program to a device, in the driver. It belongs to the device and goes with it.
pub fn attach(program: Program, namespace: &Namespace, device: &str, lab: &str) -> Result<()> {
    let name = program.name();
    let mut object = Ebpf::load(object()?)?;
    // By way of a pin, because `ip` attaches without a link: no descriptor has to stay open for a lab that is kept.
    let pin = format!("/sys/fs/bpf/{lab}-tool");
    load(&mut object, name)?.pin(Path::new(&pin))?;
    let attached = process::run(namespace.command("ip").args(["link", "set", "dev", device, "xdpdrv", "pinned", &pin]));
    fs::remove_file(&pin)?;
    attached.map(drop)
}

/// Whether this computer lets us load a program at all.
pub(crate) fn can_load() -> Result<()> {
    load(&mut Ebpf::load(object()?)?, Program::Pass.name()).map(drop)
}

/// Loads the program of this name and returns it.
fn load<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program: &mut Xdp = object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    program.load().with_context(|| format!("loading {name}"))?;
    Ok(program)
}

/// A program that was loaded before.
fn loaded<'a>(object: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    Ok(object.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
