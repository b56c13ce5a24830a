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
    net::Ipv4Addr,
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
    pub fn start(namespace: &Namespace, device: &str, client: Ipv4Addr, port: u16) -> Result<Self> {
        let own = namespace.ethernet_address(device)?;
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
    fn count(&mut self, frame: &[u8], own: [u8; 6], client: Ipv4Addr, port: u16) {
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

/// Whether an IP packet runs between the client and any machine's `port`, either way.
fn is_between(packet: &[u8], client: Ipv4Addr, port: u16) -> bool {
    let Some(&first) = packet.first() else { return false };
    let header = usize::from(first & 0xf) * 4;
    let address = |offset: usize| packet.get(offset..offset + 4) == Some(&client.octets());
    let port = |offset: usize| packet.get(header + offset..header + offset + 2) == Some(&port.to_be_bytes());
    let (source, destination) = (12, 16);
    first >> 4 == 4 && (address(source) && port(2) || address(destination) && port(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_count_in_both_directions_and_no_others_do() {
        let client = Ipv4Addr::new(198, 51, 100, 10);
        let packet = |from: [u8; 4], to: [u8; 4], ports: [u8; 4]| [&[0x45; 12][..], &from, &to, &ports].concat();
        let (here, there) = (client.octets(), [192, 0, 2, 10]);
        assert!(is_between(&packet(here, there, [200, 0, 0, 80]), client, 80));
        assert!(is_between(&packet(there, here, [0, 80, 200, 0]), client, 80));
        assert!(!is_between(&packet(here, there, [200, 0, 1, 187]), client, 80));
        assert!(!is_between(&packet(there, there, [200, 0, 0, 80]), client, 80));
        assert!(!is_between(&[0x45], client, 80));
    }

    #[test]
    fn a_frame_for_another_machine_does_not_count() {
        let client = Ipv4Addr::new(198, 51, 100, 10);
        let packet = [&[0x45; 12][..], &client.octets(), &[192, 0, 2, 10], &[200, 0, 0, 80]].concat();
        let (own, other, third) = ([1; 6], [2; 6], [3; 6]);
        let mut seen = Seen::default();
        for (destination, source) in [(own, other), (other, own), (other, third)] {
            seen.count(&[&destination[..], &source, &[8, 0], &packet].concat(), own, client, 80);
        }
        assert_eq!(seen, Seen { of_client: 2, others: 0 });
    }
}
