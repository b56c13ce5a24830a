//! What changes in a packet on its way through. Everything is known by now: nothing here can fail.

pub mod direct;
pub mod nat;
