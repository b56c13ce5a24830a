//! Timing XDP programs: each run gets a packet that was made anew, and what that costs can be told apart.

use super::{Program, load, loaded, object};
use crate::raw::Raw;
use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, ProgramArray},
    programs::{ProgramFd, TestRun, TestRunOptions},
};
use lb_ebpf_tools::rows::rearm::{PLAN, PROGRAM, PROGRAM_PLAIN, Plan, TARGET, TARGET_PLAIN, TEMPLATE, Varies};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::{ops::Range, time::Duration};

/// Room behind a frame for what a program puts in front of it.
const SLACK: usize = 256;

/// Frames that differ in their flow alone.
#[derive(Clone, Debug)]
pub struct Packets {
    /// The frame, from the Ethernet header on; at least [`TEMPLATE`] bytes.
    pub frame: Vec<u8>,
    /// Which address and port name the flow. A flow below 2^16 has the frame's own address.
    pub varies: Varies,
    /// The flows, one after the other and then from the first again.
    pub flows: Range<u32>,
    /// The flow that comes next.
    pub next: u32,
}

/// What came of many runs.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Time of this thread, which does not count while others have the CPU.
    pub time: Duration,
    /// What the last run answered.
    pub action: u32,
    /// The frame after the last run.
    pub frame: Vec<u8>,
}

/// The wrapper, and the program inside it.
pub struct Rearm {
    object: Ebpf,
    /// Whether the program inside takes frames of several pages.
    frags: bool,
}

impl Rearm {
    /// Loads the wrapper, with a program inside that does nothing.
    pub fn load() -> Result<Self> {
        let mut object = Ebpf::load(object()?)?;
        for name in [PROGRAM, PROGRAM_PLAIN, Program::Pass.name(), Program::PassPlain.name()] {
            load(&mut object, name)?;
        }
        let mut rearm = Self { object, frags: true };
        rearm.empty()?;
        Ok(rearm)
    }

    /// Puts a program inside.
    pub fn put(&mut self, program: &ProgramFd) -> Result<()> {
        // The kernel does not say which kind a program is, only that it is not of the array's.
        self.frags = self.array(TARGET)?.set(0, program, 0).is_ok();
        if !self.frags {
            self.array(TARGET_PLAIN)?.set(0, program, 0).context("the kernel cannot jump to this program")?;
        }
        Ok(())
    }

    /// Puts a program inside that does nothing, of the kind of the last one.
    pub fn empty(&mut self) -> Result<()> {
        let (array, nothing) = if self.frags { (TARGET, Program::Pass) } else { (TARGET_PLAIN, Program::PassPlain) };
        let nothing = loaded(&self.object, nothing.name())?.fd()?.try_clone()?;
        Ok(self.array(array)?.set(0, &nothing, 0)?)
    }

    /// Runs the program over `count` packets, and says so if any of them could not be made.
    pub fn run(&mut self, packets: &mut Packets, count: u32) -> Result<Runs> {
        let mut plans: Array<_, Raw<Plan>> = Array::try_from(self.object.map_mut(PLAN).context("no plan")?)?;
        plans.set(0, Raw(plan(packets)?), 0)?;
        let mut frame = vec![0; packets.frame.len() + SLACK];
        let wrapper = loaded(&self.object, if self.frags { PROGRAM } else { PROGRAM_PLAIN })?;
        let start = clock_gettime(ClockId::ThreadCPUTime);
        let result = wrapper.test_run(TestRunOptions {
            data_in: Some(&packets.frame),
            data_out: Some(&mut frame),
            repeat: count,
            ..TestRunOptions::default()
        })?;
        let time = since(start)?;
        let plans: Array<_, Raw<Plan>> = Array::try_from(self.object.map(PLAN).context("no plan")?)?;
        let Raw(plan) = plans.get(&0, 0)?;
        ensure!(plan.failed == 0, "{} of {count} packets could not be made", plan.failed);
        packets.next = plan.next;
        frame.truncate(result.data_size_out as usize);
        Ok(Runs { time, action: result.return_value, frame })
    }

    fn array(&mut self, name: &str) -> Result<ProgramArray<&mut aya::maps::MapData>> {
        Ok(ProgramArray::try_from(self.object.map_mut(name).with_context(|| format!("no map {name}"))?)?)
    }
}

fn since(start: Timespec) -> Result<Duration> {
    let passed = clock_gettime(ClockId::ThreadCPUTime).checked_sub(start).context("time went back")?;
    Ok(Duration::new(passed.tv_sec.try_into()?, passed.tv_nsec.try_into()?))
}

fn plan(packets: &Packets) -> Result<Plan> {
    let Packets { frame, varies, flows, next } = packets;
    let (address_at, _) = varies.places();
    let template = frame.get(..TEMPLATE).with_context(|| format!("{} bytes are too short a frame", frame.len()))?;
    ensure!(flows.contains(next), "flow {next} is not in {flows:?}");
    Ok(Plan {
        template: bytemuck::try_pod_read_unaligned(template).map_err(|error| anyhow::anyhow!("{error}"))?,
        length: frame.len().try_into()?,
        varies: *varies as u32,
        address: bytemuck::pod_read_unaligned(template.get(address_at..address_at + 4).context("no address")?),
        first: flows.start,
        end: flows.end,
        next: *next,
        frame_end: 0,
        failed: 0,
    })
}
