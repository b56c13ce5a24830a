//! The listening sockets: made here, because only here are the rights, and kept here, so that a connection that waits
//! in a backlog survives the death of a worker.

use crate::{
    l7,
    model::{FrontendKind, Model},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{SocketAddr, TcpListener},
};

/// Sockets by address, one a thread each (SO_REUSEPORT).
#[derive(Debug, Default)]
pub struct Listeners {
    open: BTreeMap<SocketAddr, Vec<TcpListener>>,
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// Which.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Listeners {
    /// Opens what `model` needs beyond what is open. On an error nothing has changed.
    pub fn open_missing(&self, model: &Model) -> Result<Self, ListenError> {
        let missing = addresses(model).into_iter().filter(|address| !self.open.contains_key(address));
        let open = missing.map(|address| match l7::bind(address, model.global.threads) {
            Ok(sockets) => Ok((address, sockets)),
            Err(source) => Err(ListenError { address, source }),
        });
        Ok(Self { open: open.collect::<Result<_, _>>()? })
    }

    /// Takes what was opened and closes what `model` no longer names.
    pub fn keep(&mut self, opened: Self, model: &Model) {
        let wanted = addresses(model);
        self.open.extend(opened.open);
        self.open.retain(|address, _| wanted.contains(address));
    }

    /// Every address with its sockets.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[TcpListener])> {
        self.open.iter().map(|(address, sockets)| (*address, sockets.as_slice()))
    }
}

fn addresses(model: &Model) -> BTreeSet<SocketAddr> {
    let served = model.frontends.iter().filter(|frontend| match frontend.kind {
        FrontendKind::L4 { .. } => false,
        FrontendKind::Tcp { .. } | FrontendKind::Http(_) => true,
    });
    served.flat_map(|frontend| &frontend.binds).map(|bind| bind.address).collect()
}
