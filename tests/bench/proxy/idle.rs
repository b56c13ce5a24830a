//! Memory of connections over TLS that have had one request each and wait for the next.

use super::{
    balancers::Balancer,
    origin::BODY,
    tls::{Connection, Tls},
};
use anyhow::{Result, ensure};
use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

/// Connections before the first look: what the first ones cost once is not a connection's price.
const FIRST: u32 = 200;
/// Connections between the two looks.
const MORE: u32 = 1_000;

/// Bytes that a balancer takes for 1,000 idle connections.
pub(super) fn memory(balancer: &Balancer<'_>, tls: &Tls) -> Result<f64> {
    let mut connections = Vec::new();
    open(FIRST, balancer, tls, &mut connections)?;
    let before = balancer.usage()?.memory;
    open(MORE, balancer, tls, &mut connections)?;
    let after = balancer.usage()?.memory;
    let (before, after) = (f64::from(u32::try_from(before)?), f64::from(u32::try_from(after)?));
    Ok((after - before) * 1_000.0 / f64::from(MORE))
}

fn open(count: u32, balancer: &Balancer<'_>, tls: &Tls, connections: &mut Vec<Connection>) -> Result<()> {
    /// What a balancer does after an answer, such as letting buffers go, is done then.
    const SETTLED: Duration = Duration::from_millis(300);
    for _ in 0..count {
        let mut connection = tls.connect(balancer.tls())?;
        connection.write_all(b"GET /api/ HTTP/1.1\r\nhost: bench.example.com\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        while !answer.ends_with(&[b'x'; BODY]) {
            let read = connection.read(&mut piece)?;
            ensure!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend(piece.iter().take(read));
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        }
        tls.note(&connection)?;
        connections.push(connection);
    }
    thread::sleep(SETTLED);
    Ok(())
}
