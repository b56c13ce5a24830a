//! Origin servers: what the balancer sends traffic to.
//!
//! [`Nginx`] answers requests and logs each; [`Echo`] holds connections open and sends back what it is sent; [`Ftp`] has
//! files.

pub mod nginx;
pub mod echo;
pub mod ftp;

pub use echo::Echo;
pub use ftp::Ftp;
pub use nginx::{Listen, Nginx};
