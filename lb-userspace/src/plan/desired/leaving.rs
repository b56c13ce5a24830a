//! What stays of servers and VIPs that leave, so that their flows go on: rows, returns, rings, and slots of rings that others take
//! over.

use super::{NextHops, vips};
use crate::{
    model::{Endpoint, Model, backend},
    plan::{
        Ring, Tables,
        tables::{Return, Slots},
    },
    servers::{Registry, state::LEAVES},
};
use lb_common::{
    Forward, RingId, ServerEntry, ServerId, ServerState, Vip,
    maps::MAX_SERVERS,
    vip::flags::{AFFINITY, ANY_PORT, FRAGMENTS_HASH, POOL, TRACK_FULL},
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
    let of_vips: BTreeSet<_> = registry.leaving_vips().flat_map(|(_, vip)| &vip.returns).collect();
    // Those of VIPs whose connections are all tracked name none.
    let is_tracked = registry.leaving_vips().flat_map(|(_, vip)| vip.rows.values()).any(|row| row.has(TRACK_FULL));
    if leaving.is_empty() && of_vips.is_empty() && !is_tracked {
        return;
    }
    let counted: BTreeSet<_> = vips.iter().map(|(key, vip)| (vip.id, key.address)).collect();
    let is_kept = |entry: &Return| {
        leaving.contains(&entry.server) && (entry.vip == 0 || counted.contains(&(entry.vip, entry.address)))
    };
    let is_of_vip = |source: &Endpoint, entry: &Return| of_vips.contains(source) || (is_tracked && entry.vip == 0);
    for (source, entry) in current.iter().filter(|(source, entry)| is_kept(entry) || is_of_vip(source, entry)) {
        if returns.len() >= MAX_SERVERS as usize {
            break; // Both families together: what is configured has room in any case.
        }
        returns.entry(*source).or_insert(*entry);
    }
}

/// Adds the rows of VIPs that leave, beside those of their addresses. Those that are not in the maps never came so far.
pub(super) fn add_vips(rows: &mut BTreeMap<Endpoint, Vip>, current: &Tables, registry: &Registry) {
    let mut has_pool = false;
    let is_there = |key: &Endpoint, row: &Vip| {
        let same = current.vips.get(key).is_some_and(|was| (was.id, was.ring) == (row.id, row.ring));
        same && current.rings.contains_key(&row.ring)
    };
    let leaving = registry.leaving_vips().flat_map(|(_, leaving)| &leaving.rows);
    for (key, row) in leaving.filter(|(key, row)| is_there(key, row)) {
        rows.entry(*key).or_insert_with(|| vips::withdrawn(*row));
        let entry = rows.entry(Endpoint::address_entry(key.address)).or_default();
        entry.flags |= if key.port == 0 { ANY_PORT } else { 0 };
        has_pool |= row.forward == Forward::FullNat as u8;
    }
    // Whose of them those pools are that nobody else has any more is not known here, and does not matter.
    for (key, row) in current.vips.iter().filter(|(key, row)| has_pool && key.is_address_entry() && row.has(POOL)) {
        rows.entry(*key).or_default().flags |= row.flags & POOL;
    }
}

/// Of servers of rings that only VIPs have which leave, one that was down stays so, also where the proxy has it still: flows of its
/// slots are elsewhere, which a ring does not say that does not change any more.
pub(super) fn stay_down(
    rows: &mut BTreeMap<ServerId, ServerEntry>,
    current: &Tables,
    (model, registry): (&Model, &Registry),
) {
    let used: BTreeSet<_> = model.kernel_backends().map(|used| backend::identity(&used.name)).collect();
    let left = registry.leaving_vips().filter(|(_, leaving)| !used.contains(&leaving.backend));
    let rings = left.filter_map(|(_, leaving)| current.rings.get(&registry.ring_id(leaving.backend)?));
    let named = rings.flat_map(|ring| ring.slots.iter().flat_map(|slot| [slot.current(), slot.previous]));
    for id in named.collect::<BTreeSet<_>>() {
        if let Some((row, was)) = rows.get_mut(&id).zip(current.servers.get(&id))
            && row.identity == was.identity
            && !ServerState::from_byte(was.state).forwards()
        {
            row.state = was.state;
        }
    }
}

/// Adds the rings of VIPs that leave, as they are, where no other VIP has them.
pub(super) fn add_rings(rings: &mut BTreeMap<RingId, Ring>, current: &BTreeMap<RingId, Ring>, registry: &Registry) {
    let ids = registry.leaving_vips().filter_map(|(_, leaving)| registry.ring_id(leaving.backend));
    let known = ids.filter_map(|id| Some((id, current.get(&id)?)));
    for (id, ring) in known {
        rings.entry(id).or_insert_with(|| ring.clone());
    }
}

/// What of a VIP decides about the hash of its flows.
const HASH: u16 = AFFINITY | FRAGMENTS_HASH;

/// New rings whose VIPs all had one ring together that is going: what its slots were. So flows stay where they are when a
/// frontend gets another backend: hashes are the same, and the slots change hands as any others.
pub(super) fn heirs(current: &Tables, vips: &BTreeMap<Endpoint, Vip>, registry: &Registry) -> BTreeMap<RingId, Slots> {
    // Who leaves goes by the ring as it is.
    let leaving: BTreeSet<_> = registry.leaving_vips().flat_map(|(_, vip)| vip.rows.keys()).collect();
    let is_asked = |key: &Endpoint| !key.is_address_entry() && !leaving.contains(key);
    let mut heirs: BTreeMap<RingId, Option<RingId>> = BTreeMap::new();
    let mut users: BTreeMap<RingId, BTreeSet<Option<RingId>>> = BTreeMap::new();
    for (key, before) in current.vips.iter().filter(|(key, _)| is_asked(key)) {
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
