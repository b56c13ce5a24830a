//! From bytes to headers. Nothing here looks at a table.

pub mod ethernet;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod extensions;
pub mod l4;
pub mod quoted;

pub use ip::{Ip, Layer3, Part, header, ip};
pub use l4::{L4, l4};
