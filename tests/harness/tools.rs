//! The object of `lb-ebpf/tools`: XDP programs that stand beside the balancer and never ship.

pub mod rearm;
pub mod reference;

use crate::{netns::Namespace, process};
use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::PerCpuArray,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use lb_userspace::dataplane::load::verify;
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
    /// Opens tunnels that end here. See [`TunnelEnd`](crate::tunnel::TunnelEnd).
    Decapsulate,
    /// Puts VLAN tags on. See [`Vlan`](crate::vlan::Vlan).
    VlanPush,
    /// Takes VLAN tags off.
    VlanPop,
}

impl Program {
    /// The name of its entry point.
    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PassPlain => "pass_plain",
            Self::Transmit => "transmit",
            Self::Decapsulate => "decapsulate",
            Self::VlanPush => "vlan_push",
            Self::VlanPop => "vlan_pop",
        }
    }
}

/// A program with an object of its own: with its own settings and counters.
#[derive(Debug)]
pub struct Loaded {
    object: Ebpf,
    program: Program,
}

impl Loaded {
    /// Loads it, with values of the object's own set before.
    pub fn with<'a>(program: Program, set: impl FnOnce(&mut EbpfLoader<'a>)) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        set(&mut loader);
        let mut object = loader.load(object()?)?;
        load(&mut object, program.name())?;
        Ok(Self { object, program })
    }

    /// Attaches it to a device, in the driver, in place of any other. It belongs to the device from then on and goes with
    /// it.
    pub fn attach(&mut self, namespace: &Namespace, device: &str, lab: &str) -> Result<()> {
        // By way of a pin, because `ip` attaches without a link: no descriptor has to stay open for a lab that is kept.
        let pin = format!("/sys/fs/bpf/{lab}-tool");
        let name = self.program.name();
        let program: &mut Xdp =
            self.object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
        program.pin(Path::new(&pin))?;
        let attached = process::run(
            namespace.command("ip").args(["-force", "link", "set", "dev", device, "xdpdrv", "pinned", &pin]),
        );
        fs::remove_file(&pin)?;
        attached.map(drop)
    }

    /// What it does to a frame: the number of its verdict, and the frame afterwards.
    pub fn run(&self, frame: &[u8]) -> Result<(u32, Vec<u8>)> {
        /// Room for what a program may add.
        const SLACK: usize = 64;
        let mut output = vec![0; frame.len() + SLACK];
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut output), ..TestRunOptions::default() };
        let result = loaded(&self.object, self.program.name())?.test_run(options)?;
        output.truncate(result.data_size_out as usize);
        Ok((result.return_value, output))
    }

    /// What all CPUs have counted in a row of a map.
    pub fn counted(&self, map: &str, row: u32) -> Result<u64> {
        let rows = self.object.map(map).with_context(|| format!("no map {map}"))?;
        Ok(PerCpuArray::<_, u64>::try_from(rows)?.get(&row, 0)?.iter().sum())
    }
}

/// Attaches a program that needs no settings.
pub fn attach(program: Program, namespace: &Namespace, device: &str, lab: &str) -> Result<()> {
    Loaded::with(program, |_| {})?.attach(namespace, device, lab)
}

/// Whether this computer lets us load a program at all.
pub(crate) fn can_load() -> Result<()> {
    load(&mut Ebpf::load(object()?)?, Program::Pass.name()).map(drop)
}

/// Loads the program of this name and returns it.
fn load<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program: &mut Xdp = object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    verify(program).with_context(|| format!("loading {name}"))?;
    Ok(program)
}

/// A program that was loaded before.
fn loaded<'a>(object: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    Ok(object.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
