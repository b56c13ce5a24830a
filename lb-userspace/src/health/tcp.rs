//! The TCP check: the connection opened, and that is all.

use super::Code;
use socket2::SockRef;
use std::time::Duration;
use tokio::net::TcpStream;

/// Lets the connection end by a reset, as HAProxy does: that leaves nothing behind on either side.
pub(super) fn finish(stream: &TcpStream) -> (Code, String) {
    // If the option cannot be set, the connection closes the long way.
    drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
    (Code::L4Ok, String::new())
}
