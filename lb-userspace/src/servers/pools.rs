//! Which rows of `SOURCES` the pool of a `fullnat` backend has: some that lie side by side, and stay as long as the pool
//! does. Pure.

use crate::plan::Tables;
use std::{collections::BTreeMap, net::IpAddr, ops::Range};

/// The pools of all backends, by the backend's [identity](crate::model::backend::identity).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Pools(BTreeMap<u64, Pool>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Pool {
    first: u16,
    addresses: Vec<IpAddr>,
}

impl Pool {
    fn rows(&self) -> Range<usize> {
        let first = usize::from(self.first);
        first..first + self.addresses.len()
    }
}

impl Pools {
    /// What the last daemon left in the maps.
    pub(super) fn adopt(tables: &Tables) -> Self {
        let mut pools = BTreeMap::new();
        for vip in tables.vips.values().filter(|vip| vip.sources_count > 0) {
            let Some(ring) = tables.rings.get(&vip.ring) else { continue };
            let rows = vip.sources_first..vip.sources_first.saturating_add(vip.sources_count);
            let addresses: Vec<_> = rows.filter_map(|row| tables.sources.get(&row).copied()).collect();
            if addresses.len() == usize::from(vip.sources_count) {
                pools.insert(ring.identity, Pool { first: vip.sources_first, addresses });
            }
        }
        Self(pools)
    }

    /// Gives rows to the pools of `wanted`. One that stays as it is keeps its rows; one that changes gets others, so that
    /// no VIP names rows half of which are another pool's, and only if there is no room for that, some of the old ones.
    pub(super) fn assign(&mut self, wanted: Vec<(u64, Vec<IpAddr>)>, room: usize) {
        let old = std::mem::take(&mut self.0);
        let stays =
            |identity: &u64, addresses: &[IpAddr]| old.get(identity).is_some_and(|pool| pool.addresses == addresses);
        let (stay, new): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(identity, addresses)| stays(identity, addresses));
        self.0.extend(stay.into_iter().filter_map(|(identity, _)| Some((identity, old.get(&identity)?.clone()))));
        for (identity, addresses) in new {
            let taken = self.0.values().map(Pool::rows);
            let with_old = taken.clone().chain(old.values().map(Pool::rows));
            let first = gap(with_old, addresses.len(), room).or_else(|| gap(taken, addresses.len(), room));
            if let Some(first) = first.and_then(|first| u16::try_from(first).ok()) {
                self.0.insert(identity, Pool { first, addresses });
            }
        }
    }

    /// First row and number of rows of a backend's pool.
    pub(super) fn rows(&self, backend: u64) -> (u16, u16) {
        self.0
            .get(&backend)
            .map_or((0, 0), |pool| (pool.first, u16::try_from(pool.addresses.len()).unwrap_or(u16::MAX)))
    }

    /// All rows.
    pub(super) fn table(&self) -> BTreeMap<u16, IpAddr> {
        self.0.values().flat_map(|pool| (pool.first..).zip(pool.addresses.iter().copied())).collect()
    }
}

/// The first of `length` rows in a row that nobody has.
fn gap(taken: impl Iterator<Item = Range<usize>>, length: usize, room: usize) -> Option<usize> {
    let mut taken: Vec<_> = taken.map(|rows| (rows.start, rows.end)).collect();
    taken.sort_unstable();
    let mut first = 0;
    for (start, end) in taken {
        if start >= first + length {
            break;
        }
        first = first.max(end);
    }
    (first + length <= room).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(count: u8, third: u8) -> Vec<IpAddr> {
        (1..=count).map(|last| IpAddr::from([10, 0, third, last])).collect()
    }

    #[test]
    fn a_pool_keeps_its_rows_while_it_stays_as_it_is_and_moves_when_it_changes() {
        let mut pools = Pools::default();
        pools.assign(vec![(1, pool(2, 1)), (2, pool(3, 2))], 16);
        assert_eq!([1, 2].map(|backend| pools.rows(backend)), [(0, 2), (2, 3)]);
        pools.assign(vec![(1, pool(3, 1)), (2, pool(3, 2)), (3, pool(2, 3))], 16);
        assert_eq!([1, 2, 3].map(|backend| pools.rows(backend)), [(5, 3), (2, 3), (8, 2)]);
        pools.assign(vec![(2, pool(3, 2)), (4, pool(2, 4))], 16);
        assert_eq!([2, 4].map(|backend| pools.rows(backend)), [(2, 3), (0, 2)]);
        assert_eq!(pools.table().into_values().collect::<Vec<_>>(), [pool(2, 4), pool(3, 2)].concat());
    }

    #[test]
    fn where_there_is_no_room_beside_them_the_old_rows_are_taken() {
        let mut pools = Pools::default();
        pools.assign(vec![(1, pool(4, 1))], 5);
        pools.assign(vec![(1, pool(5, 1))], 5);
        assert_eq!(pools.rows(1), (0, 5));
        pools.assign(vec![(1, pool(6, 1))], 5);
        assert_eq!(pools.rows(1), (0, 0), "what is checked before does not get here");
    }
}
