//! The planner's picture of the kernel's maps, and the single changes it makes to them.

use crate::model::Endpoint;
use lb_common::{RingId, SLOTS, ServerEntry, ServerId, Slot, Vip, VipId, vip::flags::FRAGMENTS_ONLY};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// The slots of one half of a ring; always [`SLOTS`] of them.
pub type Slots = Arc<[Slot; SLOTS]>;

/// Slots that name nobody.
pub fn empty_slots() -> Slots {
    static EMPTY: [Slot; SLOTS] = [Slot::of(0); SLOTS];
    Arc::new(EMPTY)
}

/// The maps that the planner writes, as a value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tables {
    /// `SERVERS`, without free rows.
    pub servers: BTreeMap<ServerId, ServerEntry>,
    /// `RING_HEADS` and the live halves of `RINGS`, without unused rows.
    pub rings: BTreeMap<RingId, Ring>,
    /// `SOURCES`, without free rows.
    pub sources: BTreeMap<u16, IpAddr>,
    /// `VIPS4` and `VIPS6`.
    pub vips: BTreeMap<Endpoint, Vip>,
    /// `RETURNS4` and `RETURNS6`.
    pub returns: BTreeMap<Endpoint, Return>,
}

impl Tables {
    /// As which VIP each row of `VIP_COUNTERS` counts. The ports of a range share a row, which is that of the lowest.
    pub fn counted_vips(&self) -> BTreeMap<VipId, Endpoint> {
        let mut counted = BTreeMap::new();
        for (key, vip) in self.vips.iter().filter(|(key, vip)| !key.is_address_entry() && !vip.has(FRAGMENTS_ONLY)) {
            counted.entry(vip.id).or_insert(*key);
        }
        counted
    }
}

/// What the client must see as the source of a reply instead of the server, in either family. Without a VIP (row 0) the
/// table of connections knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Return {
    /// Row in `VIP_COUNTERS`; 0: none.
    pub vip: VipId,
    /// The VIP's address, of the family of the server's.
    pub address: IpAddr,
    /// The VIP's port; 0 keeps the port of the packet.
    pub port: u16,
    /// Row in `SERVER_COUNTERS`.
    pub server: ServerId,
    /// Largest TCP segment that connections may agree on, in bytes; 0: as it is.
    pub mss: u16,
}

/// A backend's ring.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ring {
    /// See [`backend::identity`](crate::model::backend::identity).
    pub identity: u64,
    /// The live half. Which of the two it is, is the writer's business.
    pub slots: Slots,
}

/// One change of one map. Each is atomic for the packet path, but for [`ForgetFlows`](Self::ForgetFlows).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// Lets the counters of a server start at zero, because another one gets the row.
    ZeroServer(ServerId),
    /// Lets the counters of a VIP start at zero, because another one gets the row.
    ZeroVip(VipId),
    /// Forgets all flows and connections of a server, because another one gets the row.
    ForgetFlows(ServerId),
    /// Writes a row of `SERVERS`.
    PutServer(ServerId, ServerEntry),
    /// Writes the half of a ring that is not live; creates the ring if it is new.
    PutRingHalf(RingId, Slots),
    /// Makes the half written last the live one, for the backend of that identity.
    FlipRing(RingId, u64),
    /// Writes a row of `SOURCES`.
    PutSource(u16, IpAddr),
    /// Writes an entry of the returns.
    PutReturn(Endpoint, Return),
    /// Writes a VIP or an address entry.
    PutVip(Endpoint, Vip),
    /// Removes a VIP or an address entry.
    RemoveVip(Endpoint),
    /// Removes an entry of the returns.
    RemoveReturn(Endpoint),
    /// Frees a row of `SOURCES`.
    RemoveSource(u16),
    /// Frees a ring.
    RemoveRing(RingId),
    /// Frees a row of `SERVERS`.
    RemoveServer(ServerId),
}
