//! The other end of the control socket.

use crate::{
    admin::protocol::{Answer, Request},
    config::units::show_duration,
};
use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io::{self, BufRead, BufReader, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};
use tokio::time::Instant;

/// Longest wait for an answer: a reload may wait for one that runs.
const PATIENCE: Duration = Duration::from_mins(5);

/// Asks the daemon behind `socket`.
pub(super) fn ask<T: DeserializeOwned>(socket: &Path, request: &Request) -> anyhow::Result<T> {
    ask_within(socket, request, PATIENCE)
}

/// The same, but waits no longer than that.
pub(super) fn ask_within<T: DeserializeOwned>(
    socket: &Path,
    request: &Request,
    patience: Duration,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    let mut stream = connect(socket, patience).map_err(|error| explain(socket, error))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    // Of no time at all the kernel makes any time.
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left))?;
    let mut text = String::new();
    let late = || format!("the daemon does not answer within {}", show_duration(patience));
    BufReader::new(stream).read_line(&mut text).with_context(late)?;
    if !text.ends_with('\n') {
        bail!("the daemon went away before it had answered");
    }
    match serde_json::from_str(&text).context("the daemon's answer cannot be read; is it of another version?")? {
        Answer::Ok(value) => Ok(serde_json::from_value(value)?),
        Answer::Error(error) => bail!(error),
    }
}

/// Connects, but does not wait longer than that for a place in the backlog.
fn connect(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    stream.set_write_timeout(Some(patience))?;
    stream.connect(&SockAddr::unix(socket)?)?;
    Ok(OwnedFd::from(stream).into())
}

fn explain(socket: &Path, error: io::Error) -> anyhow::Error {
    let socket = socket.display();
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        anyhow!(
            "no daemon is running: there is no control socket {socket} (start one with `sluice run`, or name its socket \
             with --socket)"
        )
    } else if kind == io::ErrorKind::ConnectionRefused {
        anyhow!("no daemon is running: nobody listens on the control socket {socket}, which one left behind")
    } else if kind == io::ErrorKind::PermissionDenied {
        anyhow!("no permission to use the control socket {socket}; try as root")
    } else {
        anyhow!(error).context(format!("cannot use the control socket {socket}"))
    }
}
