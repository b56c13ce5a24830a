//! Cookie: how a client is brought back to its server.

use std::{fmt, net::IpAddr, time::Duration};
use xxhash_rust::xxh64::xxh64;

/// The cookie that names a client's server. HAProxy's `cookie`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the configuration")]
pub struct Cookie {
    /// Its name. Case counts.
    pub name: String,
    /// Whose cookie it is.
    pub mode: CookieMode,
    /// `insert`: servers never see it, and clients that have the right one do not get it again.
    pub indirect: bool,
    /// Answers that set it are not for shared caches.
    pub nocache: bool,
    /// Only answers to POST set it.
    pub postonly: bool,
    /// A server may set it itself, and that is left alone.
    pub preserve: bool,
    /// Longest time between two uses.
    pub maxidle: Option<Duration>,
    /// Longest time from the first use.
    pub maxlife: Option<Duration>,
    /// What follows its value and path: `; Secure` and the like.
    pub attributes: String,
    /// Whether a client stays with its server even if that is down.
    pub persist: bool,
}

/// Whose cookie it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CookieMode {
    /// Ours: added to answers.
    #[default]
    Insert,
    /// The server's: its value becomes ours where the server sets it.
    Rewrite,
    /// The server's: our value is put before its own, and taken away again before the server sees it.
    Prefix,
}

/// What the values of servers are made with that have none of their own. `Debug` keeps it to itself.
#[derive(Clone, Eq, PartialEq)]
pub struct CookieKey(pub String);

impl CookieKey {
    /// The value of the server at that address: HAProxy's `srv_set_dyncookie` (server.c). A server without a port has port 0
    /// there.
    pub fn value(&self, ip: IpAddr, port: u16) -> String {
        let mut bytes = self.0.clone().into_bytes();
        match ip {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
        bytes.extend(u32::from(port).to_be_bytes());
        format!("{:016x}", xxh64(&bytes, 0))
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey")
    }
}
