//! What is rare: off the fast path, in functions of their own, so that it costs the rest neither instructions nor stack.
//!
//! First it is found out where a packet goes, by its [`connection`], by its [`fragment`]s, by what an [`icmp`] error quotes;
//! then it is sent there ([`deliver`]). Some are answered here instead ([`answer`]).

pub mod look;
pub mod connection;
pub mod lending;
pub mod deliver;
pub mod fragment;
pub mod icmp;
pub mod answer;
pub mod too_big;
pub mod refuse;
