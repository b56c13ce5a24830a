//! The kernel's side of the packet path: [`Frame`] is a packet, [`Maps`] are the tables, and each step of the path is a
//! function of its own.

mod maps;
mod packet;
mod steps;

pub(crate) use maps::Maps;
pub(crate) use packet::Frame;
pub(crate) use steps::run;
