//! Bucket: bounds how often something may happen, on each CPU by itself.

use crate::layout::map_type;
use bytemuck::{Pod, Zeroable};

/// A token bucket: a row of `BUCKETS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Bucket {
    /// When it was filled up last: nanoseconds of the coarse clock.
    pub filled: u64,
    /// How often it may still happen, times 2^32.
    pub tokens: u64,
}
map_type!(Bucket, size = 16, { filled = 0, tokens = 8 });

/// Row of `BUCKETS`: insertions into the flow table, so that a flood while a slot changes hands cannot fill it.
pub const INSERTS: u32 = 0;
/// Row of `BUCKETS`: answers by ICMP to packets that are too big.
pub const ANSWERS: u32 = 1;
/// Row of `BUCKETS`: answers by ICMP to datagrams that nobody takes, so that a flood of them leaves those to packets that are
/// too big alone: without them paths stay unusable.
pub const REFUSALS: u32 = 2;
/// Rows of `BUCKETS`.
pub const BUCKETS: u32 = 3;

/// Answers by ICMP, of either sort: on each CPU a second.
pub const ANSWERS_PER_SECOND: u32 = 1_000;

impl Bucket {
    /// Takes a token, if there is one. The bucket holds what comes in within a quarter of a second.
    #[inline(always)]
    pub const fn take(&mut self, now: u64, per_second: u32) -> bool {
        // 2^32 / 10^9 is 4.29: tokens a nanosecond, a little less than asked for.
        const SCALE: u64 = 4;
        const ONE: u64 = 1 << 32;
        let full = (per_second as u64) << 30;
        let passed = now.saturating_sub(self.filled);
        // After a quarter of a second it is full anyway; more would overflow.
        let gained = if passed >= 1 << 28 { full } else { passed * SCALE * per_second as u64 };
        self.filled = now;
        let tokens = self.tokens.saturating_add(gained);
        self.tokens = if tokens > full { full } else { tokens };
        if self.tokens < ONE {
            return false;
        }
        self.tokens -= ONE;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, from: u64, nanoseconds: u64, per_second: u32) -> u64 {
        (0..nanoseconds / 1_000).filter(|step| bucket.take(from + step * 1_000, per_second)).count() as u64
    }

    #[test]
    fn a_flood_gets_what_a_second_allows() {
        let mut bucket = Bucket::default();
        let start = 1 << 40;
        let taken = taken(&mut bucket, start, 1_000_000_000, 1_000);
        assert!((1_100..=1_250).contains(&taken), "{taken}: what was saved up, and a second's worth");
    }

    #[test]
    fn what_was_not_used_is_not_saved_for_long() {
        let mut bucket = Bucket::default();
        assert!(bucket.take(1 << 50, 1_000));
        let burst = (0..1_000).filter(|_| bucket.take((1 << 50) + 1, 1_000)).count();
        assert!((240..=250).contains(&burst), "{burst}");
    }

    #[test]
    fn nothing_comes_of_nothing_and_a_clock_that_stands_still_gives_no_more() {
        assert!(!Bucket::default().take(1 << 50, 0));
        let mut bucket = Bucket { filled: 7, tokens: 0 };
        assert!(!bucket.take(7, u32::MAX) && !bucket.take(3, u32::MAX));
    }
}
