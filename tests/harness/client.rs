//! Clients: what the balancer gets traffic from. All of them open their sockets inside a namespace.

pub mod curl;
pub mod http;
pub mod load;
pub mod flows;
pub mod udp;
pub mod seen;
pub mod bulk;
pub mod ftp;
pub mod ssh;
pub mod sql;
pub mod grpc;
pub mod flood;
pub mod websocket;

pub use curl::curl;
pub use flows::Flows;
pub use http::{Answer, Connection};
pub use load::{Exchange, Load};
pub use seen::Seen;
pub use websocket::WebSocket;

use std::time::Duration;

/// Longest wait for anything from the other end. Above many TCP retransmissions, which come after 0.2 s, 0.6 s, 1.4 s and so on up
/// to 25 s: packets that get lost, as under a flood, show as slowness; a connection that is broken for good shows as an error.
pub const PATIENCE: Duration = Duration::from_secs(30);
