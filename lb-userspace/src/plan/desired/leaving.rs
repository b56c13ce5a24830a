//! What stays of servers that leave, so that their flows go on: rows, returns, and slots of rings that others take over.

use super::NextHops;
use crate::{
    model::Endpoint,
    plan::{
        Tables,
        tables::{Return, Slots},
    },
    servers::{Registry, state::LEAVES},
};
use lb_common::{
    RingId, ServerEntry, ServerId, ServerState, Vip,
    maps::MAX_SERVERS,
    vip::flags::{AFFINITY, FRAGMENTS_HASH},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Adds the rows of servers that leave: as they are, but that they take nothing new.
pub(super) fn add_rows(
    rows: &mut BTreeMap<ServerId, ServerEntry>,
    current: &BTreeMap<ServerId, ServerEntry>,
    registry: &Registry,
    next_hops: &NextHops,
) {
    for (identity, id, leaving) in registry.leaving() {
        let Some(row) = current.get(&id).filter(|row| row.identity == identity) else { continue };
        let forwards = ServerState::from_byte(row.state).forwards();
        let state = if forwards { ServerState::Drain as u8 } else { row.state };
        let next_hop = next_hops.get(&leaving.address.ip()).copied().unwrap_or(row.next_hop);
        rows.entry(id).or_insert(ServerEntry { state, next_hop, admin: LEAVES, ..*row });
    }
}

/// Adds the returns of servers that leave: those of VIPs that are still there, unless another server answers from there now.
pub(super) fn add_returns(
    returns: &mut BTreeMap<Endpoint, Return>,
    current: &BTreeMap<Endpoint, Return>,
    registry: &Registry,
    vips: &BTreeMap<Endpoint, Vip>,
) {
    let leaving: BTreeSet<_> = registry.leaving().map(|(_, id, _)| id).collect();
    if leaving.is_empty() {
        return;
    }
    let counted: BTreeSet<_> = vips.iter().map(|(key, vip)| (vip.id, key.address)).collect();
    let is_kept = |entry: &Return| {
        leaving.contains(&entry.server) && (entry.vip == 0 || counted.contains(&(entry.vip, entry.address)))
    };
    for (source, entry) in current.iter().filter(|(_, entry)| is_kept(entry)) {
        if returns.len() >= MAX_SERVERS as usize {
            break; // Both families together: what is configured has room in any case.
        }
        returns.entry(*source).or_insert(*entry);
    }
}

/// What of a VIP decides about the hash of its flows.
const HASH: u16 = AFFINITY | FRAGMENTS_HASH;

/// New rings whose VIPs all had one ring together that is going: what its slots were. So flows stay where they are when a
/// frontend gets another backend: hashes are the same, and the slots change hands as any others.
pub(super) fn heirs(current: &Tables, vips: &BTreeMap<Endpoint, Vip>) -> BTreeMap<RingId, Slots> {
    let mut heirs: BTreeMap<RingId, Option<RingId>> = BTreeMap::new();
    let mut users: BTreeMap<RingId, BTreeSet<Option<RingId>>> = BTreeMap::new();
    for (key, before) in current.vips.iter().filter(|(key, _)| !key.is_address_entry()) {
        let next = vips.get(key);
        users.entry(before.ring).or_default().insert(next.map(|next| next.ring));
        let Some(next) = next.filter(|next| next.ring != before.ring) else { continue };
        let alike = next.forward == before.forward && next.flags & HASH == before.flags & HASH;
        let heir = heirs.entry(next.ring).or_insert(Some(before.ring));
        *heir = heir.filter(|known| alike && *known == before.ring);
    }
    let slots = |(ring, from): (RingId, Option<RingId>)| {
        let from = from.filter(|from| users.get(from).is_some_and(|to| !to.contains(&Some(*from))))?;
        Some((ring, Arc::clone(&current.rings.get(&from)?.slots)))
    };
    heirs.into_iter().filter_map(slots).collect()
}
