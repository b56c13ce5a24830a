//! A small HTTP/1.1 client: GET requests, one after the other, on one connection.

use super::PATIENCE;
use crate::netns::Namespace;
use anyhow::{Context, Result};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
};

/// What came back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// The `X-Server` header of the origin; empty when it was not the origin that answered.
    pub server: String,
    /// The body.
    pub body: String,
}

/// A connection that is kept open.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects from a namespace.
    pub fn open(client: &Namespace, address: SocketAddr) -> Result<Self> {
        client.run(|| Self::connect(address))?
    }

    /// Connects from wherever the calling thread is.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), host: host_of(address) })
    }

    /// The `Host` of the requests to come, instead of the address.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    /// Sends a request and reads the answer.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.get_mut().write_all(request.as_bytes()).context("sending")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("not a status line: {line:?}"))?;
        let (mut length, mut server) = (0, String::new());
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().with_context(|| line.clone())?;
            } else if name.eq_ignore_ascii_case("x-server") {
                value.trim().clone_into(&mut server);
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).context("reading the body")?;
        Ok(Answer { status, server, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line).context("reading")?;
        anyhow::ensure!(length > 0, "closed without an answer");
        Ok(line.trim_end().to_owned())
    }
}

/// As it stands in a URL: an IPv6 address is in brackets (RFC 9110 §4.2.3 by RFC 3986 §3.2.2).
fn host_of(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
