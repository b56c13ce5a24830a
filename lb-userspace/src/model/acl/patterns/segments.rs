//! Segments: ranges that may overlap, cut into ones that do not, so that a binary search finds what a number is in.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

/// Which range a number is in. Where ranges overlap, the one of the lowest rank, then the earlier one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Segments(Vec<Segment>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Segment {
    first: u128,
    last: u128,
    index: u32,
}

impl Segments {
    /// From ranges with their ranks and numbers. Empty ranges are in none.
    pub fn new(ranges: impl IntoIterator<Item = (RangeInclusive<u128>, u8, u32)>) -> Self {
        let mut changes = Vec::new();
        for (range, rank, index) in ranges {
            if range.is_empty() {
                continue;
            }
            changes.push((*range.start(), true, rank, index));
            changes.extend(range.end().checked_add(1).map(|after| (after, false, rank, index)));
        }
        changes.sort_unstable();
        let mut segments: Vec<Segment> = Vec::new();
        let mut open = BTreeSet::new();
        let mut changes = changes.into_iter().peekable();
        while let Some((at, opens, rank, index)) = changes.next() {
            if opens {
                open.insert((rank, index));
            } else {
                open.remove(&(rank, index));
            }
            let next = changes.peek().map(|(next, ..)| *next);
            if next == Some(at) {
                continue;
            }
            let Some((_, index)) = open.first().copied() else { continue };
            let last = next.map_or(u128::MAX, |next| next - 1);
            match segments.last_mut() {
                Some(before) if before.index == index && before.last.checked_add(1) == Some(at) => before.last = last,
                Some(_) | None => segments.push(Segment { first: at, last, index }),
            }
        }
        Self(segments)
    }

    /// The range that `value` is in.
    pub fn find(&self, value: u128) -> Option<u32> {
        let after = self.0.partition_point(|segment| segment.first <= value);
        let segment = self.0.get(after.checked_sub(1)?)?;
        (value <= segment.last).then_some(segment.index)
    }
}

/// A number, in the order of numbers.
pub const fn number(value: i64) -> u128 {
    (value.cast_unsigned() ^ (1 << 63)) as u128
}

/// An address of IPv4.
pub const fn v4(address: Ipv4Addr) -> u128 {
    address.to_bits() as u128
}

/// An address of IPv6.
pub const fn v6(address: Ipv6Addr) -> u128 {
    address.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_belong_to_a_range_and_the_lower_rank_lies_above() {
        let segments = Segments::new([
            (10..=20, 1, 0),
            (12..=13, 0, 1),
            (20..=u128::MAX, 1, 2),
            (RangeInclusive::new(5, 4), 0, 3),
        ]);
        let found = [9, 10, 11, 12, 13, 14, 20, 21, u128::MAX].map(|value| segments.find(value));
        assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1), Some(0), Some(0), Some(2), Some(2)]);
        assert!([i64::MIN, -1, 0, 1, i64::MAX].map(number).is_sorted());
    }

    proptest! {
        #[test]
        fn it_is_what_looking_at_every_range_finds(
            ranges in prop::collection::vec((0_u128..60, 0_u128..20, 0_u8..3), 0..12),
            value in 0_u128..90,
        ) {
            let ranges: Vec<_> = ranges.iter().zip(0..).map(|((at, long, rank), index)| (*at..=at + long, *rank, index)).collect();
            let holding = ranges.iter().filter(|(range, ..)| range.contains(&value));
            let expected = holding.map(|(_, rank, index)| (*rank, *index)).min().map(|(_, index)| index);
            prop_assert_eq!(Segments::new(ranges).find(value), expected);
        }
    }
}
