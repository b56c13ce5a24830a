//! The same numbers in every run: a difference that was found once is found again. They come from a seed, or are read from
//! bytes that a fuzzer chose.

use lb_common::hash::mix;
use std::collections::VecDeque;

/// So many bytes are taken as they are from those that a fuzzer chose; what is longer is payload, of which nothing depends.
const CHOSEN: usize = 64;

/// A generator of numbers.
#[derive(Clone, Debug)]
pub struct Random(Source);

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    Bytes(VecDeque<u8>),
}

impl Random {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// From bytes. When they are used up, all numbers are 0.
    pub fn chosen(bytes: &[u8]) -> Self {
        Self(Source::Bytes(bytes.iter().copied().collect()))
    }

    /// Whether it was made from bytes.
    pub const fn is_chosen(&self) -> bool {
        matches!(self.0, Source::Bytes(_))
    }

    /// Whether it was made from bytes, and they are used up.
    pub fn is_used_up(&self) -> bool {
        matches!(&self.0, Source::Bytes(bytes) if bytes.is_empty())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.number_of(8)
    }

    /// One that so many bytes suffice for, or a larger one.
    fn number_of(&mut self, size: usize) -> u64 {
        match &mut self.0 {
            Source::Seed(seed) => {
                *seed = seed.wrapping_add(1);
                mix(*seed)
            }
            Source::Bytes(bytes) => (0..size).fold(0, |number, _| number << 8 | u64::from(next(bytes))),
        }
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let size = if bound <= 1 << 8 { 1 } else { 3 };
        usize::try_from(self.number_of(size) % bound as u64).unwrap_or_default()
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.number_of(1).to_le_bytes()[0]
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        match &self.0 {
            Source::Bytes(_) if count > CHOSEN => Self::new(self.number_of(2)).bytes(count),
            Source::Seed(_) | Source::Bytes(_) => (0..count).map(|_| self.byte()).collect(),
        }
    }

    /// As many of the bytes that it was made from.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        match &mut self.0 {
            Source::Seed(_) => self.bytes(count),
            Source::Bytes(bytes) => bytes.drain(..count.min(bytes.len())).collect(),
        }
    }
}

fn next(bytes: &mut VecDeque<u8>) -> u8 {
    bytes.pop_front().unwrap_or_default()
}
