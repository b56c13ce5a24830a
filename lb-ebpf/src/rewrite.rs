//! What changes in a packet on its way through. Everything is known by now: but for the room in front of a packet, nothing
//! here can fail.

pub mod translate;
pub mod tunnel;
pub mod mss;
