//! UDP to echo servers.

use super::PATIENCE;
use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

/// Sends one datagram from each of `count` ports; the replies must come from the very address that was asked. Returns
/// how many each server answered.
pub fn ask(client: &Namespace, address: SocketAddr, count: usize) -> Result<BTreeMap<String, usize>> {
    client.run(|| {
        let mut answers = BTreeMap::new();
        for number in 0..count {
            *answers.entry(ask_once(address, &format!("datagram {number}"))?).or_default() += 1;
        }
        Ok(answers)
    })?
}

fn ask_once(address: SocketAddr, message: &str) -> Result<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(message.as_bytes(), address)?;
    let mut buffer = vec![0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).with_context(|| format!("no answer to {message:?}"))?;
    buffer.truncate(length);
    let reply = String::from_utf8(buffer)?;
    ensure!(from == address, "asked {address}, {from} answered");
    let (server, echoed) = reply.split_once(' ').context("no name in the reply")?;
    ensure!(echoed == message, "sent {message:?}, got {echoed:?}");
    Ok(server.to_owned())
}
