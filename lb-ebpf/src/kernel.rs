//! The kernel's side of the two traits of the packet path: [`Frame`] is a packet, [`Maps`] are the tables.

mod maps;
mod packet;

pub(crate) use maps::Maps;
pub(crate) use packet::Frame;
