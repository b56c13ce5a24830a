//! What the tests share: networks, processes, packets.

pub mod packet;
