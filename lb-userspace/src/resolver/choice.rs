//! Which server has which address. Pure: the configuration, what is known of the names, and what they had before.
//!
//! Who has an address that is still in the answer keeps it: answers that rotate move nobody. Others get the lowest one that
//! no server of the backend with the same name and port has, so that balancers that see the same answers agree. A server of which
//! something else is asked now keeps its address until that is answered, if it may still have it.

use super::{Failure, Names, Question};
use crate::model::{Addressing, Family, Model, Server, addressing::Unfit};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tokio::time::Instant;

/// A server that is known by its name: backend, server, and its host name, so that another one is another server.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Key {
    /// The backend's name.
    pub backend: String,
    /// The server's name.
    pub server: String,
    /// What it is called.
    pub question: Question,
}

/// What a server is given.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Chosen {
    /// Its address; `None`: it has none.
    pub ip: Option<IpAddr>,
    /// What stands in the way of an address, or of a newer one.
    pub why: Option<Why>,
}

/// Why a server has no address, or no newer one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Why {
    /// No answer has come yet.
    #[error("no answer yet")]
    Waiting,
    /// There is no answer.
    #[error("{0}")]
    Failed(Failure),
    /// The answer has none that would do; this is one.
    #[error("{0} is refused: {1}")]
    Unfit(IpAddr, Unfit),
    /// Packets could not be brought there.
    #[error("{0} is refused: the kernel half has no next hop left")]
    NoNextHop(IpAddr),
    /// Every address belongs to another server.
    #[error("the servers of this name have all its addresses already")]
    Taken,
}

/// What servers had until now.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Their addresses.
    pub given: BTreeMap<Key, IpAddr>,
    /// Since when the answers have had no address that would do.
    pub useless: BTreeMap<Key, Instant>,
    /// What nobody gets: packets could not be brought there.
    pub distrusted: BTreeSet<IpAddr>,
}

impl Before {
    /// The address that a server had, be it by another question.
    pub fn address(&self, key: &Key) -> Option<IpAddr> {
        if let Some(ip) = self.given.get(key) {
            return Some(*ip);
        }
        // No question comes before that with the empty name.
        let first = Question { name: "".into(), first: Family::V4, either: false };
        let mut others = self.given.range(Key { question: first, ..key.clone() }..);
        let (other, ip) = others.next()?;
        let is_it = other.backend == key.backend && other.server == key.server;
        (is_it && key.question.families().any(|family| family == Family::of(*ip))).then_some(*ip)
    }
}

/// Gives every server of `model` that is known by its name an address.
pub fn choose(model: &Model, names: &Names, before: &Before, now: Instant) -> BTreeMap<Key, Chosen> {
    let mut choice = Choice { addressing: Addressing::new(model), names, before, now, taken: BTreeMap::new() };
    let mut named = Vec::new();
    for (index, backend) in model.backends.iter().enumerate() {
        for server in &backend.servers {
            match &server.host {
                None => choice.addressing.take(index, server),
                Some(host) => {
                    let question = Question::of(host, index, &choice.addressing);
                    let key = Key { backend: backend.name.clone(), server: server.name.clone(), question };
                    named.push(Named { key, index, server });
                }
            }
        }
    }
    let mut chosen = BTreeMap::new();
    for named in &named {
        let kept = before.address(&named.key).filter(|ip| {
            names.keeps(&named.key.question, *ip, now) && choice.fits(named, *ip).is_ok() && choice.is_free(named, *ip)
        });
        if let Some(ip) = kept {
            choice.take(named, ip);
            chosen.insert(named.key.clone(), Chosen { ip: kept, why: choice.failure(named) });
        }
    }
    for named in named {
        chosen.entry(named.key.clone()).or_insert_with(|| choice.choose(&named));
    }
    chosen
}

/// `model`, with these addresses.
pub fn addressed(model: &Model, chosen: &BTreeMap<Key, Chosen>) -> Model {
    at(model, chosen.iter().filter_map(|(key, chosen)| Some((key, chosen.ip?))))
}

/// `model` with servers at these addresses; others that are known by their names are nowhere.
pub fn at<'a>(model: &Model, known: impl Iterator<Item = (&'a Key, IpAddr)>) -> Model {
    let ips: BTreeMap<_, _> = known.map(|(key, ip)| ((&*key.backend, &*key.server), ip)).collect();
    let mut model = model.clone();
    for backend in &mut model.backends {
        for server in backend.servers.iter_mut().filter(|server| server.host.is_some()) {
            let ip = ips.get(&(&*backend.name, &*server.name)).copied();
            *server = server.at(ip);
        }
    }
    model
}

/// A server that is known by its name.
struct Named<'a> {
    key: Key,
    /// Its backend.
    index: usize,
    server: &'a Server,
}

/// The choice so far.
struct Choice<'a> {
    addressing: Addressing,
    names: &'a Names,
    before: &'a Before,
    now: Instant,
    /// How many servers of a backend with the same name and port have an address.
    taken: BTreeMap<(usize, Question, u16, IpAddr), usize>,
}

impl Choice<'_> {
    fn choose(&mut self, named: &Named<'_>) -> Chosen {
        let mut why = None;
        let mut candidates = Vec::new();
        for ip in self.names.addresses(&named.key.question, self.now) {
            match self.fits(named, ip) {
                Ok(()) => candidates.push(ip),
                Err(reason) => {
                    why.get_or_insert(reason);
                }
            }
        }
        let free = candidates.iter().copied().filter(|ip| self.is_free(named, *ip));
        // The first of those that the fewest have.
        let ip = free.min_by_key(|ip| self.taken.get(&named.place(*ip)).copied().unwrap_or(0));
        if let Some(ip) = ip {
            self.take(named, ip);
            return Chosen { ip: Some(ip), why: self.failure(named) };
        }
        if !candidates.is_empty() {
            return Chosen { ip: None, why: Some(Why::Taken) };
        }
        // An answer that cannot be used is none: the last good one stands, as long as it may.
        let may_keep = why.is_some() && self.useful_until(named).is_none_or(|end| self.now < end);
        let kept = self.before.address(&named.key).filter(|_| may_keep);
        let kept = kept.filter(|ip| self.fits(named, *ip).is_ok() && self.is_free(named, *ip));
        if let Some(ip) = kept {
            self.take(named, ip);
        }
        Chosen { ip: kept, why: why.or_else(|| self.failure(named)).or(Some(Why::Waiting)) }
    }

    fn useful_until(&self, named: &Named<'_>) -> Option<Instant> {
        self.names.useful_until(*self.before.useless.get(&named.key)?)
    }

    fn fits(&self, named: &Named<'_>, ip: IpAddr) -> Result<(), Why> {
        if self.before.distrusted.contains(&ip) {
            return Err(Why::NoNextHop(ip));
        }
        self.addressing.unfit(named.index, named.server, ip).map_or(Ok(()), |unfit| Err(Why::Unfit(ip, unfit)))
    }

    fn is_free(&self, named: &Named<'_>, ip: IpAddr) -> bool {
        let may_share = named.server.host.as_ref().is_some_and(|host| host.allow_dup_ip);
        may_share || !self.taken.contains_key(&named.place(ip))
    }

    fn take(&mut self, named: &Named<'_>, ip: IpAddr) {
        *self.taken.entry(named.place(ip)).or_default() += 1;
        self.addressing.take(named.index, &named.server.at(Some(ip)));
    }

    fn failure(&self, named: &Named<'_>) -> Option<Why> {
        self.names.known(&named.key.question)?.failure().map(Why::Failed)
    }
}

impl Why {
    /// Whether there is an answer, and no address in it would do.
    pub fn is_of_no_use(self) -> bool {
        matches!(self, Self::Unfit(..) | Self::NoNextHop(_))
    }
}

impl Named<'_> {
    fn place(&self, ip: IpAddr) -> (usize, Question, u16, IpAddr) {
        (self.index, self.key.question.clone(), self.server.address.port(), ip)
    }
}

#[cfg(test)]
mod tests;
