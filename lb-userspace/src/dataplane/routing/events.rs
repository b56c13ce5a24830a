//! What the packet path says in `EVENTS`: where it could not send a packet.
#![expect(unsafe_code, reason = "tokio waits for a descriptor that must stay open, which only we can promise")]

use crate::dataplane::{
    pins::Pins,
    shape::{MapUnusable, typed},
};
use aya::maps::{MapData, RingBuf};
use lb_common::{Unresolved, maps::EVENTS};
use std::{collections::BTreeSet, io, net::IpAddr, time::Duration};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

/// Between two readings, so that a flood costs a share of the time only. What does not fit into the buffer meanwhile, the
/// packet path does not say.
const PAUSE: Duration = Duration::from_millis(10);
/// Records that are read at once: more than the buffer holds.
const AT_ONCE: usize = 8_192;
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The reading end of `EVENTS`. There must be one only.
pub struct Events {
    buffer: AsyncFd<RingBuf<MapData>>,
    not_before: Instant,
}

impl Events {
    /// Opens the buffer that [`load`](crate::dataplane::load::load) pinned, for the current tokio runtime.
    pub fn open(pins: &Pins) -> Result<Self, MapUnusable> {
        let buffer: RingBuf<MapData> = typed(EVENTS, pins.open(EVENTS)?)?;
        // SAFETY: the buffer owns its descriptor, never changes it, and lives in the `AsyncFd` as long as that.
        let registered = unsafe { AsyncFd::register_with_interest(buffer, Interest::READABLE) };
        let refused = |error| MapUnusable::Open(EVENTS.to_owned(), io::Error::from(error));
        Ok(Self { buffer: registered.map_err(refused)?, not_before: Instant::now() })
    }

    /// Reads no more for so long.
    pub(super) fn rest(&mut self, pause: Duration) {
        self.not_before = self.not_before.max(Instant::now() + pause);
    }

    /// Waits for packets that found no Ethernet address, and says where they were to go, each address once and in the order
    /// of the packets. Cancel-safe.
    pub(super) async fn unresolved(&mut self) -> Vec<IpAddr> {
        loop {
            sleep_until(self.not_before).await;
            let read = self.read().await;
            self.not_before = Instant::now() + if read.is_ok() { PAUSE } else { RETRY };
            match read {
                Ok(addresses) if addresses.is_empty() => {}
                Ok(addresses) => return addresses,
                Err(error) => tracing::error!(%error, "cannot hear which neighbours the packet path misses"),
            }
        }
    }

    async fn read(&mut self) -> io::Result<Vec<IpAddr>> {
        let mut ready = self.buffer.readable_mut().await?;
        let (mut addresses, mut seen) = (Vec::new(), BTreeSet::new());
        for _ in 0..AT_ONCE {
            let Some(record) = ready.get_inner_mut().next() else {
                ready.clear_ready();
                break;
            };
            if let Ok(Unresolved { address }) = bytemuck::try_pod_read_unaligned(&record)
                && seen.insert(address)
            {
                addresses.push(address.ip());
            }
        }
        Ok(addresses)
    }
}
