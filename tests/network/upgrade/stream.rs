//! A steady stream of datagrams that echo servers send back.

use anyhow::{Context, Result};
use lb_tests::netns::Namespace;
use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;

/// Senders, each a flow of its own.
const SOCKETS: usize = 32;
/// Until late echoes have come.
const LATE: Duration = Duration::from_secs(1);

/// A stream that runs.
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Sent>>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) sent: u64,
    pub(super) echoed: u64,
}

impl Stream {
    /// So many datagrams a second, from one machine.
    pub(super) fn start(client: &Namespace, address: SocketAddr, rate: u32) -> Self {
        let (client, stop) = (client.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            client.enter()?;
            run(address, rate, &stopped)
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the sender panicked")?
    }
}

fn run(address: SocketAddr, rate: u32, stop: &AtomicBool) -> Result<Sent> {
    let sockets = (0..SOCKETS).map(|_| socket(address)).collect::<Result<Vec<_>>>()?;
    let (begun, mut sent) = (Instant::now(), Sent::default());
    let mut next = sockets.iter().cycle();
    while !stop.load(Ordering::Relaxed) {
        // A sender that was kept from running does not catch up by bursts: those fill queues, which is another story.
        let due = (begun.elapsed().as_micros() * u128::from(rate) / 1_000_000).min(u128::from(sent.sent) + 64);
        while u128::from(sent.sent) < due {
            let socket = next.next().context("no socket")?;
            sent.sent += u64::from(socket.send(b"datagram").is_ok());
        }
        sent.echoed += echoes(&sockets);
        thread::sleep(Duration::from_micros(500));
    }
    let end = Instant::now() + LATE;
    while Instant::now() < end && sent.echoed < sent.sent {
        sent.echoed += echoes(&sockets);
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

fn socket(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn echoes(sockets: &[UdpSocket]) -> u64 {
    let mut buffer = [0; 256];
    let mut count = 0;
    for socket in sockets {
        while socket.recv(&mut buffer).is_ok() {
            count += 1;
        }
    }
    count
}
