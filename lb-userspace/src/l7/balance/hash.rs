//! The hashes that HAProxy offers as `hash-type`, bit for bit (hash.c): a client finds the same server through either.

use crate::{
    model::balance::{Function, HashType},
    servers::turns::avalanche,
};

/// The hash of a key.
pub(super) fn hash(kind: HashType, key: &[u8]) -> u32 {
    let hash = match kind.function {
        Function::Sdbm => sdbm(key),
        Function::Djb2 => djb2(key),
        Function::Wt6 => wt6(key),
        Function::Crc32 => crc32(key),
        Function::None => number(key),
    };
    spread(kind, hash)
}

/// Applies `avalanche`, if it is asked for.
pub(super) fn spread(kind: HashType, hash: u32) -> u32 {
    if kind.avalanche { avalanche(hash) } else { hash }
}

fn sdbm(key: &[u8]) -> u32 {
    key.iter()
        .fold(0_u32, |hash, byte| u32::from(*byte).wrapping_add(hash << 6).wrapping_add(hash << 16).wrapping_sub(hash))
}

fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(5381_u32, |hash, byte| (hash << 5).wrapping_add(hash).wrapping_add(u32::from(*byte)))
}

fn wt6(key: &[u8]) -> u32 {
    let (mut low, mut high, mut turns) = (0xa53c_965a_u32, 0x5ca6_953a_u32, (6, 18));
    for byte in key.iter().copied().map(u32::from) {
        let (mixed, summed) = (!(low ^ byte), !high.wrapping_add(byte));
        (low, high) = (summed.rotate_left(turns.0), mixed.rotate_left(turns.1));
        let next = ((low >> 16) ^ high) & 0xffff;
        turns = (next & 0x1f, next >> 11);
    }
    low ^ high
}

fn crc32(key: &[u8]) -> u32 {
    let bit = |hash: u32, _| if hash & 1 == 1 { hash >> 1 ^ 0xedb8_8320 } else { hash >> 1 };
    !key.iter().fold(!0, |hash, byte| (0..8).fold(hash ^ u32::from(*byte), bit))
}

/// `none`: the key is a number in decimal digits already; what follows them is ignored (HAProxy reads it by `read_int`).
fn number(key: &[u8]) -> u32 {
    let digits = key.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u32, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // That of CRC-32 is its check value; the others were computed by HAProxy's own functions.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(sdbm(b"a"), 97);
        assert_eq!(sdbm(b"ab"), 97 * 65_599 + 98);
        assert_eq!(djb2(b"a"), 5381 * 33 + 97);
        assert_eq!(number(b"4294967297x"), 1);
        assert_eq!(number(b""), 0);
    }
}
