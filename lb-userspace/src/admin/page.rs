//! Statistics page: how things stand, for people with a browser, and in HAProxy's forms for tools. It is made from the rows that
//! `show stat` prints, and what it does is what the runtime API does.
//!
//! `serve` answers requests: who may see it (`crate::authentication`), what they ask for (`view`), and whether what they send comes
//! from the page itself (`guard`). The `desk` has the daemon's last word, at most a second old. `document`, `tables` and what
//! they use are pure: all text is escaped by construction, nothing is loaded from elsewhere, and nothing needs JavaScript.

mod act;
mod desk;
mod document;
mod fields;
mod graph;
mod guard;
mod numbers;
mod serve;
mod sides;
mod tables;
#[cfg(test)]
mod tests;
mod view;

pub use desk::{Desk, Look, Seen, Trails};
pub use serve::serve;
