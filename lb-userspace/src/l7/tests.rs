//! The path as a whole: real sockets on loopback, servers and clients written by hand.

pub(crate) mod model;
pub(crate) mod tls;
mod pressure;
mod proxy;
mod proxied;
pub(crate) mod origin;
mod ports;
mod hashed;
mod http;
mod limits;
mod logged;
mod http2;
mod wire;
mod reencrypted;
mod reuse;
mod relay;
mod rows;
mod admitted;
mod ruled;
mod streaming;
mod encrypted;
mod error_files;
mod drain;
pub(super) mod panics;
