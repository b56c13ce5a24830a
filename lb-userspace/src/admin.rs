//! Operating a running daemon: the control socket, its requests, the metrics, and the statistics page.

pub mod protocol;
pub mod ready;
pub mod socket;
pub mod status;
pub mod names;
pub mod ring;
pub mod flows;
pub mod kernel;
mod door;
pub mod explain;
pub mod metrics;
pub mod page;
pub mod plan;
pub mod rows;
pub mod runtime;
