//! What the kernel half and the userspace half agree on: the rows of the maps, the hash, the reasons.
//!
//! Rules of this crate, because both halves read the same bytes:
//! - network byte order wherever a value comes from or goes to a packet, and a type that says so ([`Be16`], [`Be32`]);
//! - no padding (`bytemuck::Pod` refuses it at compile time), no `bool`, `enum` or `Option` in a row;
//! - reserved bytes are named and always zero: hash maps compare keys byte by byte;
//! - `no_std`, no aya, no features, no `unsafe`.
//!
//! Read in this order: a packet's destination is looked up as an endpoint, its [`Vip`] names a ring, the flow's [`hash`]
//! picks a [`Slot`], the slot names a [`ServerEntry`], and that names a [`NextHop`].
#![no_std]

mod layout;
mod words;

pub mod addr;
pub mod family;
pub mod vip;
pub mod hash;
pub mod slots;
pub mod flow;
pub mod server;
pub mod next_hop;
pub mod returns;
pub mod lookup;
pub mod counters;
pub mod bucket;
pub mod heartbeat;
pub mod stop;
pub mod event;
pub mod maps;

pub use addr::{Be16, Be32, Be128, Mac, Protocol};
pub use bucket::Bucket;
pub use counters::Counters;
pub use event::Unresolved;
pub use family::{Ends, Family, V4, V6};
pub use flow::{Connection4, Connection6, Flow, FlowKey4, FlowKey6, Fragment4, Fragment6, FragmentKey4, FragmentKey6};
pub use heartbeat::Heartbeat;
pub use next_hop::{NextHop, Route4Key, Route6Key, Tag};
pub use returns::{Return4, Return6};
pub use server::{ServerEntry, ServerId, ServerState};
pub use slots::{RingHead, RingId, SLOTS, Slot};
pub use stop::{End, Note, Stop};
pub use vip::{Endpoint4, Endpoint6, Forward, Vip, VipId};
