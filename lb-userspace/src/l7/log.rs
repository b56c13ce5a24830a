//! Log: one line for each request or relayed connection, written by nobody who serves.
#![expect(dead_code, reason = "nothing is logged yet")]

pub(crate) mod captured;
pub(crate) mod record;
pub(crate) mod termination;
