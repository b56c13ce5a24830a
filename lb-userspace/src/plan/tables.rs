//! The planner's picture of the kernel's maps, and the single changes it makes to them.

use lb_common::{Return4, Return4Key, RingId, SLOTS, ServerEntry, ServerId, Slot, Vip, Vip4Key};
use std::{collections::BTreeMap, sync::Arc};

/// The slots of one half of a ring; always [`SLOTS`] of them.
pub type Slots = Arc<[Slot; SLOTS]>;

/// Slots that name nobody.
pub fn empty_slots() -> Slots {
    static EMPTY: [Slot; SLOTS] = [Slot { current: 0, reserved: 0 }; SLOTS];
    Arc::new(EMPTY)
}

/// The maps that the planner writes, as a value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tables {
    /// `SERVERS`, without free rows.
    pub servers: BTreeMap<ServerId, ServerEntry>,
    /// `RING_HEADS` and the live halves of `RINGS`, without unused rows.
    pub rings: BTreeMap<RingId, Ring>,
    /// `VIPS4`.
    pub vips: BTreeMap<Vip4Key, Vip>,
    /// `RETURNS4`.
    pub returns: BTreeMap<Return4Key, Return4>,
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
    /// Writes an entry of `RETURNS4`.
    PutReturn(Return4Key, Return4),
    /// Writes an entry of `VIPS4`.
    PutVip(Vip4Key, Vip),
    /// Removes an entry of `VIPS4`.
    RemoveVip(Vip4Key),
    /// Removes an entry of `RETURNS4`.
    RemoveReturn(Return4Key),
    /// Frees a ring.
    RemoveRing(RingId),
    /// Frees a row of `SERVERS`.
    RemoveServer(ServerId),
}
