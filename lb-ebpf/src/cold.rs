//! What is rare: off the fast path, in functions of their own, so that it costs the rest neither instructions nor stack.
//!
//! First it is found out where a packet goes, by its [`connection`], by its [`fragment`]s, by what an [`icmp`] error quotes;
//! then it is sent there ([`deliver`]).

pub mod look;
pub mod connection;
pub mod deliver;
pub mod fragment;
pub mod icmp;
pub mod too_big;
