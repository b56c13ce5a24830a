//! Origin servers: what the balancer sends traffic to.
//!
//! [`Nginx`] answers requests and logs each; [`Echo`] holds connections open and sends back what it is sent; [`Ftp`] and [`Ssh`]
//! have files, [`Postgres`] and [`MariaDb`] tables, [`Grpc`] procedures; [`Mysql8`] takes logins as MySQL 8 does; a
//! [`Service`] is one of many that are checked, and an [`Agent`] stands beside one.

pub mod agent;
pub mod nginx;
pub mod echo;
pub mod ftp;
pub mod grpc;
pub mod mariadb;
pub mod mysql8;
pub mod postgres;
pub mod ssh;
pub mod service;
pub mod websocket;
mod unprivileged;

pub use agent::Agent;
pub use echo::Echo;
pub use ftp::Ftp;
pub use grpc::Grpc;
pub use mariadb::MariaDb;
pub use mysql8::Mysql8;
pub use nginx::{Listen, More, Nginx};
pub use postgres::Postgres;
pub use service::Service;
pub use ssh::Ssh;
