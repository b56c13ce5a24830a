//! The way from what the kernel holds to what it should hold, in an order no packet can trip over.

use super::{Ring, Tables, Write, maglev};
use lb_common::{RingId, ServerEntry, ServerId, ServerState, Slot};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Turns `current` into `wanted`.
///
/// Servers and source pools come first, then rings, returns and VIPs; then VIPs, returns, rings, pools
/// and servers go. So after each single write every VIP has a ring and every slot of it names a server, or none.
///
/// Where an id has changed hands, the way leads over tables in which nobody has it, so that no packet meant for the old
/// owner finds the new one. A ring may then flip twice.
pub fn diff(current: &Tables, wanted: &Tables) -> Vec<Write> {
    let hands = ChangedHands::between(current, wanted);
    let mut writes = Vec::new();
    if hands.servers.is_empty() && hands.rings.is_empty() {
        writes.extend(zeros(current, wanted));
        writes.extend(straight(current, wanted));
        return writes;
    }
    let between = hands.tables_without(wanted);
    writes.extend(straight(current, &between));
    writes.extend(hands.servers.iter().copied().map(Write::ForgetFlows));
    writes.extend(zeros(current, wanted));
    writes.extend(straight(&between, wanted));
    writes
}

/// Ids that mean one thing in the current tables and another in the wanted ones.
struct ChangedHands {
    servers: BTreeSet<ServerId>,
    rings: BTreeSet<RingId>,
}

impl ChangedHands {
    fn between(current: &Tables, wanted: &Tables) -> Self {
        Self {
            servers: changed(&current.servers, &wanted.servers, |before, after| before.identity != after.identity)
                .collect(),
            rings: changed(&current.rings, &wanted.rings, |before, after| before.identity != after.identity).collect(),
        }
    }

    /// `wanted` without those ids. Address entries stay, so that packets to a VIP that is missing for the moment are
    /// dropped and sent again, not answered by this host.
    fn tables_without(&self, wanted: &Tables) -> Tables {
        let mut tables = wanted.clone();
        tables.servers.retain(|id, _| !self.servers.contains(id));
        tables.rings.retain(|id, _| !self.rings.contains(id));
        tables.rings.values_mut().for_each(|ring| self.lend_slots(ring));
        tables.vips.retain(|_, vip| !self.rings.contains(&vip.ring));
        tables.returns.retain(|_, entry| !self.servers.contains(&entry.server));
        tables
    }

    /// Lends the slots of those servers to the next server on the chain, as for servers that are down.
    ///
    /// A slot's server of before is never among them: only one that stays who it is can be that.
    fn lend_slots(&self, ring: &mut Ring) {
        let stays = |slot: Slot| !self.servers.contains(&slot.current());
        if ring.slots.iter().copied().all(stays) {
            return;
        }
        let mut owners: Vec<_> = ring.slots.iter().map(|slot| Slot::of(slot.current())).collect();
        if !maglev::lend(&mut owners, stays) {
            owners.fill(Slot::default());
        }
        for (slot, owner) in Arc::make_mut(&mut ring.slots).iter_mut().zip(owners) {
            let previous = if slot.changes_hands() { slot.previous } else { owner.current() };
            *slot = Slot::new(owner.current(), previous, slot.is_tracked());
        }
    }
}

/// The counters of rows that get another owner: nobody is shown what a VIP or server before him did.
fn zeros(current: &Tables, wanted: &Tables) -> impl Iterator<Item = Write> {
    let was = |id| current.servers.get(id).map(|row| row.identity);
    let servers = wanted.servers.iter().filter(move |(id, row)| was(id) != Some(row.identity));
    let (before, after) = (current.counted_vips(), wanted.counted_vips());
    let vips = after.into_iter().filter(move |(id, key)| before.get(id) != Some(key));
    servers.map(|(id, _)| Write::ZeroServer(*id)).chain(vips.map(|(id, _)| Write::ZeroVip(id)))
}

/// `current` to `wanted` where every id in both means the same in both.
fn straight(current: &Tables, wanted: &Tables) -> Vec<Write> {
    let mut writes = Vec::new();
    let rings: Vec<_> = wanted.rings.iter().filter(|(id, ring)| is_new(current.rings.get(id), ring)).collect();
    let returning: BTreeSet<_> = returning(current, wanted).collect();
    let flapped = named(rings.iter().filter_map(|(id, _)| current.rings.get(id)), &returning);
    let (late, early): (Vec<_>, Vec<_>) =
        put(&current.servers, &wanted.servers).partition(|(id, _)| flapped.contains(id));
    let put_server = |(id, row)| Write::PutServer(id, row);
    writes.extend(early.into_iter().map(put_server));
    writes.extend(put(&current.sources, &wanted.sources).map(|(row, address)| Write::PutSource(row, address)));
    for (id, ring) in rings {
        writes.push(Write::PutRingHalf(*id, Arc::clone(&ring.slots)));
        writes.push(Write::FlipRing(*id, ring.identity));
    }
    writes.extend(late.into_iter().map(put_server));
    writes.extend(put(&current.returns, &wanted.returns).map(|(key, entry)| Write::PutReturn(key, entry)));
    // An address entry sorts before the VIPs of its address: it comes before them and goes after them.
    writes.extend(put(&current.vips, &wanted.vips).map(|(key, vip)| Write::PutVip(key, vip)));

    writes.extend(gone(&current.vips, &wanted.vips).rev().map(Write::RemoveVip));
    writes.extend(gone(&current.returns, &wanted.returns).map(Write::RemoveReturn));
    writes.extend(gone(&current.rings, &wanted.rings).map(Write::RemoveRing));
    writes.extend(gone(&current.sources, &wanted.sources).map(Write::RemoveSource));
    writes.extend(gone(&current.servers, &wanted.servers).map(Write::RemoveServer));
    writes
}

/// Servers that are down in the maps and will forward again.
fn returning(current: &Tables, wanted: &Tables) -> impl Iterator<Item = ServerId> {
    let forwards = |row: &ServerEntry| ServerState::from_byte(row.state).forwards();
    changed(&current.servers, &wanted.servers, move |before, after| {
        before.identity == after.identity && !forwards(before) && forwards(after)
    })
}

/// Which of these servers slots of these rings name. Where one does that is down, it went down and came back before the ring
/// followed: flows of its slots went elsewhere meanwhile, and the ring must say so before they find it again.
fn named<'a>(rings: impl Iterator<Item = &'a Ring>, servers: &BTreeSet<ServerId>) -> BTreeSet<ServerId> {
    let slots = rings.filter(|_| !servers.is_empty()).flat_map(|ring| ring.slots.iter());
    let ids = slots.flat_map(|slot| [slot.current(), slot.previous]);
    ids.filter(|id| servers.contains(id)).collect()
}

/// Rings that did not change share their slots from one plan to the next, which spares comparing them.
fn is_new(before: Option<&Ring>, after: &Ring) -> bool {
    before.is_none_or(|before| !Arc::ptr_eq(&before.slots, &after.slots) && before.slots != after.slots)
}

/// What is new or changed.
fn put<K: Copy + Ord, V: Copy + PartialEq>(
    current: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> {
    wanted.iter().filter(|(key, value)| current.get(key) != Some(value)).map(|(key, value)| (*key, *value))
}

/// The keys in both whose values differ in that way.
fn changed<K: Copy + Ord, V>(
    current: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
    differ: impl Fn(&V, &V) -> bool,
) -> impl Iterator<Item = K> {
    current
        .iter()
        .filter(move |(key, before)| wanted.get(key).is_some_and(|after| differ(before, after)))
        .map(|(key, _)| *key)
}

/// The keys that are no longer wanted.
fn gone<K: Copy + Ord, V>(current: &BTreeMap<K, V>, wanted: &BTreeMap<K, V>) -> impl DoubleEndedIterator<Item = K> {
    current.keys().filter(|key| !wanted.contains_key(key)).copied()
}

#[cfg(test)]
mod tests;
