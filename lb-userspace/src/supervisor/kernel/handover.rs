//! The kernel half between two binaries: the old one holds still, the new one makes ready beside it, and then puts its program
//! in the place of the old one.

use super::{
    Kernel, Program, follow_network,
    keeper::{Attachments, Keeper},
};
use crate::{
    dataplane::{
        attach,
        carry::Carry,
        load::{Frozen, Loaded, load},
        object::object,
        pins::Pins,
        rings::RingMaps,
        routing::RoutingMaps,
    },
    model::Global,
    supervisor::lock::Lock,
};
use anyhow::{Context, bail};
use std::path::Path;
use tracing::{error, info, warn};

/// A program that is loaded, and not attached yet or no more looked after.
pub(super) struct Held {
    loaded: Loaded,
    attachments: Attachments,
    /// What the maps of another schema hold, until the program is attached.
    carry: Option<Carry>,
}

/// A kernel half that is loaded beside the one that runs.
pub(in crate::supervisor) struct Prepared {
    loaded: Loaded,
    pins: Pins,
    lock: Lock,
    carry: Option<Carry>,
    fresh: Fresh,
}

/// What the binary that runs says of its maps.
#[derive(Clone, Copy, Debug)]
pub(in crate::supervisor) struct Running {
    /// Their schema.
    pub(in crate::supervisor) schema: u64,
    /// Rows of them mean what ours do, whatever the schema.
    pub(in crate::supervisor) may_carry: bool,
    /// Flows that cannot be carried may be dropped.
    pub(in crate::supervisor) drop_flows: bool,
}

/// Maps that nobody used before us. Dropped before it is [settled](Self::settle), they go.
#[derive(Default)]
pub(super) struct Fresh(Option<Pins>);

impl Fresh {
    fn settle(&mut self) {
        self.0 = None;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(pins) = self.0.take()
            && let Err(error) = pins.remove(&[pins.maps()])
        {
            warn!(error = format!("{:#}", anyhow::Error::from(error)), "cannot remove the maps that were made in vain");
        }
    }
}

impl Prepared {
    /// Loads the program and, if it needs others than are there, its maps. `lock`: that of the kernel half that runs.
    pub(in crate::supervisor) fn load(global: &Global, lock: Option<Lock>, running: &Running) -> anyhow::Result<Self> {
        let Running { schema, may_carry, drop_flows } = *running;
        let object = object()?;
        let pins = Pins::new(&global.pin_dir);
        let theirs = pins.of_schema(schema);
        if lock.is_some() && theirs != pins.maps() && pins.maps().exists() {
            pins.remove(&[pins.maps()])?; // Of an upgrade that was cut off; those who run do not use them.
        }
        pins.prepare()?;
        let lock = lock.map_or_else(|| Lock::on(pins.root()), Ok)?;
        let loaded = load(object, &pins, Frozen { hash_key: global.hash_key, track_budget: global.track_budget })?;
        let fresh = Fresh((!loaded.adopted).then(|| pins.clone()));
        let stale = if loaded.adopted { &[] } else { loaded.stale.as_slice() };
        let carry = match stale.iter().find(|directory| **directory == theirs).or_else(|| stale.first()) {
            None => None,
            Some(directory) if may_carry => carry(&pins, directory, drop_flows)?,
            Some(_) if drop_flows => None,
            Some(_) => bail!("{UNABLE}: their rows mean something else; {HELP}"),
        };
        Ok(Self { loaded, pins, lock, carry, fresh })
    }

    /// Fills the maps that are not the planner's, once nobody else does. The program is attached by [`Kernel::attach`].
    pub(in crate::supervisor) async fn follow(self, interfaces: &[String]) -> anyhow::Result<Kernel> {
        let Self { loaded, pins, lock, carry, fresh } = self;
        let mut rings = RingMaps::open(&pins)?;
        if let Some(carry) = &carry {
            carry.tables(&mut rings).context(UNABLE)?;
            let flows = carry.flows().context(UNABLE)?;
            info!(flows, "maps of another schema are carried over");
        }
        let routing = follow_network(&pins, &attach::numbers(interfaces)?).await?;
        let program = Program::Held(Box::new(Held { loaded, attachments: Vec::new(), carry }));
        Ok(Kernel { pins, rings, routing, program, lock, fresh })
    }
}

/// What flows in maps of another schema cannot be.
const UNABLE: &str = "flows cannot be carried over into the maps of this version";
/// What there is to do then.
const HELP: &str =
    "`sluice upgrade --drop-flows` goes on without them, and connections whose slots have moved may break";

fn carry(pins: &Pins, directory: &Path, drop_flows: bool) -> anyhow::Result<Option<Carry>> {
    match Carry::open(pins, directory) {
        Ok(carry) => Ok(Some(carry)),
        Err(error) if drop_flows => {
            warn!(error = format!("{:#}", anyhow::Error::from(error)), "flows are not carried over");
            Ok(None)
        }
        Err(error) => Err(anyhow::Error::from(error).context(format!("{UNABLE} ({HELP})"))),
    }
}

impl Kernel {
    /// The lock on the pin directory.
    pub(in crate::supervisor) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Writes no map and attaches nothing any more.
    pub(in crate::supervisor) async fn hold(&mut self) -> anyhow::Result<()> {
        self.routing.hold().await?;
        if let Program::Kept(keeper) = &mut self.program {
            let (loaded, attachments) = keeper.let_go().await.context("nobody looks after the program")?;
            self.program = Program::Held(Box::new(Held { loaded, attachments, carry: None }));
        }
        Ok(())
    }

    /// Goes on after [`hold`](Self::hold): the program is where it was before, whoever has replaced it meanwhile.
    pub(in crate::supervisor) fn go_on(&mut self, interfaces: &[String]) -> anyhow::Result<()> {
        if let Program::Held(held) = &mut self.program {
            let Held { loaded, attachments, .. } = &mut **held;
            for (name, attached) in attachments.iter_mut().filter(|(_, attached)| attached.is_ok()) {
                let again = attach::attach(loaded, &self.pins, std::slice::from_ref(name));
                match again.map(|mut again| again.pop()) {
                    Ok(Some(again)) => *attached = Ok(again),
                    Ok(None) => {}
                    Err(error) => *attached = Err(format!("{:#}", anyhow::Error::from(error))),
                }
            }
        }
        self.keep();
        self.routing.go_on(RoutingMaps::open(&self.pins)?)?;
        self.clear_up(interfaces); // What is left of the new one is in nobody's way.
        Ok(())
    }

    /// Puts the program in the place of the old one, in place where that runs, and looks after it from now on.
    pub(in crate::supervisor) fn attach(&mut self, interfaces: &[String]) -> anyhow::Result<()> {
        let Program::Held(held) = &mut self.program else { return Ok(()) };
        let Held { loaded, attachments, carry } = &mut **held;
        let attached = attach::attach(loaded, &self.pins, interfaces)?;
        self.routing.attached(attached.iter().map(|attached| attached.ifindex).collect())?;
        *attachments = attached.into_iter().map(|attached| (attached.interface.clone(), Ok(attached))).collect();
        if let Some(carry) = carry.take() {
            // Those that the old program has remembered since.
            let flows = carry.flows().context(UNABLE)?;
            info!(flows, "flows that came meanwhile are carried over");
        }
        self.keep();
        Ok(())
    }

    /// Removes what only the old program used: links of interfaces that are not among these, and maps of other schemas.
    pub(in crate::supervisor) fn clear_up(&mut self, interfaces: &[String]) {
        self.fresh.settle();
        match attach::detach_others(&self.pins, interfaces) {
            Ok(others) if others.is_empty() => {}
            Ok(others) => {
                info!(event = "detach", interfaces = ?others, "detached: the configuration no longer names them");
            }
            Err(error) => error!(error = format!("{:#}", anyhow::Error::from(error)), "cannot detach"),
        }
        if let Err(error) = self.pins.stale().and_then(|stale| self.pins.remove(&stale)) {
            error!(error = format!("{:#}", anyhow::Error::from(error)), "cannot remove the maps of another schema");
        }
    }

    /// Has the program looked after.
    fn keep(&mut self) {
        self.program = match std::mem::replace(&mut self.program, Program::Gone) {
            Program::Held(held) => {
                let Held { loaded, attachments, .. } = *held;
                Program::Kept(Keeper::start(loaded, self.pins.clone(), self.routing.clone(), attachments))
            }
            other @ (Program::Kept(_) | Program::Gone) => other,
        };
    }
}

impl Held {
    /// How the program runs where it was looked after.
    pub(super) fn attachments(&self) -> &Attachments {
        &self.attachments
    }
}
