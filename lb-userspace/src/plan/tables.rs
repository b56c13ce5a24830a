//! The planner's picture of the kernel's maps, and the single changes it makes to them.

use crate::model::Endpoint;
use lb_common::{RingId, SLOTS, ServerEntry, ServerId, Slot, Vip, VipId};
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
    /// `VIPS4` and `VIPS6`.
    pub vips: BTreeMap<Endpoint, Vip>,
    /// `RETURNS4` and `RETURNS6`.
    pub returns: BTreeMap<Endpoint, Return>,
}

/// What the client must see as the source of a reply instead of the server, in either family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Return {
    /// Row in `VIP_COUNTERS`.
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

/// One change of one map. Each is atomic for the packet path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// Writes a row of `SERVERS`.
    PutServer(ServerId, ServerEntry),
    /// Writes the half of a ring that is not live; creates the ring if it is new.
    PutRingHalf(RingId, Slots),
    /// Makes the half written last the live one, for the backend of that identity.
    FlipRing(RingId, u64),
    /// Writes an entry of the returns.
    PutReturn(Endpoint, Return),
    /// Writes a VIP or an address entry.
    PutVip(Endpoint, Vip),
    /// Removes a VIP or an address entry.
    RemoveVip(Endpoint),
    /// Removes an entry of the returns.
    RemoveReturn(Endpoint),
    /// Frees a ring.
    RemoveRing(RingId),
    /// Frees a row of `SERVERS`.
    RemoveServer(ServerId),
}
