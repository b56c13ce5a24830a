//! The heartbeat in the kernel: the worker writes it, and VIPs with `daemon_down = "withdraw"` go by it.

use super::{
    handed::MapSource,
    raw::Raw,
    shape::{MapUnusable, io_error, typed},
};
use aya::maps::{Array, MapData};
use lb_common::{Heartbeat, maps::HEARTBEAT};
use rustix::time::{ClockId, clock_gettime};
use std::{io, time::Duration};

/// The map of the heartbeat.
pub struct HeartbeatMap(Array<MapData, Raw<Heartbeat>>);

/// How long ago a daemon was alive.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pulse {
    /// Since its last beat, without the time that the machine slept; `None`: none has beaten yet.
    pub age: Option<Duration>,
    /// For how long it may be silent: `[global] heartbeat_timeout`.
    pub timeout: Duration,
}

impl HeartbeatMap {
    /// From descriptors that were handed over, which needs no capability, or from the pins.
    pub fn open(source: &impl MapSource) -> Result<Self, MapUnusable> {
        Ok(Self(typed(HEARTBEAT, source.open(HEARTBEAT)?)?))
    }

    /// Says that the daemon lives, and for how long that holds.
    pub fn beat(&mut self, timeout: Duration) -> io::Result<()> {
        let patience = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.0.set(0, Raw(Heartbeat { beat: now(), patience }), 0).map_err(io_error)
    }

    /// What was said last.
    pub fn read(&self) -> io::Result<Pulse> {
        let Raw(Heartbeat { beat, patience }) = self.0.get(&0, 0).map_err(io_error)?;
        let age = Duration::from_nanos(now().saturating_sub(beat));
        Ok(Pulse { age: (patience != 0).then_some(age), timeout: Duration::from_nanos(patience) })
    }
}

impl Pulse {
    /// Whether the packet path takes the daemon for dead.
    pub fn is_dead(&self) -> bool {
        self.age.is_some_and(|age| age > self.timeout)
    }
}

/// The packet path's clock, in nanoseconds.
fn now() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_silent_for_too_long_is_dead_and_who_never_spoke_is_not() {
        let timeout = Duration::from_secs(10);
        let pulse = |seconds| Pulse { age: Some(Duration::from_secs(seconds)), timeout };
        assert!(!pulse(10).is_dead() && pulse(11).is_dead());
        assert!(!Pulse::default().is_dead());
    }
}
