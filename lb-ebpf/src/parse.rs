//! From bytes to headers. Nothing here looks at a table.

pub mod ethernet;
pub mod ipv4;
pub mod l4;

pub use ipv4::{Ipv4, ipv4};
pub use l4::{L4, l4};
