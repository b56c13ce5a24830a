//! Sockets of statistics pages. A reload leaves them alone; an upgrade hands them on.

use crate::{channel::ToWorker, model::Global};
use anyhow::Context as _;
use std::{
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd as _, BorrowedFd},
};

/// Those that are open.
#[derive(Debug, Default)]
pub(super) struct StatsPages(Vec<(SocketAddr, TcpListener)>);

/// Where pages are served.
pub(super) fn addresses(global: &Global) -> impl Iterator<Item = SocketAddr> {
    global.stats_pages.iter().flat_map(|page| page.binds.iter().copied())
}

impl StatsPages {
    /// Opens those that are wanted, but for those that another binary has handed over.
    pub(super) fn open(global: &Global, mut inherited: Vec<(SocketAddr, TcpListener)>) -> anyhow::Result<Self> {
        let open = |address| {
            if let Some(place) = inherited.iter().position(|(known, _)| *known == address) {
                return Ok(inherited.swap_remove(place));
            }
            let listener = TcpListener::bind(address);
            Ok((address, listener.with_context(|| format!("cannot serve a statistics page on {address}"))?))
        };
        addresses(global).map(open).collect::<anyhow::Result<_>>().map(Self)
    }

    /// What each of them is to the worker, with itself.
    pub(super) fn messages(&self) -> impl Iterator<Item = (ToWorker, BorrowedFd<'_>)> {
        self.iter().map(|(address, listener)| (ToWorker::PageSocket { address }, listener))
    }

    /// Each with its address.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, BorrowedFd<'_>)> {
        self.0.iter().map(|(address, listener)| (*address, listener.as_fd()))
    }
}
