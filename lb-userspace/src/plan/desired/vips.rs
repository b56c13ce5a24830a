//! The rows of `VIPS4` and `VIPS6`: each VIP, and for each address an entry that says what holds of all of it.

use crate::{
    model::{
        Affinity, Backend, DaemonDown, DownFlows, Endpoint, Fragments, KernelVip, Model, OnEmpty, Ping, QuorumDown,
        Track, backend,
    },
    servers::Registry,
};
use lb_common::{Be16, Forward, RingId, Vip, VipId, vip::flags};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The rows.
pub(super) fn rows(model: &Model, registry: &Registry) -> BTreeMap<Endpoint, Vip> {
    let mut rows = BTreeMap::new();
    let mut addresses: BTreeMap<IpAddr, Address> = BTreeMap::new();
    for (key, vip) in model.vips() {
        let Some(backend) = model.backends.get(vip.frontend.backend) else { continue };
        let Some(frontend) = model.frontends.get(vip.index) else { continue };
        let Some((id, ring)) = registry.vip_id(vip.counted_as).zip(registry.ring_id(backend::identity(&backend.name)))
        else {
            continue;
        };
        let has_quorum = registry.has_quorum(&frontend.name);
        let is_withdrawn = !has_quorum && frontend.quorum.down == QuorumDown::Withdraw;
        let mut row = row(id, ring, &vip, backend, registry);
        if is_withdrawn {
            row = withdrawn(row);
        }
        let is_silent = is_withdrawn || (vip.frontend.ping == Ping::Up && !has_quorum);
        addresses.entry(key.address).or_default().add(&key, vip.frontend.ping, is_silent);
        if let Some(key) = fragments_key(key, &vip) {
            rows.entry(key).or_insert(Vip { flags: row.flags | flags::FRAGMENTS_ONLY, ..row });
        }
        rows.insert(key, row);
    }
    for pool in pools(model) {
        addresses.entry(pool).or_default().flags |= flags::POOL;
    }
    let entry = |(address, Address { flags })| (Endpoint::address_entry(address), Vip { flags, ..Vip::default() });
    rows.extend(addresses.into_iter().map(entry));
    rows
}

/// The keys of all rows, whoever has which number.
pub fn keys(model: &Model) -> BTreeSet<Endpoint> {
    let mut keys = BTreeSet::new();
    for (key, vip) in model.vips() {
        keys.extend([key, Endpoint::address_entry(key.address)]);
        keys.extend(fragments_key(key, &vip));
    }
    keys.extend(pools(model).map(Endpoint::address_entry));
    keys
}

/// Later fragments have no ports: where they go by their addresses, there is a row for them beside the VIP's.
fn fragments_key(key: Endpoint, vip: &KernelVip) -> Option<Endpoint> {
    (vip.frontend.fragments == Fragments::Hash).then_some(Endpoint { port: 0, ..key })
}

fn pools(model: &Model) -> impl Iterator<Item = IpAddr> {
    let full_nat = model.kernel_backends().filter(|backend| backend.forward == Forward::FullNat);
    full_nat.flat_map(|backend| backend.sources.iter().copied())
}

/// The row of a VIP that has its quorum.
pub fn row(id: VipId, ring: RingId, vip: &KernelVip, backend: &Backend, registry: &Registry) -> Vip {
    let mut row = Vip { id, ring, forward: backend.forward as u8, mss: vip.frontend.mss, ..Vip::default() };
    match backend.forward {
        Forward::Gue => row.gue_port = Be16::new(backend.gue_port),
        Forward::FullNat => (row.sources_first, row.sources_count) = registry.pool(backend::identity(&backend.name)),
        Forward::Direct | Forward::Nat | Forward::Ipip => {}
    }
    let fragments = match vip.frontend.fragments {
        Fragments::Drop => 0,
        Fragments::Track => flags::FRAGMENTS_TRACK,
        Fragments::Hash => flags::FRAGMENTS_HASH,
    };
    let affinity = if backend.affinity == Affinity::Source { flags::AFFINITY } else { 0 };
    let track = if backend.track == Track::Full { flags::TRACK_FULL } else { 0 };
    let empty = if backend.failover.on_empty == OnEmpty::Reset { flags::REFUSES } else { 0 };
    let down = match backend.failover.flows {
        DownFlows::Move => 0,
        DownFlows::Keep => flags::KEEPS,
        DownFlows::Reset => flags::RESETS,
    };
    let daemon = if vip.frontend.daemon_down == DaemonDown::Withdraw { flags::NEEDS_DAEMON } else { 0 };
    row.flags = fragments | affinity | track | empty | down | daemon;
    row
}

/// The row of a VIP that is withdrawn: SYNs are dropped and nothing else happens, so no connection that is there is told that it
/// is over.
pub fn withdrawn(row: Vip) -> Vip {
    Vip { flags: (row.flags | flags::WITHDRAWN) & !(flags::REFUSES | flags::RESETS), ..row }
}

/// What the VIPs of an address ask of its entry.
#[derive(Default)]
struct Address {
    flags: u16,
}

impl Address {
    /// One that answers a ping decides over one that is silent for now, and that over one that leaves it to the host.
    fn add(&mut self, key: &Endpoint, ping: Ping, is_silent: bool) {
        if ping != Ping::Host && !is_silent {
            self.flags |= flags::PING;
            self.flags &= !flags::PING_DROP;
        } else if ping != Ping::Host && self.flags & flags::PING == 0 {
            self.flags |= flags::PING_DROP;
        }
        if key.port == 0 {
            self.flags |= flags::ANY_PORT;
        }
    }
}

#[cfg(test)]
mod tests;
