//! Heartbeat: how the packet path knows that the daemon lives.

use crate::layout::map_type;
use bytemuck::{Pod, Zeroable};

/// The one row of `HEARTBEAT`. While nobody wrote it, nobody is missed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Heartbeat {
    /// When the daemon was alive last: nanoseconds of the coarse monotonic clock, which stands still while the machine sleeps.
    pub beat: u64,
    /// For how many nanoseconds it may be silent; 0: for ever.
    pub patience: u64,
}
map_type!(Heartbeat, size = 16, { beat = 0, patience = 8 });

impl Heartbeat {
    /// Whether the daemon has been silent for too long.
    #[inline(always)]
    pub const fn is_dead(&self, now: u64) -> bool {
        // A beat that is ahead of the clock is fresh: CPUs do not see the clock tick at the same moment.
        self.patience != 0 && now.saturating_sub(self.beat) > self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_dead_once_it_was_silent_for_longer_than_it_may() {
        let heartbeat = Heartbeat { beat: 1_000, patience: 50 };
        assert!(!heartbeat.is_dead(1_000) && !heartbeat.is_dead(1_050) && heartbeat.is_dead(1_051));
        assert!(!heartbeat.is_dead(999), "the clock of another CPU");
    }

    #[test]
    fn nobody_is_missed_who_never_promised_to_come() {
        assert!(!Heartbeat::default().is_dead(u64::MAX));
    }
}
