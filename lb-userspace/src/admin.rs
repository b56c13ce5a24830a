//! Operating a running daemon: the control socket, its requests, and the metrics.

pub mod protocol;
pub mod ready;
pub mod socket;
pub mod status;
pub mod names;
pub mod ring;
pub mod flows;
pub mod kernel;
pub mod metrics;
pub mod plan;
pub mod rows;
pub mod runtime;
