//! The daemon of Sluice and its command line. Start reading at `supervisor.rs`, then `worker.rs`.

pub mod config;
pub mod model;
pub mod health;
mod authentication;
mod crypt;
mod hashing;
pub mod resolver;
pub mod servers;
pub mod plan;
pub mod dataplane;
pub mod preflight;
pub mod l7;
pub mod events;
pub mod channel;
pub mod supervisor;
pub mod worker;
pub mod runner;
pub mod admin;
pub mod import;
pub mod exit;
pub mod cli;
#[cfg(test)]
mod reference;
