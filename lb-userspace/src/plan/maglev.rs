//! Who owns each slot of a ring: Maglev (Eisenbud et al., NSDI 2016 §3.4), made stable and exact in its weights.
//!
//! The *base* is dealt to all configured servers that are not backups, whether they work or not. A slot whose owner is
//! not available is lent to the owner of the next slot on the chain of [`next_slot`] that is. So no slot of a living
//! server moves when another one fails or returns, and the kernel, which walks the same chain when it meets a dead
//! server, already sends new flows where the next ring will.

use crate::model::Server;
use lb_common::{
    SLOTS,
    hash::name_hash,
    slots::{next_slot, slot_of},
};
use std::{collections::BTreeSet, sync::Arc};

/// For each of the [`SLOTS`] the server that owns it, as an index into the servers of its backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owners(Arc<[u16]>);

/// The owner of a slot that has none.
const NOBODY: u16 = u16::MAX;

/// The bases of a backend: that of its servers and, where all backups may step in together, one of these alone.
#[derive(Debug)]
pub struct Bases {
    base: Owners,
    /// With the backups, as indices into the servers of the backend.
    backups: Option<(Owners, BTreeSet<usize>)>,
}

impl Bases {
    /// See [`Owners::base`]; `all_backups`: [`Backend::allbackups`](crate::model::Backend::allbackups).
    pub fn new(servers: &[Server], all_backups: bool) -> Self {
        let backups = all_backups.then(|| {
            let backups = servers.iter().enumerate().filter(|(_, server)| server.backup).map(|(index, _)| index);
            (Owners::dealt(servers, |server| server.backup), backups.collect())
        });
        Self { base: Owners::base(servers), backups }
    }

    /// The same with other weights, which the servers have at run time. A slot goes from a server that has less of the whole than
    /// before to one that has more, and no other way; what becomes of the slots depends on the configuration and on these
    /// weights alone. One with weight 0 keeps its slots, to be lent: it takes nothing.
    #[must_use]
    pub fn reweighed(&self, servers: &[Server], weights: &[u16]) -> Self {
        let backups = self
            .backups
            .as_ref()
            .map(|(owners, backups)| (owners.reweighed(servers, weights, |server| server.backup), backups.clone()));
        Self { base: self.base.reweighed(servers, weights, |server| !server.backup), backups }
    }

    /// The base that applies while `taker` takes traffic: backups do only when no other server does.
    pub fn of(&self, taker: usize) -> &Owners {
        let backups = self.backups.as_ref().filter(|(_, backups)| backups.contains(&taker));
        backups.map_or(&self.base, |(owners, _)| owners)
    }

    /// The one that applies, [refilled](Owners::refilled).
    #[must_use]
    pub fn refilled(&self, available: &[bool]) -> Owners {
        let taker = available.iter().position(|takes| *takes);
        taker.map_or(&self.base, |taker| self.of(taker)).refilled(available)
    }
}

impl Owners {
    /// The base: who owns each slot while every server works. Depends on the names and weights of the servers, not on
    /// their order. Each gets its share by weight to within one slot; backups get none. Costs up to a millisecond, so
    /// keep it as long as the servers stay the same.
    pub fn base(servers: &[Server]) -> Self {
        Self::dealt(servers, |server| !server.backup)
    }

    fn dealt(servers: &[Server], to: impl Fn(&Server) -> bool) -> Self {
        let mut dealt: Vec<_> = (0..NOBODY).zip(servers).filter(|(_, server)| to(server)).collect();
        dealt.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let weights: Vec<_> = dealt.iter().map(|(_, server)| server.weight).collect();
        let mut preferences: Vec<_> =
            dealt.iter().map(|(index, server)| (*index, Preferences::new(&server.name))).collect();

        let mut owners = vec![NOBODY; SLOTS];
        for rank in turns(&weights) {
            let Some((index, preferences)) = preferences.get_mut(rank) else { continue };
            // There is a turn for each slot, so a free one is left.
            if let Some(slot) = preferences.find(|slot| owners.get(*slot) == Some(&NOBODY)) {
                set(&mut owners, slot, *index);
            }
        }
        Self(owners.into())
    }

    /// See [`Bases::reweighed`]; `to`: whom they were dealt to. Costs about a millisecond, however many servers there are.
    fn reweighed(&self, servers: &[Server], weights: &[u16], to: impl Fn(&Server) -> bool) -> Self {
        let mut owned = vec![Vec::new(); servers.len()];
        for (slot, owner) in self.iter().enumerate() {
            owner.and_then(|owner| owned.get_mut(owner)).into_iter().for_each(|slots| slots.push(slot));
        }
        let dealt = (0..NOBODY).zip(servers).zip(owned).filter(|((_, server), _)| to(server));
        let mut dealt: Vec<_> = dealt.map(|((index, server), slots)| (index, server, slots)).collect();
        dealt.sort_by(|(_, a, _), (_, b, _)| a.name.cmp(&b.name));
        let weight = |(index, server, _): &(u16, &Server, _)| {
            weights.get(usize::from(*index)).copied().filter(|weight| *weight > 0).unwrap_or(server.weight)
        };
        let shares = shares(&dealt.iter().map(weight).collect::<Vec<_>>());

        let mut owners = self.0.to_vec();
        let mut wanting = Vec::new();
        for ((index, server, mut slots), share) in dealt.into_iter().zip(shares) {
            let (owned, share) = (slots.len(), usize::try_from(share).unwrap_or(usize::MAX));
            if share > owned {
                wanting.push((index, share - owned, Preferences::new(&server.name)));
            } else if share < owned {
                // It keeps those that it likes best.
                let rank = Preferences::new(&server.name).rank();
                slots.sort_by_cached_key(|slot| rank(*slot));
                slots.into_iter().skip(share).for_each(|slot| set(&mut owners, slot, NOBODY));
            }
        }
        // By turns, one slot each.
        while !wanting.is_empty() {
            for (index, wants, preferences) in &mut wanting {
                *wants -= 1;
                // As many were given up as are wanted.
                if let Some(slot) = preferences.by_ref().take(SLOTS).find(|slot| owners.get(*slot) == Some(&NOBODY)) {
                    set(&mut owners, slot, *index);
                }
            }
            wanting.retain(|(_, wants, _)| *wants > 0);
        }
        Self(owners.into())
    }

    /// The base, with the slots of servers that are not available lent to those that are. Where no owner of a slot is
    /// available, the first available server (a backup, then) gets every slot, and without one nobody does. `available`
    /// is what [`stands`](crate::servers::stands) says. Costs about 30 µs.
    #[must_use]
    pub fn refilled(&self, available: &[bool]) -> Self {
        let takes = |owner: u16| available.get(usize::from(owner)) == Some(&true);
        let mut owners = Arc::clone(&self.0);
        if !lend(Arc::make_mut(&mut owners), takes) {
            let stand_in = (0..NOBODY).zip(available).find_map(|(index, takes)| takes.then_some(index));
            Arc::make_mut(&mut owners).fill(stand_in.unwrap_or(NOBODY));
        }
        Self(owners)
    }

    /// The server of a flow, connection or request with that hash: its index in the backend.
    pub fn pick(&self, hash: u32) -> Option<usize> {
        index(self.owner(slot_of(hash)))
    }

    /// As [`refilled`](Self::refilled), then [`pick`](Self::pick), for one flow and without making a ring: looks along
    /// the chain for an owner that `takes`. For the base; `None` if no owner does. A backup owns no slot.
    pub fn pick_among(&self, hash: u32, takes: impl Fn(usize) -> bool) -> Option<usize> {
        let chain = std::iter::successors(Some(slot_of(hash)), |slot| Some(next_slot(*slot)));
        chain.take(SLOTS).find_map(|slot| index(self.owner(slot)).filter(|owner| takes(*owner)))
    }

    /// The owners of all slots, in the order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        self.0.iter().copied().map(index)
    }

    fn owner(&self, slot: usize) -> u16 {
        self.0.get(slot).copied().unwrap_or(NOBODY)
    }
}

/// Lends each slot whose owner does not take it to the next owner on the chain who does, and says whether there is one;
/// if not, nothing changes. One walk along the chain, from a slot that is taken round to itself.
pub(super) fn lend<T: Copy>(owners: &mut [T], takes: impl Fn(T) -> bool) -> bool {
    let Some(start) = owners.iter().position(|owner| takes(*owner)) else { return false };
    let mut orphans = Vec::new();
    let mut slot = start;
    loop {
        slot = next_slot(slot);
        match owners.get(slot) {
            Some(owner) if takes(*owner) => {
                let owner = *owner;
                orphans.drain(..).for_each(|orphan| set(owners, orphan, owner));
            }
            _ => orphans.push(slot),
        }
        if slot == start {
            return true;
        }
    }
}

fn set<T>(owners: &mut [T], slot: usize, owner: T) {
    if let Some(place) = owners.get_mut(slot) {
        *place = owner;
    }
}

fn index(owner: u16) -> Option<usize> {
    (owner != NOBODY).then_some(usize::from(owner))
}

/// The slots in the order in which one server would like to have them: all of them, as [`SLOTS`] is prime.
struct Preferences {
    next: usize,
    skip: usize,
}

impl Preferences {
    #[expect(clippy::cast_possible_truncation, reason = "below the limit, which is a usize")]
    fn new(name: &str) -> Self {
        let below = |limit: usize, seed| (name_hash(seed, name.as_bytes()) % limit as u64) as usize;
        Self { next: below(SLOTS, 1), skip: 1 + below(SLOTS - 1, 2) }
    }

    /// When each slot comes, from the next one on.
    fn rank(self) -> impl Fn(usize) -> usize {
        // As all slots come, a step of `skip` is undone by one of its inverse; by Fermat that is a power of it.
        let squares = std::iter::successors(Some(self.skip), |square| Some(square * square % SLOTS));
        let factors =
            squares.take(SLOTS.ilog2() as usize + 1).enumerate().filter(|(bit, _)| (SLOTS - 2) >> bit & 1 == 1);
        let inverse = factors.fold(1, |product, (_, square)| product * square % SLOTS);
        let next = self.next;
        move |slot| (slot + SLOTS - next) % SLOTS * inverse % SLOTS
    }
}

impl Iterator for Preferences {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let slot = self.next;
        self.next = (slot + self.skip) % SLOTS;
        Some(slot)
    }
}

/// Whose turn it is to take a slot, for each slot once: the n-th turn of a server comes at the time (n + ½) / weight.
/// With equal weights these are the rounds of the paper.
fn turns(weights: &[u16]) -> impl Iterator<Item = usize> {
    let mut turns = Vec::with_capacity(SLOTS);
    for (rank, (weight, share)) in weights.iter().zip(shares(weights)).enumerate() {
        let time = |turn: u64| ((2 * turn + 1) << 32) / u64::from(*weight).max(1);
        turns.extend((0..share).map(|turn| (time(turn), rank)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, rank)| rank)
}

/// How many slots each weight is worth: rounded down, and the rest one by one to the largest remainders.
fn shares(weights: &[u16]) -> Vec<u64> {
    let total = weights.iter().copied().map(u64::from).sum::<u64>().max(1);
    let exact = |weight: &u16| u64::from(*weight) * SLOTS as u64;
    let mut shares: Vec<_> = weights.iter().map(|weight| exact(weight) / total).collect();
    let rest = (SLOTS as u64).saturating_sub(shares.iter().sum());

    let mut by_remainder: Vec<_> = shares.iter_mut().zip(weights.iter().map(|weight| exact(weight) % total)).collect();
    by_remainder.sort_by_key(|(_, remainder)| std::cmp::Reverse(*remainder));
    by_remainder.into_iter().zip(0..rest).for_each(|((share, _), _)| *share += 1);
    shares
}

#[cfg(test)]
mod tests;
