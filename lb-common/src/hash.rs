//! The one hash of a flow. Kernel, host tests and other balancers of the group all compute this.

use crate::{Be16, Be32, Be128, Protocol};

/// The secret half of the hash: `[global] hash_key`. Equal on all balancers of a group, unknown to clients, so that no
/// client can aim all its connections at one server.
pub type HashKey = [u64; 2];

/// Spreads an IPv4 flow over 32 bits.
///
/// Two rounds of the 64-bit finalizer of MurmurHash3 (public domain, Austin Appleby), keyed before each round. Chosen
/// because BPF has 64-bit multiplication but neither 128-bit products nor rotation.
#[inline(always)]
pub const fn flow_hash_v4(
    key: HashKey,
    client: Be32,
    client_port: Be16,
    vip: Be32,
    vip_port: Be16,
    protocol: Protocol,
) -> u32 {
    let [first, second] = key;
    let addresses = (client.raw() as u64) << 32 | vip.raw() as u64;
    let ports = (client_port.raw() as u64) << 32 | (vip_port.raw() as u64) << 16 | protocol.number() as u64;
    (mix(mix(addresses ^ first) ^ ports ^ second) >> 32) as u32
}

/// Spreads an IPv6 flow over 32 bits: as [`flow_hash_v4`], with two rounds for each address.
#[inline(always)]
pub const fn flow_hash_v6(
    key: HashKey,
    client: Be128,
    client_port: Be16,
    vip: Be128,
    vip_port: Be16,
    protocol: Protocol,
) -> u32 {
    let [first, second] = key;
    let ports = (client_port.raw() as u64) << 32 | (vip_port.raw() as u64) << 16 | protocol.number() as u64;
    (mix(fold_v6(fold_v6(first, client), vip) ^ ports ^ second) >> 32) as u32
}

/// Spreads an IPv4 client over 32 bits, whatever it connects to: source affinity.
#[inline(always)]
pub const fn source_hash_v4(key: HashKey, client: Be32) -> u32 {
    let [first, second] = key;
    (mix(mix(client.raw() as u64 ^ first) ^ second) >> 32) as u32
}

/// Spreads an IPv6 client over 32 bits, whatever it connects to: source affinity.
#[inline(always)]
pub const fn source_hash_v6(key: HashKey, client: Be128) -> u32 {
    let [first, second] = key;
    (mix(fold_v6(first, client) ^ second) >> 32) as u32
}

/// MurmurHash3 `fmix64`: every input bit flips every output bit with probability one half.
#[inline(always)]
pub const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Hashes a name: FNV-1a (RFC 9923), then [`mix`], because FNV alone is weak in its high bits. For identities and for
/// the permutations of Maglev; never on the packet path.
pub const fn name_hash(seed: u64, name: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    let mut rest = name;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = tail;
    }
    mix(hash)
}

/// An IPv6 address in two rounds, after `state`.
#[inline(always)]
const fn fold_v6(state: u64, addr: Be128) -> u64 {
    let [a, b, c, d] = addr.raw();
    let (high, low) = ((a as u64) << 32 | b as u64, (c as u64) << 32 | d as u64);
    mix(mix(state ^ high) ^ low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn vectors_never_change() {
        let hash = |key, port| {
            let client = Be32::from(Ipv4Addr::new(198, 51, 100, 7));
            let vip = Be32::from(Ipv4Addr::new(192, 0, 2, 10));
            flow_hash_v4(key, client, Be16::new(port), vip, Be16::new(443), Protocol::Tcp)
        };
        let vectors = [([0, 0], 40_000), ([0, 0], 40_001), ([1, 2], 40_000)].map(|(key, port)| hash(key, port));
        assert_eq!(vectors, [3_298_235_083, 1_564_129_650, 3_098_830_674]);
        assert_eq!(
            [name_hash(0, b""), name_hash(0, b"web1"), name_hash(1, b"web1")],
            [17_280_346_270_528_514_342, 10_698_296_457_888_045_158, 17_468_312_826_454_793_336]
        );
    }
}
