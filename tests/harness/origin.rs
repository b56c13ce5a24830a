//! Origin servers: what the balancer sends traffic to.
//!
//! [`Nginx`] answers requests and logs each; [`Echo`] holds connections open and sends back what it is sent.

pub mod nginx;
pub mod echo;

pub use echo::Echo;
pub use nginx::{Listen, Nginx};
