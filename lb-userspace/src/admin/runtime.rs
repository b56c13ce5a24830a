//! The runtime API: HAProxy's dialect, spoken on the control socket and on `stats_socket`. Its lines are read by `words`, what they
//! ask is found in the table of `command`, and `session` speaks with a client. What needs the worker's state is done by
//! [`worker`](crate::worker); what does not is done in `session`.

pub mod command;
mod help;
mod session;
pub mod words;

pub use crate::model::Level;
pub use command::Verb;
#[cfg(test)]
pub(crate) use help::commands;
pub(in crate::admin) use session::{LONGEST_LINE, Peer, SILENCE, converse};
