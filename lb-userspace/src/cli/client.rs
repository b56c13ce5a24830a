//! The other end of the control socket.

use crate::admin::protocol::{Answer, Request};
use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Longest wait for an answer: a reload may wait for one that runs.
const PATIENCE: Duration = Duration::from_mins(5);

/// Asks the daemon behind `socket`.
pub(super) fn ask<T: DeserializeOwned>(socket: &Path, request: &Request) -> anyhow::Result<T> {
    let mut stream = UnixStream::connect(socket).map_err(|error| explain(socket, error))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut text = String::new();
    BufReader::new(stream).read_line(&mut text).context("the daemon does not answer")?;
    if !text.ends_with('\n') {
        bail!("the daemon went away before it had answered");
    }
    match serde_json::from_str(&text).context("the daemon's answer cannot be read; is it of another version?")? {
        Answer::Ok(value) => Ok(serde_json::from_value(value)?),
        Answer::Error(error) => bail!(error),
    }
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
