//! FTP, by a client that people use.

use super::curl;
use crate::netns::Namespace;
use anyhow::Result;
use std::net::{IpAddr, SocketAddr};

/// Reads a file, with more arguments of curl. Passive: the client opens the connection of the transfer, to the address of
/// the control connection and the port that the server says (EPSV, RFC 2428). With `--disable-epsv` the server says an
/// address too (PASV).
pub fn read(client: &Namespace, arguments: &[&str], server: IpAddr, file: &str) -> Result<String> {
    // With a port, an address of IPv6 is in brackets, as it must be in a URL.
    let url = format!("ftp://{}/{file}", SocketAddr::new(server, 21));
    curl(client.command("curl"), &[arguments, &[&url]].concat())
}
