//! CONTROL PATH 3: what the kernel should hold, and the way there. No I/O, no clock.

pub mod maglev;
pub mod tables;
pub mod census;
pub mod transition;
pub mod desired;
pub mod diff;
pub mod preview;

pub use census::{Census, Connections};
pub use desired::{Planner, desired};
pub use diff::diff;
pub use tables::{Ring, Tables, Write};
pub use transition::Moment;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod testing;
