//! What the programs of this package and those who load them agree on: names, and the rows of their maps.
//!
//! Addresses and ports are as they lie in a packet, all other numbers in the byte order of the machine.

pub mod rearm;
pub mod reference;
