//! How a server sees a client: what the echo server says to everybody who comes.

use anyhow::{Context, Result};
use std::{collections::BTreeMap, net::SocketAddr};

/// A client and a server that met.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The server's name.
    pub server: String,
    /// The client as it knows itself.
    pub own: SocketAddr,
    /// The client as the server sees it.
    pub there: SocketAddr,
}

impl Seen {
    /// Reads `web1 198.51.100.10:40000`, said to a client that is at `own`.
    pub(super) fn read(own: SocketAddr, said: &str) -> Result<Self> {
        let (server, there) = said.split_once(' ').with_context(|| format!("no name in {said:?}"))?;
        let there = there.parse().with_context(|| format!("no address in {said:?}"))?;
        Ok(Self { server: server.to_owned(), own, there })
    }
}

/// How many met each server.
pub fn by_server<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for Seen { server, .. } in seen {
        *count.entry(server.clone()).or_default() += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_echo_server_says_is_read_for_both_families() -> Result<()> {
        for client in ["198.51.100.10:40000", "[2001:db8:100::10]:40000"] {
            let client: SocketAddr = client.parse()?;
            let seen = Seen::read(client, &format!("web1 {client}"))?;
            assert_eq!(seen, Seen { server: "web1".to_owned(), own: client, there: client });
        }
        assert!(Seen::read("198.51.100.10:40000".parse()?, "web1").is_err());
        Ok(())
    }
}
