//! What the kernel half and the userspace half agree on: the rows of the maps, the hash, the reasons.
//!
//! Rules of this crate, because both halves read the same bytes:
//! - network byte order wherever a value comes from or goes to a packet, and a type that says so ([`Be16`], [`Be32`]);
//! - no padding (`bytemuck::Pod` refuses it at compile time), no `bool`, `enum` or `Option` in a row;
//! - reserved bytes are named and always zero: hash maps compare keys byte by byte;
//! - `no_std`, no aya, no features, no `unsafe`.
//!
//! Read in this order: a packet's destination is looked up as a [`Vip4Key`], its [`Vip`] names a ring, the flow's
//! [`hash`] picks a [`Slot`], the slot names a [`ServerEntry`], and that names a [`NextHop`].
#![no_std]

mod layout;

pub mod addr;
pub mod vip;
pub mod hash;
pub mod slots;
pub mod server;
pub mod next_hop;
pub mod returns;
pub mod counters;
pub mod stop;
pub mod event;
pub mod maps;

pub use addr::{Be16, Be32, Mac, Protocol};
pub use counters::Counters;
pub use event::Unresolved;
pub use next_hop::{NextHop, Route4Key};
pub use returns::{Return4, Return4Key};
pub use server::{ServerEntry, ServerId, ServerState};
pub use slots::{RingHead, RingId, SLOTS, Slot};
pub use stop::Stop;
pub use vip::{Forward, Vip, Vip4Key, VipId};
