//! L7 PATH: one connection, in the order it goes.
//!
//! [`Threads`] serve [`listener`]s, each thread with a runtime of its own; nothing migrates between threads. A
//! connection is accepted, tells who it is (`proxy_protocol`), is perhaps decrypted ([`tls`]), and then either relayed (`tcp`)
//! or understood (`serve`, with the codec `http1` or with `http2`). Each request is an `exchange`: `rules` on what `acl` sees,
//! a server by `cookie` and `balance`, reached (`connect`, `idle`) and asked (`ask`), while `pump`s move both bodies; the
//! answer comes back the same way, and a line of the `log` tells the `tale`.
//!
//! h2 is named in `http2`, `serve/http2` and `ask/http2` alone, rustls in `tls` alone. This folder never touches the kernel's
//! maps.

pub mod listener;
pub mod snapshot;
pub mod threads;
mod accept;
mod client;
mod roll;
mod seats;
mod scarce;
pub mod memory;
pub(crate) mod proxy_protocol;
pub mod panics;
pub mod tls;
mod tcp;
mod io;
mod timer;
mod pump;
pub(crate) mod message;
pub(crate) mod http1;
pub(crate) mod http2;
mod serve;
mod exchange;
mod tale;
mod acl;
mod numbers;
mod rules;
mod forwarded;
pub(crate) mod log;
mod balance;
mod cookie;
pub(crate) mod connect;
mod idle;
mod own;
mod ask;
mod answer;
pub mod explain;
#[cfg(test)]
pub(crate) mod tests;

pub use listener::bind;
pub use roll::Present;
pub use snapshot::{Snapshot, SnapshotError};
pub use threads::{BoundListener, Threads};
