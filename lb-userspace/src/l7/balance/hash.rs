//! The hash of a key, by `hash-type`.

use crate::{
    hashing::{avalanche, crc32, djb2, sdbm, wt6},
    model::balance::{Function, HashType},
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

/// `none`: the key is a number in decimal digits already; what follows them is ignored (HAProxy reads it by `read_int`).
fn number(key: &[u8]) -> u32 {
    let digits = key.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u32, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_ends_with_its_digits() {
        assert_eq!(number(b"4294967297x"), 1);
        assert_eq!(number(b""), 0);
    }
}
