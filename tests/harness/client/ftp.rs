//! FTP, by a client that people use.

use super::curl;
use crate::netns::Namespace;
use anyhow::Result;
use std::net::{IpAddr, SocketAddr};

/// Reads a file, with more arguments of curl. Passive: the client opens the connection of the transfer, to the address of
/// the control connection and the port that the server says (EPSV, RFC 2428). With `--disable-epsv` the server says an
/// address too (PASV).
pub fn read(client: &Namespace, arguments: &[&str], server: IpAddr, file: &str) -> Result<String> {
    curl(client.command("curl"), &[arguments, &[&url(server, file)]].concat())
}

/// Writes a file of this computer to the server.
pub fn write(client: &Namespace, arguments: &[&str], server: IpAddr, from: &str, file: &str) -> Result<()> {
    curl(client.command("curl"), &[arguments, &["--upload-file", from, &url(server, file)]].concat()).map(drop)
}

/// With a port, an address of IPv6 is in brackets, as it must be in a URL.
fn url(server: IpAddr, file: &str) -> String {
    format!("ftp://{}/{file}", SocketAddr::new(server, 21))
}
