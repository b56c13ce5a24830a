//! The Internet checksum after a change, without reading the rest of the packet: RFC 1624 equation 3,
//! `HC' = ~(~HC + ~m + m')` in one's complement arithmetic.
//!
//! The arithmetic does not depend on the byte order (RFC 1071 §2), so the bits are taken as they stand in memory. A wrong
//! checksum stays wrong: nobody downstream must take a damaged packet for a sound one.

use lb_common::{Be16, Be32};

/// What a rewrite adds to a sum: `~m + m'` for every word changed, not folded yet.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a change that is not applied leaves a wrong checksum"]
pub struct Change(u64);

impl Change {
    /// Replaces 16 bits.
    #[inline(always)]
    pub const fn word(self, old: Be16, new: Be16) -> Self {
        Self(self.0 + !old.raw() as u64 + new.raw() as u64)
    }

    /// Replaces 32 bits: two words at once, because 2^16 is 1 in this arithmetic.
    #[inline(always)]
    pub const fn long(self, old: Be32, new: Be32) -> Self {
        Self(self.0 + !old.raw() as u64 + new.raw() as u64)
    }

    /// Replaces the first byte of a word whose second byte stays.
    #[inline(always)]
    pub const fn byte(self, old: u8, new: u8) -> Self {
        self.word(Be16::from_raw(u16::from_ne_bytes([old, 0])), Be16::from_raw(u16::from_ne_bytes([new, 0])))
    }

    /// Adds 32 bits that were not there before.
    #[inline(always)]
    pub const fn plus(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// Takes 32 bits away.
    #[inline(always)]
    pub const fn minus(self, word: u32) -> Self {
        self.plus(!word)
    }

    /// The opposite: together they are nothing.
    #[inline(always)]
    pub const fn negative(self) -> Self {
        Self(!fold(self.0) as u64)
    }

    /// The sum of what nobody has summed up.
    pub const UNKNOWN: Self = Self(u64::MAX);

    /// Whether this is [`UNKNOWN`](Self::UNKNOWN).
    #[inline(always)]
    pub const fn is_unknown(self) -> bool {
        self.0 == u64::MAX
    }

    /// The checksum of what was summed up by [`plus`](Self::plus) alone (RFC 1071 §1).
    #[inline(always)]
    pub const fn checksum(self) -> Be16 {
        Be16::from_raw(!fold(self.0))
    }

    /// The same for UDP, where 0 means "none" (RFC 768).
    #[inline(always)]
    pub const fn udp_checksum(self) -> Be16 {
        match self.checksum().raw() {
            0 => Be16::from_raw(0xffff),
            raw => Be16::from_raw(raw),
        }
    }

    /// Both changes.
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum after the change.
    #[inline(always)]
    pub const fn applied_to(self, checksum: Be16) -> Be16 {
        Be16::from_raw(!fold(self.0 + !checksum.raw() as u64))
    }

    /// The checksum of a UDP datagram over IPv4 after the change, or `None` if it has none and gets none. A sum that comes
    /// out as 0 is sent as 0xffff, because 0 means "none" (RFC 768).
    #[inline(always)]
    pub const fn applied_to_udp(self, checksum: Be16) -> Option<Be16> {
        if checksum.raw() == 0 {
            return None;
        }
        match self.applied_to(checksum).raw() {
            0 => Some(Be16::from_raw(0xffff)),
            raw => Some(Be16::from_raw(raw)),
        }
    }
}

/// Adds the carries back in. A change has at most 2^9 summands of 32 bits: the first step leaves at most 2^32 + 2^9, the
/// second at most 2^17 - 2, the third 16 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "16 bits are left")]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum of `words`, from all of them (RFC 1071 §4.1).
    fn full(words: &[u16]) -> Be16 {
        let mut sum: u32 = words.iter().map(|word| u32::from(*word)).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        Be16::from_raw(!u16::try_from(sum).unwrap())
    }

    #[test]
    fn example_of_rfc_1624() {
        let word = |bits: u16| Be16::from_raw(bits);
        let change = Change::default().word(word(0x5555), word(0x3285));
        assert_eq!(change.applied_to(word(0xdd2f)), word(0x0000), "equation 2 would give 0xffff");
    }

    #[test]
    fn every_change_of_a_word_equals_the_full_sum() {
        for old in (0..=u16::MAX).step_by(251) {
            for new in (0..=u16::MAX).step_by(241) {
                let change = Change::default().word(Be16::from_raw(old), Be16::from_raw(new));
                assert_eq!(change.applied_to(full(&[0x4500, old, 0x1234])), full(&[0x4500, new, 0x1234]));
            }
        }
    }

    #[test]
    fn the_largest_change_folds() {
        let zero = Be32::from_raw(0);
        let ones = Be32::from_raw(u32::MAX);
        let change = (0..512).fold(Change::default(), |change, _| change.long(zero, ones));
        assert_eq!(change.applied_to(full(&[1])), full(&[1]));
    }

    #[test]
    fn udp_without_checksum_gets_none_and_a_sum_of_zero_is_all_ones() {
        let change = Change::default().word(Be16::from_raw(0x5555), Be16::from_raw(0x3285));
        assert_eq!(change.applied_to_udp(Be16::from_raw(0)), None);
        assert_eq!(change.applied_to_udp(Be16::from_raw(0xdd2f)), Some(Be16::from_raw(0xffff)));
    }
}
