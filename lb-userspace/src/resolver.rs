//! Servers by name: their addresses are asked for, and asked for again when an answer's time is over.
//!
//! It runs in the worker, because it reads what the network sends. Two halves are pure: what a message means (`message`) and
//! what the answers so far make of each server (`names`, `choice`). Between them `client` asks and `tasks` does so again and
//! again, a task a question. Whatever a name server does, at most an answer is missing: then the last good one stands.

pub mod message;
mod client;
pub mod names;
pub mod choice;
mod tasks;

pub use choice::{Before, Chosen, Key, Why, choose};
pub use names::Names;
pub use tasks::{Answered, Tasks};

use crate::model::{Addressing, BackendIndex, Family, Host, Model};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// What is asked: the addresses of a name. Servers with the same one share the answer.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Question {
    /// The name.
    pub name: Arc<str>,
    /// The family that is asked for first.
    pub first: Family,
    /// Whether the other one will do, if there is no address of the first.
    pub either: bool,
}

impl Question {
    /// That of a server of a backend.
    pub fn of(host: &Host, backend: BackendIndex, addressing: &Addressing) -> Self {
        let only = addressing.family(backend);
        Self { name: Arc::clone(&host.name), first: only.unwrap_or(host.prefer), either: only.is_none() }
    }

    /// All that `model` asks.
    pub fn all(model: &Model) -> BTreeSet<Self> {
        let addressing = Addressing::new(model);
        let servers = model.backends.iter().enumerate().flat_map(|(index, backend)| {
            backend.servers.iter().filter_map(move |server| Some((index, server.host.as_ref()?)))
        });
        servers.map(|(index, host)| Self::of(host, index, &addressing)).collect()
    }

    /// The families that will do, in this order.
    pub fn families(&self) -> impl Iterator<Item = Family> + use<> {
        [Some(self.first), self.either.then(|| self.first.other())].into_iter().flatten()
    }

    /// What `/etc/hosts` says about it, if the name is there: of the first family that will do, perhaps nothing.
    pub fn in_hosts(&self, hosts: &BTreeMap<Arc<str>, BTreeSet<IpAddr>>) -> Option<BTreeSet<IpAddr>> {
        let all = hosts.get(&self.name)?;
        let of = |family| all.iter().copied().filter(|ip| Family::of(*ip) == family).collect::<BTreeSet<_>>();
        Some(self.families().map(of).find(|found| !found.is_empty()).unwrap_or_default())
    }
}

/// An answer with at least one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// For how long it may be believed.
    pub ttl: Duration,
}

/// Why there is no such answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// NXDOMAIN.
    #[error("there is no such name")]
    NoName,
    /// The name exists, but has no address of a family that will do.
    #[error("the name has no address that will do")]
    NoAddress,
    /// REFUSED.
    #[error("the name server refuses to answer")]
    Refused,
    /// No name server has said anything.
    #[error("no name server answers")]
    Timeout,
    /// No name server can be reached.
    #[error("no name server can be reached")]
    Unreachable,
    /// Another code, such as SERVFAIL (2).
    #[error("the name server failed (code {0})")]
    Code(u8),
    /// An answer to the question that makes no sense.
    #[error("the name server's answer makes no sense")]
    Malformed,
}
