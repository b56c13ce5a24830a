//! The circle of HAProxy's consistent hashes (lb_chash.c): a server that comes or goes moves only its own keys. Pure.

use crate::hashing::avalanche;

/// Points of each unit of weight.
const POINTS: u32 = 16;
/// Points that a server may have.
const RANGE: u32 = 256 * POINTS;

/// The points of a server with that weight.
pub(super) fn points(weight: u16) -> u32 {
    u32::from(weight) * POINTS
}

/// Points of the servers on the circle of all hashes.
#[derive(Clone, Debug)]
pub(super) struct Circle {
    /// Where each point is, in rising order.
    places: Box<[u32]>,
    /// Whose it is.
    servers: Box<[usize]>,
}

impl Circle {
    /// Of servers with so many points each. HAProxy numbers the servers of a backend from 1 in the order of the file, and so
    /// the points depend on nothing else.
    pub(super) fn new(servers: impl Iterator<Item = (usize, u32)>) -> Self {
        let points = |(server, points): (usize, u32)| {
            let number = u32::try_from(server + 1).unwrap_or(u32::MAX);
            let first = number.wrapping_mul(RANGE);
            (0..points).map(move |point| (avalanche(first.wrapping_add(point)), server))
        };
        let mut points: Vec<_> = servers.flat_map(points).collect();
        points.sort_by_key(|(at, _)| *at);
        Self {
            places: points.iter().map(|(at, _)| *at).collect(),
            servers: points.iter().map(|(_, server)| *server).collect(),
        }
    }

    /// Whose the points are, once around.
    pub(super) fn servers(&self) -> &[usize] {
        &self.servers
    }

    /// The server of the point nearest to the hash, the lower of two; from there upwards the first that is open.
    pub(super) fn pick(&self, hash: u32, open: impl Fn(usize) -> bool) -> Option<usize> {
        let above = self.places.partition_point(|at| *at < hash);
        let above = if above == self.places.len() { 0 } else { above };
        let below = above.checked_sub(1).or_else(|| self.places.len().checked_sub(1))?;
        let (low, high) = (self.places.get(below)?, self.places.get(above)?);
        let start = if hash.wrapping_sub(*low) <= high.wrapping_sub(hash) { below } else { above };
        super::around(&self.servers, start).find(|server| open(*server))
    }
}
