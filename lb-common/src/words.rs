//! Rows put together in words of 64 bits, as they lie in memory.
//!
//! The kernel's verifier wants every access of the stack aligned, and the compiler of the packet path, which may read packets
//! anywhere, writes neighbouring fields of a row together wherever they lie. Whole words leave it no choice.

use crate::{Be32, Be128};

/// Two halves in the order of memory.
#[inline(always)]
pub(crate) const fn word(first: u32, second: u32) -> u64 {
    let (low, high) = if cfg!(target_endian = "little") { (first, second) } else { (second, first) };
    low as u64 | (high as u64) << 32
}

/// Two quarters in the order of memory.
#[inline(always)]
pub(crate) const fn half(first: u16, second: u16) -> u32 {
    let (low, high) = if cfg!(target_endian = "little") { (first, second) } else { (second, first) };
    low as u32 | (high as u32) << 16
}

/// Two bytes in the order of memory.
#[inline(always)]
pub(crate) const fn quarter(first: u8, second: u8) -> u16 {
    u16::from_ne_bytes([first, second])
}

/// An address, and what follows it.
#[inline(always)]
pub(crate) const fn endpoint_v4(addr: Be32, tail: u32) -> u64 {
    word(addr.raw(), tail)
}

/// Addresses, and what follows them.
#[inline(always)]
pub(crate) const fn key_v4(source: Be32, destination: Be32, tail: u64) -> [u64; 2] {
    [word(source.raw(), destination.raw()), tail]
}

/// What comes before addresses, and what follows them.
#[inline(always)]
pub(crate) const fn row_v4(head: u64, source: Be32, destination: Be32, tail: u64) -> [u64; 3] {
    [head, word(source.raw(), destination.raw()), tail]
}

/// An IPv6 address.
#[inline(always)]
const fn address(addr: Be128) -> [u64; 2] {
    let [a, b, c, d] = addr.raw();
    [word(a, b), word(c, d)]
}

/// An address, and what follows it.
#[inline(always)]
pub(crate) const fn endpoint_v6(addr: Be128, tail: u32) -> [u64; 3] {
    let [a, b] = address(addr);
    [a, b, word(tail, 0)]
}

/// Addresses, and what follows them.
#[inline(always)]
pub(crate) const fn key_v6(source: Be128, destination: Be128, tail: u64) -> [u64; 5] {
    let ([a, b], [c, d]) = (address(source), address(destination));
    [a, b, c, d, tail]
}

/// What comes before addresses, and what follows them.
#[inline(always)]
pub(crate) const fn row_v6(head: u64, source: Be128, destination: Be128, tail: u64) -> [u64; 6] {
    let ([a, b], [c, d]) = (address(source), address(destination));
    [head, a, b, c, d, tail]
}
