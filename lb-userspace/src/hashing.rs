//! The hashes of HAProxy's converters, of its `hash-type` and of its circle: the same numbers, bit by bit (`src/hash.c`), so
//! that a client finds the same server through either.

/// Of the ndbm library.
pub(crate) fn sdbm(bytes: &[u8]) -> u32 {
    let step =
        |hash: u32, byte: &u8| u32::from(*byte).wrapping_add(hash << 6).wrapping_add(hash << 16).wrapping_sub(hash);
    bytes.iter().fold(0, step)
}

/// Of Daniel J. Bernstein.
pub(crate) fn djb2(bytes: &[u8]) -> u32 {
    bytes.iter().fold(5_381, |hash: u32, byte| (hash << 5).wrapping_add(hash).wrapping_add((*byte).into()))
}

/// Of Willy Tarreau: two halves that are mixed by how far each turns.
pub(crate) fn wt6(bytes: &[u8]) -> u32 {
    let (mut low, mut high, mut turn_low, mut turn_high) = (0xa53c_965a_u32, 0x5ca6_953a_u32, 6, 18);
    for byte in bytes {
        let (one, other) = (!(low ^ u32::from(*byte)), !high.wrapping_add((*byte).into()));
        (low, high) = (other.rotate_left(turn_low), one.rotate_left(turn_high));
        let turns = ((low >> 16) ^ high) & 0xffff;
        (turn_low, turn_high) = (turns & 31, turns >> 11);
    }
    low ^ high
}

/// CRC-32 of Ethernet and zlib.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Mixes a hash once more, as HAProxy's `full_hash`: every bit of the result depends on every bit of the input (Bob Jenkins'
/// full avalanche), and a prime near three quarters of the range spreads it.
pub(crate) fn avalanche(hash: u32) -> u32 {
    let hash = hash.wrapping_add(0x7ed5_5d16).wrapping_add(hash << 12);
    let hash = (hash ^ 0xc761_c23c) ^ (hash >> 19);
    let hash = hash.wrapping_add(0x1656_67b1).wrapping_add(hash << 5);
    let hash = hash.wrapping_add(0xd3a2_646c) ^ (hash << 9);
    let hash = hash.wrapping_add(0xfd70_46c5).wrapping_add(hash << 3);
    let hash = (hash ^ 0xb55a_4f09) ^ (hash >> 16);
    hash.wrapping_mul(3_221_225_473)
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
    }
}
