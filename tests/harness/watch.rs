//! Looks whether the balancer's own network stack sees the traffic of a VIP.
//!
//! A packet socket on all devices of the namespace: the kernel hands it every packet between XDP and the stack, both
//! ways, as it does for tcpdump. What XDP sends on or drops never gets here. Frames for other machines, which a switch
//! sends everywhere until it knows better, do not count.

use crate::netns::Namespace;
use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{ErrorKind, Read},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// `ETH_P_ALL` of linux/if_ether.h.
const EVERY_PROTOCOL: u16 = 3;

/// Counts packets as long as it lives.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

/// What the stack saw.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// TCP and UDP packets between the client and the port: 0 if XDP carries them.
    pub of_client: u64,
    /// All others, such as health checks. More than 0 shows that the watch sees anything at all.
    pub others: u64,
}

impl Watch {
    /// Starts to count. `device` is the one that leads to the client; `client` and `port` are those of the connections
    /// that the stack should not see.
    pub fn start(namespace: &Namespace, device: &str, client: impl Into<IpAddr>, port: u16) -> Result<Self> {
        let (own, client) = (namespace.ethernet_address(device)?, client.into());
        let protocol = Protocol::from(i32::from(EVERY_PROTOCOL.to_be()));
        let socket = namespace.run(|| Socket::new(Domain::PACKET, Type::RAW, Some(protocol)))?;
        let mut socket = socket.context("a packet socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut frame = [0; 128];
            loop {
                if stopped.load(Ordering::Relaxed) {
                    // What came before the stop counts, and no more is waited for.
                    socket.set_nonblocking(true)?;
                }
                match socket.read(&mut frame) {
                    Ok(length) => seen.count(frame.get(..length).unwrap_or_default(), own, client, port),
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                    Err(_) if stopped.load(Ordering::Relaxed) => return Ok(seen),
                    Err(_) => {}
                }
            }
        });
        Ok(Self { stop, thread })
    }

    /// Stops and returns the counts.
    pub fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the watch panicked")?
    }
}

impl Seen {
    fn count(&mut self, frame: &[u8], own: [u8; 6], client: IpAddr, port: u16) {
        const HEADER: usize = 14;
        let Some((ethernet, packet)) = frame.split_at_checked(HEADER) else { return };
        let for_other_machine = !ethernet.starts_with(&own) && ethernet.get(6..12) != Some(&own);
        match is_between(packet, client, port) {
            true if for_other_machine => {}
            true => self.of_client += 1,
            false => self.others += 1,
        }
    }
}

/// Whether an IP packet runs between the client and any machine's `port`, either way. Ports are looked for right after the
/// header of IPv6: nothing here sends extension headers.
fn is_between(packet: &[u8], client: IpAddr, port: u16) -> bool {
    let Some(&first) = packet.first() else { return false };
    let (version, client, source, destination, ports) = match client {
        IpAddr::V4(v4) => (4, &v4.octets()[..], 12, 16, usize::from(first & 0xf) * 4),
        IpAddr::V6(v6) => (6, &v6.octets()[..], 8, 24, 40),
    };
    let has = |offset: usize, bytes: &[u8]| packet.get(offset..offset + bytes.len()) == Some(bytes);
    let port = port.to_be_bytes();
    first >> 4 == version
        && (has(source, client) && has(ports + 2, &port) || has(destination, client) && has(ports, &port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{CLIENT, Family, NAT_VIP};

    #[test]
    fn packets_count_in_both_directions_and_no_others_do() {
        let packet = |from: IpAddr, to: IpAddr, ports: [u8; 4]| match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [&[0x45; 12][..], &from.octets(), &to.octets(), &ports].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [&[0x60; 8][..], &from.octets(), &to.octets(), &ports].concat(),
            _ => unreachable!(),
        };
        for family in Family::BOTH {
            let (client, there) = (family.client(), family.nat_vip());
            assert!(is_between(&packet(client, there, [200, 0, 0, 80]), client, 80));
            assert!(is_between(&packet(there, client, [0, 80, 200, 0]), client, 80));
            assert!(!is_between(&packet(client, there, [200, 0, 1, 187]), client, 80));
            assert!(!is_between(&packet(there, there, [200, 0, 0, 80]), client, 80));
        }
        assert!(!is_between(&[0x45], CLIENT.into(), 80));
    }

    #[test]
    fn a_frame_for_another_machine_does_not_count() {
        let packet = [&[0x45; 12][..], &CLIENT.octets(), &NAT_VIP.octets(), &[200, 0, 0, 80]].concat();
        let (own, other, third) = ([1; 6], [2; 6], [3; 6]);
        let mut seen = Seen::default();
        for (destination, source) in [(own, other), (other, own), (other, third)] {
            seen.count(&[&destination[..], &source, &[8, 0], &packet].concat(), own, CLIENT.into(), 80);
        }
        assert_eq!(seen, Seen { of_client: 2, others: 0 });
    }
}
