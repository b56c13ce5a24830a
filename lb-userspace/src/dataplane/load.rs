//! The supervisor loads the kernel object: maps that are pinned already are adopted, but only if they look right.

use super::{
    object::NoObject,
    pins::{Pins, PinsError},
    raw::Raw,
    shape::{MapUnusable, typed, unusable},
};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, MapData},
    programs::{ProgramError, Xdp},
};
use lb_common::{
    RingHead,
    hash::HashKey,
    maps::{RING_HEADS, names},
};
use rustix::thread::{CapabilitySet, capabilities};
use std::{error::Error, io, path::PathBuf, thread, time::Duration};

/// The name of the XDP program in the object.
pub(super) const PROGRAM: &str = "sluice";
/// The names of [`Frozen`] among the object's read-only data.
pub(super) const HASH_KEY: &str = "HASH_KEY";
pub(super) const TRACK_BUDGET: &str = "TRACK_BUDGET";
/// Lines of the verifier's log that an error shows: the last ones say what was wrong.
const LOG_LINES: usize = 20;
/// How often the kernel is asked to verify the program; libbpf asks as often.
const VERIFICATIONS: u32 = 5;
/// The pause after the first refusal; each further one is as much longer.
const PAUSE: Duration = Duration::from_millis(10);

/// The kernel half, loaded but not attached.
#[derive(Debug)]
pub struct Loaded {
    object: Ebpf,
    /// Whether maps of an earlier run were adopted, with what is in them.
    pub adopted: bool,
    /// Directories of other map schemas. Remove them by [`Pins::remove`] once [`attach`](super::attach::attach) has
    /// replaced the program that uses them.
    pub stale: Vec<PathBuf>,
}

impl Loaded {
    /// Prints what the kernel half logs, from now on, in a task of the current runtime.
    #[cfg(feature = "kernel-log")]
    pub fn follow_log(&mut self) {
        const PAUSE: Duration = Duration::from_millis(50);
        match aya_log::EbpfLogger::init(&mut self.object) {
            Ok(mut logger) => drop(tokio::task::spawn_local(async move {
                loop {
                    logger.flush();
                    tokio::time::sleep(PAUSE).await;
                }
            })),
            Err(error) => tracing::warn!(%error, "cannot follow the log of the kernel half"),
        }
    }

    /// The XDP program.
    pub(super) fn program(&mut self) -> Result<&mut Xdp, LoadError> {
        let program = self.object.program_mut(PROGRAM).ok_or(LoadError::NoProgram)?;
        program.try_into().map_err(program_error)
    }

    /// The kernel's id of the program.
    pub fn program_id(&mut self) -> Result<u32, LoadError> {
        Ok(self.program()?.info().map_err(program_error)?.id())
    }
}

/// Why the kernel half cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Built without the kernel half.
    #[error(transparent)]
    NoObject(#[from] NoObject),
    /// Not what the build makes.
    #[error("the kernel object has no XDP program `{PROGRAM}`")]
    NoProgram,
    /// The pin directory.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// A pinned map is not one of ours, or of another shape.
    #[error(
        "a pinned map cannot be adopted; `sluice detach` removes all pins, and forwarding stops until the next start"
    )]
    Map(#[from] MapUnusable),
    /// Some privilege is missing.
    #[error("not permitted to load the kernel half: {0}")]
    NotPermitted(&'static str, #[source] Box<dyn Error + Send + Sync>),
    /// The kernel knows no BTF, or not that of our maps.
    #[error(
        "the kernel does not take the object's type information (BTF); it needs CONFIG_DEBUG_INFO_BTF and Linux 5.15 or later"
    )]
    NoBtf(#[source] Box<EbpfError>),
    /// The verifier says no.
    #[error("the kernel's verifier refuses the program:\n{log}")]
    Verifier {
        /// The last lines of what it said.
        log: String,
        /// What the system call returned.
        #[source]
        error: io::Error,
    },
    /// Anything else.
    #[error("cannot load the kernel half")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

/// What the program has for constants: the verifier knows them, and nobody changes them while it is loaded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Frozen {
    /// The key of the flow hash: `[global] hash_key`.
    pub hash_key: HashKey,
    /// Insertions into the flow table a second and CPU: `[global] track_budget`.
    pub track_budget: u32,
}

/// Loads `object`, with its maps pinned below `pins`. Nothing is attached.
pub fn load(object: &[u8], pins: &Pins, frozen: Frozen) -> Result<Loaded, LoadError> {
    if object.is_empty() {
        return Err(NoObject.into());
    }
    pins.prepare()?;
    let adopted = match found(pins)? {
        Found::Nothing => false,
        Found::Whole => true,
        Found::Part { missing } => {
            tracing::warn!(
                missing = missing.join(", "),
                below = %pins.maps().display(),
                "not all maps are pinned that belong together: all are made anew, and nothing is remembered of flows"
            );
            pins.remove(&[pins.maps()])?;
            pins.prepare()?;
            false
        }
    };
    let loaded = load_pinned(object, pins, frozen, adopted);
    if loaded.is_err() && !adopted {
        pins.remove(&[pins.maps()])?; // Nobody uses what a load that failed has pinned.
        pins.remove_empty();
    }
    loaded
}

fn load_pinned(object: &[u8], pins: &Pins, frozen: Frozen, adopted: bool) -> Result<Loaded, LoadError> {
    let mut loader = EbpfLoader::new();
    let Frozen { hash_key, track_budget } = frozen;
    loader.override_global(HASH_KEY, &hash_key, true);
    loader.override_global(TRACK_BUDGET, &track_budget, true);
    for name in names() {
        loader.map_pin_path(name, pins.map(name));
    }
    let object = loader.load(object).map_err(object_error)?;
    let mut loaded = Loaded { object, adopted, stale: pins.stale()? };
    for name in names() {
        pins.open(name)?; // a map that the object makes smaller than lb-common says would be read past its end
    }
    verify(loaded.program()?).map_err(program_error)?;
    Ok(loaded)
}

/// Loads `program`, whatever comes in between: the verifier gives up with EAGAIN when a signal or a freezer wants the
/// thread.
pub fn verify(program: &mut Xdp) -> Result<(), ProgramError> {
    let disturbed = |error: &ProgramError| matches!(error, ProgramError::LoadError { io_error, .. } if io_error.kind() == io::ErrorKind::WouldBlock);
    repeat(|| program.load(), disturbed)
}

fn repeat<E>(mut load: impl FnMut() -> Result<(), E>, disturbed: impl Fn(&E) -> bool) -> Result<(), E> {
    for tried in 1..VERIFICATIONS {
        match load() {
            Err(error) if disturbed(&error) => thread::sleep(PAUSE * tried),
            result => return result,
        }
    }
    load()
}

/// What is pinned already.
#[derive(Debug, Eq, PartialEq)]
enum Found {
    Nothing,
    /// All that belongs together.
    Whole,
    /// A daemon was killed when it had pinned some of it, or somebody removed some. What is there says nothing without the rest.
    Part {
        missing: Vec<String>,
    },
}

/// Opens every map that is pinned already: none may look otherwise than it must.
fn found(pins: &Pins) -> Result<Found, LoadError> {
    let (there, missing): (Vec<_>, Vec<_>) = names().partition(|name| pins.map(name).exists());
    there.iter().try_for_each(|name| pins.open(name).map(drop))?;
    if there.is_empty() {
        return Ok(if pins.ringed()?.is_empty() { Found::Nothing } else { Found::Part { missing: own(&missing) } });
    }
    let missing = if missing.is_empty() { rings_without_map(pins)? } else { own(&missing) };
    Ok(if missing.is_empty() { Found::Whole } else { Found::Part { missing } })
}

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Rings that have a backend, but no map that is pinned.
fn rings_without_map(pins: &Pins) -> Result<Vec<String>, LoadError> {
    let heads: Array<MapData, Raw<RingHead>> = typed(RING_HEADS, pins.open(RING_HEADS)?)?;
    let mut missing = Vec::new();
    for (ring, head) in (0..).zip(heads.iter()) {
        let Raw(head) = head.map_err(|error| unusable(RING_HEADS, error))?;
        if head.identity != 0 && !pins.ring(ring).exists() {
            missing.push(format!("ring {ring}"));
        }
    }
    Ok(missing)
}

fn object_error(error: EbpfError) -> LoadError {
    if matches!(error, EbpfError::BtfError(_) | EbpfError::BtfRelocationError(_) | EbpfError::NoBTF) {
        return LoadError::NoBtf(Box::new(error));
    }
    other_error(Box::new(error))
}

fn program_error(error: ProgramError) -> LoadError {
    let ProgramError::LoadError { io_error: error, verifier_log } = error else {
        return other_error(Box::new(error));
    };
    let log = verifier_log.to_string();
    if log.contains("prohibited for !root") {
        return LoadError::NotPermitted("CAP_PERFMON is missing", Box::new(error));
    }
    // Without privilege the kernel refuses before the verifier runs, and the log is empty.
    if log.trim().is_empty() { other_error(Box::new(error)) } else { LoadError::Verifier { log: tail(&log), error } }
}

fn other_error(error: Box<dyn Error + Send + Sync>) -> LoadError {
    if is_denied(&*error) { LoadError::NotPermitted(missing_privilege(), error) } else { LoadError::Other(error) }
}

/// Whether `error` or a cause of it is EPERM.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let denied = error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied);
    denied || error.source().is_some_and(is_denied)
}

/// What a process needs that got EPERM from bpf(2).
pub(super) fn missing_privilege() -> &'static str {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    if !held.intersects(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN) {
        "CAP_BPF is missing (run as root, or by the unit that the package installs)"
    } else if !held.contains(CapabilitySet::NET_ADMIN) {
        "CAP_NET_ADMIN is missing"
    } else {
        "the limit of locked memory is too low (before Linux 5.11: LimitMEMLOCK=infinity), or a security module forbids it"
    }
}

/// The last lines of a verifier log, without the statistics after them.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("processed ")).collect();
    lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_a_kernel_half_says_so() {
        let error = load(&[], &Pins::new("/nowhere"), Frozen::default()).unwrap_err();
        assert!(matches!(error, LoadError::NoObject(_)), "{error}");
    }

    #[test]
    fn a_verification_that_was_disturbed_is_begun_again_but_not_for_ever() {
        let tried = |results: &[Result<(), &'static str>]| {
            let mut calls = 0;
            let load = || {
                calls += 1;
                results.get(calls - 1).copied().unwrap_or(Err("disturbed"))
            };
            let result = repeat(load, |error| *error == "disturbed");
            (calls, result)
        };
        assert_eq!(tried(&[Ok(())]), (1, Ok(())));
        assert_eq!(tried(&[Err("disturbed"), Err("disturbed"), Ok(())]), (3, Ok(())));
        assert_eq!(tried(&[Err("disturbed"), Err("refused"), Ok(())]), (2, Err("refused")));
        assert_eq!(tried(&[]), (5, Err("disturbed")));
    }

    #[test]
    fn the_end_of_a_verifier_log_is_what_matters() {
        let log = "7: (b7) r0 = 0\n".repeat(100) + "R1 invalid mem access\nprocessed 7 insns\n\n";
        let tail = tail(&log);
        assert_eq!((tail.lines().count(), tail.lines().next_back()), (LOG_LINES, Some("R1 invalid mem access")));
    }
}
