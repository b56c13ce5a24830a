//! By the hash of the client: the same client finds the same server, and a change of servers moves only those clients
//! that it must. Weighted rendezvous hashing (Thaler & Ravishankar 1998; weights as in Schindelhauer & Schomaker 2005).

use crate::l7::snapshot::BackendRoute;
use lb_common::hash::{mix, name_hash};
use std::net::IpAddr;

/// Picks among `open`: index and weight of each server that may be tried.
pub(super) fn pick_maglev(
    client: IpAddr,
    open: impl Iterator<Item = (usize, u16)>,
    backend: &BackendRoute,
) -> Option<usize> {
    let client = match client.to_canonical() {
        IpAddr::V4(ip) => name_hash(0, &ip.octets()),
        IpAddr::V6(ip) => name_hash(0, &ip.octets()),
    };
    let score = |(server, weight): (usize, u16)| {
        let identity = backend.live.servers.get(server).map_or(0, |live| live.identity);
        (score(mix(client ^ identity), weight), server)
    };
    open.map(score).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, server)| server)
}

/// Largest for the server that takes the client; the chance to be largest is proportional to the weight.
fn score(hash: u64, weight: u16) -> f64 {
    let upper = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
    let uniform = (f64::from(upper) + 0.5) / (f64::from(u32::MAX) + 1.0);
    f64::from(weight) / -uniform.ln()
}
