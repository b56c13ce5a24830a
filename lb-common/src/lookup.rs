//! Lookup tables: what every packet asks for, in arrays of the kernel.
//!
//! The kernel's own hash map costs a packet some 25 ns a question, an array is read in place. So VIPs, replies and the host's
//! addresses lie in arrays of lines with room for two entries each. A key has two lines in which it may be (cuckoo hashing with
//! buckets: Erlingsson, Manasse and McSherry, "A cool and practical alternative to traditional hash tables", 2006), so a packet
//! looks at two lines at most; whoever writes moves entries until each has its place.
//!
//! Each table is there twice. Packets read one half, the other one is written, and a number in [`LIVE_HALVES`] says which is
//! which: no question meets a table in the middle of a change.
//!
//! [`LIVE_HALVES`]: crate::maps::LIVE_HALVES

use crate::{
    Return4, Return6, Vip,
    layout::map_type,
    vip::{Endpoint4, Endpoint6},
};
use bytemuck::{Pod, Zeroable, must_cast};

/// Entries of a line.
pub const ENTRIES: usize = 2;

/// Which half of each table is live: rows of [`LIVE_HALVES`], and of [`LOCAL_HALVES`] those that the supervisor alone writes.
///
/// [`LIVE_HALVES`]: crate::maps::LIVE_HALVES
/// [`LOCAL_HALVES`]: crate::maps::LOCAL_HALVES
pub mod row {
    /// Of `LIVE_HALVES`: that of `VIPS4`.
    pub const VIPS4: u32 = 0;
    /// Of `LIVE_HALVES`: that of `VIPS6`.
    pub const VIPS6: u32 = 1;
    /// Of `LIVE_HALVES`: that of `RETURNS4`.
    pub const RETURNS4: u32 = 2;
    /// Of `LIVE_HALVES`: that of `RETURNS6`.
    pub const RETURNS6: u32 = 3;
    /// How many of `LIVE_HALVES`.
    pub const LIVE: u32 = RETURNS6 + 1;
    /// Of `LOCAL_HALVES`: that of `LOCAL4`.
    pub const LOCAL4: u32 = 0;
    /// Of `LOCAL_HALVES`: that of `LOCAL6`.
    pub const LOCAL6: u32 = 1;
    /// How many of `LOCAL_HALVES`.
    pub const LOCAL: u32 = LOCAL6 + 1;
}

/// A key of a lookup table. None is all zero, as free places are.
pub trait Key: Pod + Ord {
    /// Its bits, mixed by one product, so that a packet need not wait for more. The highest ones depend on all of the key: they
    /// are the first line. The second line, which few packets need, takes another product.
    fn spread(&self) -> u64;
    /// Whether it is the other one; in whole words, as the kernel compares fast.
    fn is(&self, other: &Self) -> bool;
}

/// An element of a table's array. Free places are zero.
pub trait Line: Pod + PartialEq {
    /// What is asked for.
    type Key: Key;
    /// What is answered.
    type Value: Pod + PartialEq;

    /// What the line knows of a key.
    fn get(&self, key: &Self::Key) -> Option<Self::Value>;
    /// An entry, if the place is taken.
    fn entry(&self, place: usize) -> Option<(Self::Key, Self::Value)>;
    /// Writes an entry, or frees its place.
    fn put(&mut self, place: usize, entry: Option<(Self::Key, Self::Value)>);
}

/// 2⁶⁴ divided by the golden ratio (Knuth, TAOCP vol. 3, §6.4).
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The two lines of a half in which a key may be; there are `lines` of them, a power of two.
#[inline(always)]
pub fn lines_of(key: &impl Key, lines: u32) -> [u32; 2] {
    let (spread, bits) = (key.spread(), lines.trailing_zeros());
    #[expect(clippy::cast_possible_truncation, reason = "fewer bits are left")]
    [spread, (spread ^ (spread >> 32)).wrapping_mul(ODD)].map(|product| (product >> (64 - bits)) as u32 & (lines - 1))
}

impl Key for Endpoint4 {
    #[inline(always)]
    fn spread(&self) -> u64 {
        must_cast::<_, u64>(*self).wrapping_mul(ODD)
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        must_cast::<_, u64>(*self) == must_cast::<_, u64>(*other)
    }
}

impl Key for Endpoint6 {
    #[inline(always)]
    fn spread(&self) -> u64 {
        let [high, low, rest]: [u64; 3] = must_cast(*self);
        // The last bytes of network and host, which count servers up, are the highest of their words, and of those a product
        // leaves the highest bits alone: they would cancel each other out. So one word is turned round.
        low.wrapping_mul(ODD)
            ^ high.swap_bytes().wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
            ^ rest.wrapping_mul(0x1656_67b1_9e37_79f9)
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        let (own, other): ([u64; 3], [u64; 3]) = (must_cast(*self), must_cast(*other));
        own[1] == other[1] && own[0] == other[0] && own[2] == other[2]
    }
}

macro_rules! line {
    ($(#[$doc:meta])* $line:ident, $key:ident, $value:ident) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
        pub struct $line {
            keys: [$key; ENTRIES],
            values: [$value; ENTRIES],
        }

        impl Line for $line {
            type Key = $key;
            type Value = $value;

            #[inline(always)]
            fn get(&self, key: &$key) -> Option<$value> {
                if self.keys[0].is(key) {
                    Some(self.values[0])
                } else if self.keys[1].is(key) {
                    Some(self.values[1])
                } else {
                    None
                }
            }

            fn entry(&self, place: usize) -> Option<($key, $value)> {
                let key = *self.keys.get(place)?;
                if key == $key::zeroed() { None } else { Some((key, *self.values.get(place)?)) }
            }

            fn put(&mut self, place: usize, entry: Option<($key, $value)>) {
                let (key, value) = entry.unwrap_or_else(Zeroable::zeroed);
                if let (Some(old_key), Some(old_value)) = (self.keys.get_mut(place), self.values.get_mut(place)) {
                    (*old_key, *old_value) = (key, value);
                }
            }
        }
    };
}

line!(
    /// Of `VIPS4`.
    VipLine4, Endpoint4, Vip
);
line!(
    /// Of `VIPS6`.
    VipLine6, Endpoint6, Vip
);
line!(
    /// Of `RETURNS4`.
    ReturnLine4, Endpoint4, Return4
);
line!(
    /// Of `RETURNS6`.
    ReturnLine6, Endpoint6, Return6
);
line!(
    /// Of `LOCAL4`.
    LocalLine4, Endpoint4, u32
);
line!(
    /// Of `LOCAL6`.
    LocalLine6, Endpoint6, u32
);
map_type!(VipLine4, size = 48, { keys = 0, values = 16 });
map_type!(VipLine6, size = 80, { keys = 0, values = 48 });
map_type!(ReturnLine4, size = 40, { keys = 0, values = 16 });
map_type!(ReturnLine6, size = 96, { keys = 0, values = 48 });
map_type!(LocalLine4, size = 24, { keys = 0, values = 16 });
map_type!(LocalLine6, size = 56, { keys = 0, values = 48 });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Be16, Be32, Be128, Family, V4, V6};

    fn holds<L: Line>(keys: [L::Key; 3], values: [L::Value; 2])
    where
        L::Value: core::fmt::Debug,
    {
        let [first, second, other] = keys;
        let mut line = L::zeroed();
        assert_eq!(line.get(&first), None);
        line.put(0, Some((first, values[0])));
        line.put(1, Some((second, values[1])));
        assert_eq!([first, second, other].map(|key| line.get(&key)), [Some(values[0]), Some(values[1]), None]);
        assert!(line.entry(1) == Some((second, values[1])) && line.entry(2).is_none());
        line.put(0, None);
        assert_eq!([first, second].map(|key| line.get(&key)), [None, Some(values[1])]);
        assert!(line.entry(0).is_none());
    }

    #[test]
    fn lines_hold_two_entries() {
        let vip = |id| Vip { id, ..Vip::default() };
        let of_v4 = |port| V4::endpoint(Be32::new(0), Be16::new(port), 0);
        holds::<VipLine4>([of_v4(0), of_v4(1), of_v4(2)], [vip(0), vip(1)]);
        let of_v6 = |port| V6::endpoint(Be128::default(), Be16::new(port), 0);
        holds::<VipLine6>([of_v6(0), of_v6(1), of_v6(2)], [vip(0), vip(1)]);
        holds::<LocalLine6>([of_v6(0), of_v6(1), of_v6(2)], [0, 1]);
    }

    /// Keys of `nets` networks of `hosts` each.
    fn sites(nets: u64, hosts: u64) -> impl Iterator<Item = Endpoint6> {
        (0..nets * hosts).map(move |number| {
            let (net, host) = (u128::from(number / hosts), u128::from(number % hosts));
            let addr = Be128::from(core::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | net << 64 | host));
            V6::endpoint(addr, Be16::new(443), 6)
        })
    }

    #[test]
    fn keys_of_a_site_spread_over_all_lines() {
        const LINES: u32 = 256;
        for (nets, hosts) in [(1, 2_048), (16, 128), (64, 32), (2_048, 1)] {
            let mut taken = [[0_u32; LINES as usize]; 2];
            for key in sites(nets, hosts) {
                for (of, line) in taken.iter_mut().zip(lines_of(&key, LINES)) {
                    of[line as usize] += 1;
                }
            }
            // 8 on average; Poisson's law puts more than 24 into one of 512 lines once in 2,000 times.
            assert!(taken.iter().flatten().all(|keys| *keys <= 24), "{nets} × {hosts}: {taken:?}");
        }
    }

    #[test]
    fn no_two_keys_of_many_networks_share_both_lines_for_that() {
        let mut spreads = [0; 32 * 32];
        for (spread, key) in spreads.iter_mut().zip(sites(32, 32)) {
            *spread = key.spread();
        }
        spreads.sort_unstable();
        assert!(spreads.windows(2).all(|two| two[0] != two[1]));
    }
}
