//! Sockets of the runtime API beside the control socket. A reload leaves them alone; an upgrade hands them on.

use super::account::{AccountError, group_id};
use crate::{
    admin::socket::{Rights, bind},
    channel::ToWorker,
    model::StatsSocket,
};
use anyhow::Context as _;
use std::{
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixListener,
    },
    path::Path,
};
use tracing::warn;

/// Those that are open, each with what is configured of it.
#[derive(Debug, Default)]
pub(super) struct StatsSockets(Vec<(StatsSocket, UnixListener)>);

impl StatsSockets {
    /// Opens those that are wanted, but for those that another binary has handed over: these stay as they are, who may connect and
    /// what they may do there, until the next start. Those that were made here go again with `made` if this comes to nothing.
    pub(super) fn open(
        wanted: &[StatsSocket],
        mut inherited: Vec<(StatsSocket, UnixListener)>,
        mut made: impl FnMut(&Path),
    ) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for socket in wanted {
            if let Some(place) = inherited.iter().position(|(known, _)| known.path == socket.path) {
                let known = inherited.swap_remove(place);
                if known.0 != *socket {
                    warn!(path = %socket.path.display(), "a stats socket has other rights at the next start only");
                }
                all.push(known);
                continue;
            }
            let listener = bind(&socket.path, rights(socket)?)
                .with_context(|| format!("cannot make the stats socket {}", socket.path.display()))?;
            made(&socket.path);
            all.push((socket.clone(), listener));
        }
        Ok(Self(all))
    }

    /// What each of them is to the worker, with itself.
    pub(super) fn messages(&self, owner: u32) -> impl Iterator<Item = (ToWorker, BorrowedFd<'_>)> {
        self.0
            .iter()
            .map(move |(socket, listener)| (ToWorker::ControlSocket { owner, others: socket.level }, listener.as_fd()))
    }

    /// Each as it was opened, with itself.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&StatsSocket, BorrowedFd<'_>)> {
        self.0.iter().map(|(socket, listener)| (socket, listener.as_fd()))
    }

    /// Removes them from the file system.
    pub(super) fn remove(&self) {
        for (socket, _) in &self.0 {
            if let Err(error) = std::fs::remove_file(&socket.path) {
                warn!(%error, path = %socket.path.display(), "cannot remove a stats socket");
            }
        }
    }
}

/// Who may connect.
fn rights(socket: &StatsSocket) -> Result<Rights, AccountError> {
    Ok(Rights { mode: socket.mode, group: socket.group.as_deref().map(group_id).transpose()? })
}
