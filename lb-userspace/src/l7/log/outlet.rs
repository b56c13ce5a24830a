//! Outlet: the writing end of a target, and what its errors mean.

use super::sink::Batch;
use crate::model::log::Target;
use rustix::{
    io::Errno,
    net::{MMsgHdr, SendAncillaryBuffer, SendFlags},
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs::File,
    io::{self, IoSlice, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};

/// A target that takes nothing for this long counts as failing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Datagrams that one system call sends.
const AT_ONCE: usize = 64;

/// The writing end of a target.
#[derive(Debug)]
pub(super) enum Outlet {
    /// A datagram for each line; `None` until it can be connected.
    Datagrams(Option<Socket>),
    /// Bytes; `None` until a descriptor was handed over.
    Stream(Option<File>),
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Progress {
    /// Messages that are done with.
    pub(super) messages: usize,
    /// Bytes that are done with, of which the last message may be a part.
    pub(super) bytes: usize,
    /// Of the messages those that the target will never take.
    pub(super) refused: usize,
    /// Messages, perhaps of attempts before, that the network says reached nobody.
    pub(super) unheard: usize,
}

impl Outlet {
    /// For that target; `descriptor`: what was opened for it, if it is a file.
    pub(super) fn new(target: &Target, descriptor: Option<OwnedFd>) -> Self {
        match target {
            Target::Udp(_) | Target::Unix(_) => Self::Datagrams(None),
            Target::File(_) => Self::Stream(descriptor.map(File::from)),
            Target::Stdout => Self::Stream(io::stdout().as_fd().try_clone_to_owned().ok().map(File::from)),
        }
    }

    /// Goes on with another descriptor.
    pub(super) fn replace(&mut self, descriptor: OwnedFd) {
        if let Self::Stream(file) = self {
            *file = Some(descriptor.into());
        }
    }

    /// Writes what is left of `batch` after `progress`, as far as it goes.
    pub(super) fn write(&mut self, target: &Target, batch: &Batch, progress: &mut Progress) -> io::Result<()> {
        match self {
            Self::Stream(file) => {
                let file = file.as_mut().ok_or(io::ErrorKind::NotFound)?;
                write_stream(file, batch, progress)
            }
            Self::Datagrams(socket) => {
                // Put back only if all is well: whoever listens there next may be another one.
                let connected = socket.take().map_or_else(|| connect(target), Ok)?;
                send_datagrams(&connected, matches!(target, Target::Udp(_)), batch, progress)?;
                *socket = Some(connected);
                Ok(())
            }
        }
    }
}

fn write_stream(file: &mut File, batch: &Batch, progress: &mut Progress) -> io::Result<()> {
    while let Some(rest) = batch.bytes.get(progress.bytes..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => progress.bytes += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        progress.messages = batch.ends.partition_point(|end| *end <= progress.bytes);
    }
    Ok(())
}

fn connect(target: &Target) -> io::Result<Socket> {
    let (domain, address): (_, SockAddr) = match target {
        Target::Udp(address) => (Domain::for_address(*address), (*address).into()),
        Target::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        Target::File(_) | Target::Stdout => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&address)?;
    Ok(socket)
}

fn send_datagrams(socket: &Socket, is_udp: bool, batch: &Batch, progress: &mut Progress) -> io::Result<()> {
    loop {
        let slices: Vec<[IoSlice<'_>; 1]> =
            messages(batch, *progress).take(AT_ONCE).map(|message| [IoSlice::new(message)]).collect();
        if slices.is_empty() {
            return Ok(());
        }
        let mut nothing: Vec<_> = slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut headers: Vec<_> =
            slices.iter().zip(&mut nothing).map(|(slice, nothing)| MMsgHdr::new(slice, nothing)).collect();
        match rustix::net::sendmmsg(socket, &mut headers, SendFlags::NOSIGNAL) {
            Ok(sent) => progress.advance(batch, sent.max(1)),
            Err(Errno::INTR) => {}
            // Nothing was sent now, and one that was sent before reached nobody. The next may.
            Err(Errno::CONNREFUSED) if is_udp => progress.unheard += 1,
            // Too long for a datagram, whoever listens.
            Err(Errno::MSGSIZE) => {
                progress.advance(batch, 1);
                progress.refused += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Progress {
    fn advance(&mut self, batch: &Batch, messages: usize) {
        self.messages += messages;
        self.bytes = self.messages.checked_sub(1).and_then(|last| batch.ends.get(last).copied()).unwrap_or(self.bytes);
    }
}

fn messages(batch: &Batch, progress: Progress) -> impl Iterator<Item = &[u8]> {
    let ends = batch.ends.get(progress.messages..).unwrap_or_default();
    ends.iter().scan(progress.bytes, |start, end| {
        let message = batch.bytes.get(*start..*end);
        *start = *end;
        message
    })
}

/// Opens a file to append lines to: made if it is not there, for its owner and group to read. For whoever has the rights;
/// never waits, not even for the reader of a pipe.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP)?)
}
