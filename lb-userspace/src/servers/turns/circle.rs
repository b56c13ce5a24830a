//! The circle of HAProxy's consistent hashes (lb_chash.c): a server that comes or goes moves only its own keys. Pure.

/// Points of each unit of weight.
const POINTS: u32 = 16;
/// Points that a server may have.
const RANGE: u32 = 256 * POINTS;

/// Points of the servers on the circle of all hashes.
#[derive(Clone, Debug)]
pub(super) struct Circle(Box<[(u32, usize)]>);

impl Circle {
    /// HAProxy numbers the servers of a backend from 1 in the order of the file, and so the points depend on nothing else.
    pub(super) fn new(servers: &[(usize, u16)]) -> Self {
        let points = |&(server, weight): &(usize, u16)| {
            let number = u32::try_from(server + 1).unwrap_or(u32::MAX);
            let first = number.wrapping_mul(RANGE);
            (0..u32::from(weight) * POINTS).map(move |point| (avalanche(first.wrapping_add(point)), server))
        };
        let mut points: Vec<_> = servers.iter().flat_map(points).collect();
        points.sort_by_key(|(at, _)| *at);
        Self(points.into())
    }

    /// The server of the point nearest to the hash, the lower of two; from there upwards the first that is open.
    pub(super) fn pick(&self, hash: u32, open: impl Fn(usize) -> bool) -> Option<usize> {
        let above = self.0.partition_point(|(at, _)| *at < hash);
        let above = if above == self.0.len() { 0 } else { above };
        let below = above.checked_sub(1).or_else(|| self.0.len().checked_sub(1))?;
        let distance = |place: usize| self.0.get(place).map(|(at, _)| *at);
        let start =
            if hash.wrapping_sub(distance(below)?) <= distance(above)?.wrapping_sub(hash) { below } else { above };
        let (before, after) = self.0.split_at_checked(start)?;
        after.iter().chain(before).map(|(_, server)| *server).find(|server| open(*server))
    }
}

/// Bob Jenkins' full avalanche, as HAProxy's `full_hash`: every bit of the result depends on every bit of the input.
pub(crate) fn avalanche(hash: u32) -> u32 {
    let hash = hash.wrapping_add(0x7ed5_5d16).wrapping_add(hash << 12);
    let hash = (hash ^ 0xc761_c23c) ^ (hash >> 19);
    let hash = hash.wrapping_add(0x1656_67b1).wrapping_add(hash << 5);
    let hash = hash.wrapping_add(0xd3a2_646c) ^ (hash << 9);
    let hash = hash.wrapping_add(0xfd70_46c5).wrapping_add(hash << 3);
    let hash = (hash ^ 0xb55a_4f09) ^ (hash >> 16);
    // Spread over the circle by a prime near three quarters of it.
    hash.wrapping_mul(3_221_225_473)
}
