//! The supervisor attaches the program to interfaces, and takes it off again.
//!
//! A link is pinned the moment it exists: without a pin the kernel detaches when the process ends. A link that is
//! pinned already gets the new program in place of the old one, so that no packet passes unbalanced.

mod installed;

use super::{
    load::{LoadError, Loaded, PROGRAM, missing_privilege},
    pins::{Pins, PinsError},
};
use aya::{
    programs::{
        ProgramError, Xdp, XdpError, XdpMode,
        links::{FdLink, LinkError, LinkType, PinnedLink},
        loaded_programs,
        xdp::XdpLink,
    },
    sys::SyscallError,
    util::KernelVersion,
};
use installed::{Interface, look};
use rustix::io::Errno;
use std::{fs, io, path::PathBuf, thread, time::Duration};

/// Since when an attachment is a link that can be pinned.
const LINKS_SINCE: KernelVersion = KernelVersion::new(5, 9, 0);

/// Where in the stack an interface runs the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// In the driver, before the kernel makes a packet of the frame.
    Native,
    /// In the stack, for drivers without XDP. Works, but an order of magnitude slower.
    Generic,
}

/// An interface that the program is attached to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// Its number.
    pub ifindex: u32,
    /// Where it runs the program.
    pub mode: Mode,
    /// Whether it was attached before: then the program was replaced in place.
    pub adopted: bool,
}

/// What [`detach`] removed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Detached {
    /// Interfaces that the program was attached to.
    pub interfaces: Vec<String>,
    /// Directories of pinned maps.
    pub directories: Vec<PathBuf>,
}

/// Why the program cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The configuration names an interface that does not exist.
    #[error("there is no network interface {0}")]
    NoInterface(String),
    /// Someone else's program is there. An interface runs one.
    #[error("interface {interface} already runs the XDP program {name} (id {program}), and it runs one; {}", vacate(.interface, .name))]
    Occupied {
        /// The interface.
        interface: String,
        /// The kernel's id of the other program.
        program: u32,
        /// Its name, as far as we may know it.
        name: String,
    },
    /// Too old.
    #[error("Linux {LINKS_SINCE} or later is needed to attach; this is {0}")]
    KernelTooOld(KernelVersion),
    /// Some privilege is missing.
    #[error("not permitted to attach to {0}: {1}")]
    NotPermitted(String, &'static str),
    /// The driver or the kernel refused.
    #[error("cannot attach to interface {0}")]
    Refused(String, #[source] io::Error),
    /// Something else is pinned in the link's place.
    #[error("{0} is not a link of Sluice; remove it")]
    NotOurs(PathBuf, #[source] LinkError),
    /// The link that is pinned there is somebody else's.
    #[error("{link} is a link of the XDP program {name} (id {program}), which is not ours; remove it")]
    Foreign {
        /// Where it is pinned.
        link: PathBuf,
        /// The kernel's id of its program.
        program: u32,
        /// The name of that.
        name: String,
    },
    /// The kernel cannot be asked about the interface.
    #[error("cannot look at interface {0}")]
    Look(String, #[source] io::Error),
    /// The pin directory.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The program is not loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// How an interface becomes free that runs the program of that name.
fn vacate(interface: &str, name: &str) -> String {
    if name == PROGRAM {
        "a daemon with another `pin_dir` put it there: stop that, or take off what it left: sluice detach --pins DIRECTORY"
            .to_owned()
    } else {
        let other = "or, if that is a daemon with another `pin_dir`, stop that one";
        format!("stop what put it there, or take it off: ip link set dev {interface} xdp off; {other}")
    }
}

/// Attaches the program to all `interfaces`, or to no further one than before.
pub fn attach(loaded: &mut Loaded, pins: &Pins, interfaces: &[String]) -> Result<Vec<Attached>, AttachError> {
    if let Ok(version) = KernelVersion::current()
        && version < LINKS_SINCE
    {
        return Err(AttachError::KernelTooOld(version));
    }
    let id = loaded.program_id()?;
    let program = loaded.program()?;
    let mut done: Vec<Attached> = Vec::new();
    for interface in interfaces {
        match attach_one(program, id, pins, interface) {
            Ok(attached) => done.push(attached),
            Err(error) => {
                for new in done.iter().filter(|attached| !attached.adopted) {
                    unlink(pins, &new.interface)?;
                }
                return Err(error);
            }
        }
    }
    Ok(done)
}

/// Attaches again where the interface is not the one that it was `before`, or has lost the program: when its driver was
/// loaded anew, or a device of that name came. Returns how it is now.
pub fn keep(
    loaded: &mut Loaded,
    pins: &Pins,
    interface: &str,
    before: Option<&Attached>,
) -> Result<Attached, AttachError> {
    let found = look_at(interface)?;
    match before {
        // With another program it is not ours to say any more.
        Some(before) if before.ifindex == found.ifindex && found.program.is_some() => Ok(before.clone()),
        _ => {
            let id = loaded.program_id()?;
            attach_one(loaded.program()?, id, pins, interface)
        }
    }
}

/// The numbers of these interfaces.
pub fn numbers(interfaces: &[String]) -> Result<Vec<u32>, AttachError> {
    interfaces.iter().map(|interface| Ok(look_at(interface)?.ifindex)).collect()
}

/// The number of an interface, and the kernel's id of the program that it runs, if it runs one.
pub(super) fn program_of(interface: &str) -> Result<(u32, Option<u32>), AttachError> {
    let Interface { ifindex, program, mode: _ } = look_at(interface)?;
    Ok((ifindex, program))
}

/// Detaches from every interface that is not among `interfaces`: those that the configuration no longer names.
pub fn detach_others(pins: &Pins, interfaces: &[String]) -> Result<Vec<String>, PinsError> {
    let is_foreign = |interface: &String| {
        let link = PinnedLink::from_pin(pins.link(interface)).map(FdLink::from);
        let found = link.ok().as_ref().and_then(foreign);
        if let Some((id, name)) = &found {
            tracing::warn!(event = "attach", link = %pins.link(interface).display(), id, name, "the link of another program is left alone");
        }
        found.is_some()
    };
    let mut others = pins.linked()?;
    others.retain(|linked| !interfaces.contains(linked) && !is_foreign(linked));
    others.iter().try_for_each(|interface| unlink(pins, interface))?;
    Ok(others)
}

/// Detaches from all interfaces and removes all pins, those of other schemas too. Nothing is there: nothing is removed.
pub fn detach(pins: &Pins) -> Result<Detached, PinsError> {
    let interfaces = detach_others(pins, &[])?;
    let mut directories = pins.stale()?;
    directories.extend(Some(pins.maps()).filter(|maps| maps.exists()));
    pins.remove(&directories)?;
    pins.remove_empty();
    Ok(Detached { interfaces, directories })
}

fn attach_one(program: &mut Xdp, id: u32, pins: &Pins, interface: &str) -> Result<Attached, AttachError> {
    let found = look_at(interface)?;
    let adopted = adopt(program, id, pins, interface)?;
    if !adopted {
        wait_until_gone(interface, id); // a link that was made under another name of this interface
        let occupied = look_at(interface)?.program;
        if let Some(program) = occupied {
            return Err(AttachError::Occupied {
                interface: interface.to_owned(),
                program,
                name: program_name(program),
            });
        }
        pin(program, pins, interface, found.ifindex)?;
    }
    let mode = look_at(interface)?.mode.unwrap_or(Mode::Generic);
    Ok(Attached { interface: interface.to_owned(), ifindex: found.ifindex, mode, adopted })
}

/// Puts the program in place of the one that a pinned link has. `false`: there is no such link, or it was dead.
fn adopt(program: &mut Xdp, id: u32, pins: &Pins, interface: &str) -> Result<bool, AttachError> {
    let path = pins.link(interface);
    let pinned = match PinnedLink::from_pin(&path) {
        Ok(pinned) => pinned,
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            return Ok(false);
        }
        Err(error) => return Err(AttachError::NotOurs(path, error)),
    };
    let link = FdLink::from(pinned);
    if let Some((program, name)) = foreign(&link) {
        return Err(AttachError::Foreign { link: path, program, name });
    }
    let link = XdpLink::try_from(link).map_err(|error| AttachError::NotOurs(path, error))?;
    match program.attach_to_link(link) {
        Ok(link) => drop(program.take_link(link)), // the pin keeps it
        // The interface that the link was made for is gone.
        Err(error) if errno(&error) == Some(Errno::NOLINK) => {
            remove_link(pins, interface)?;
            return Ok(false);
        }
        Err(error) => return Err(refused(interface, error)),
    }
    if look_at(interface)?.program == Some(id) {
        return Ok(true);
    }
    // The interface of the link goes by another name now.
    unlink(pins, interface)?;
    Ok(false)
}

/// The program of a link, if it is known to be none of ours. Without CAP_SYS_ADMIN nobody knows.
fn foreign(link: &FdLink) -> Option<(u32, String)> {
    let id = link.info().ok().filter(|info| info.link_type().is_ok_and(|kind| kind == LinkType::Xdp))?.program_id();
    let name = known_name(id)?;
    (name != PROGRAM).then_some((id, name))
}

/// Attaches in the driver, or else in the stack, and pins the link.
fn pin(program: &mut Xdp, pins: &Pins, interface: &str, ifindex: u32) -> Result<(), AttachError> {
    let link = match program.attach_to_if_index(ifindex, XdpMode::Driver) {
        Err(error) if matches!(errno(&error), Some(Errno::OPNOTSUPP | Errno::INVAL | Errno::RANGE)) => {
            let reason = errno(&error).map(io::Error::from);
            tracing::warn!(
                interface,
                ?reason,
                "the driver has no native XDP; generic XDP is used, which is many times slower"
            );
            program.attach_to_if_index(ifindex, XdpMode::Skb)
        }
        result => result,
    };
    let link = link.and_then(|link| program.take_link(link)).map_err(|error| refused(interface, error))?;
    let link =
        FdLink::try_from(link).map_err(|error| AttachError::Refused(interface.to_owned(), io::Error::other(error)))?;
    // Dropped here, an unpinned link detaches.
    link.pin(pins.link(interface))
        .map(drop)
        .map_err(|error| AttachError::Refused(interface.to_owned(), io::Error::other(error)))
}

/// Removes a pinned link, and waits until its interface is free.
fn unlink(pins: &Pins, interface: &str) -> Result<(), PinsError> {
    let program = look(interface).ok().flatten().and_then(|found| found.program);
    remove_link(pins, interface)?;
    if let Some(program) = program {
        wait_until_gone(interface, program);
    }
    Ok(())
}

fn remove_link(pins: &Pins, interface: &str) -> Result<(), PinsError> {
    let path = pins.link(interface);
    fs::remove_file(&path).map_err(|error| PinsError::Directory(path, error))
}

/// The kernel detaches in the background when a link goes. Gives up after a second.
fn wait_until_gone(interface: &str, program: u32) {
    for _ in 0..200 {
        match look(interface) {
            Ok(Some(found)) if found.program == Some(program) => {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn look_at(interface: &str) -> Result<Interface, AttachError> {
    let found = look(interface).map_err(|error| AttachError::Look(interface.to_owned(), error))?;
    found.ok_or_else(|| AttachError::NoInterface(interface.to_owned()))
}

/// The name of a program; without CAP_SYS_ADMIN it cannot be known.
fn program_name(id: u32) -> String {
    known_name(id).unwrap_or_else(|| "(name unknown)".to_owned())
}

fn known_name(id: u32) -> Option<String> {
    let found = loaded_programs().flatten().find(|program| program.id() == id);
    found.and_then(|program| program.name_as_str().map(str::to_owned))
}

fn refused(interface: &str, error: ProgramError) -> AttachError {
    match errno(&error) {
        Some(Errno::PERM) => AttachError::NotPermitted(interface.to_owned(), missing_privilege()),
        Some(errno) => AttachError::Refused(interface.to_owned(), errno.into()),
        None => AttachError::Refused(interface.to_owned(), io::Error::other(error)),
    }
}

fn errno(error: &ProgramError) -> Option<Errno> {
    if let ProgramError::SyscallError(SyscallError { io_error, .. }) = error {
        return Errno::from_io_error(io_error);
    }
    // aya tries netlink where a link was refused with EINVAL; it says what the kernel answered only in words.
    matches!(error, ProgramError::XdpError(XdpError::NetlinkError(_))).then_some(Errno::INVAL)
}
