//! Who has which row of `NEXT_HOPS`. A row stays with its owner as long as that exists; a freed row is used again last,
//! so that a packet which read a row's number a moment ago does not go to someone else. Pure.

use super::event::On;
use lb_common::maps::MAX_NEXT_HOPS;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
};

/// Whom a row of `NEXT_HOPS` leads to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Owner {
    /// To a server, by whatever machine is next on the way there.
    Server(IpAddr),
    /// To a machine on one of our links, by routes with that MTU.
    Machine(On, Option<u32>),
}

/// The rows and their owners.
#[derive(Debug)]
pub struct Rows {
    owned: BTreeMap<Owner, u16>,
    free: VecDeque<u16>,
    /// Rows that the last daemon's routes still point to.
    inherited: BTreeSet<u16>,
}

impl Rows {
    /// `servers` keep their rows. Those that `inherited` names are given out only after
    /// [`release_inherited`](Self::release_inherited).
    pub fn new(servers: &BTreeMap<IpAddr, u16>, inherited: &BTreeSet<u16>) -> Self {
        let mut rows: BTreeSet<u16> = all().collect();
        let mut owned = BTreeMap::new();
        for (address, row) in servers {
            if rows.remove(row) {
                owned.insert(Owner::Server(*address), *row);
            }
        }
        let inherited: BTreeSet<u16> = inherited.intersection(&rows).copied().collect();
        let free = rows.difference(&inherited).copied().collect();
        Self { owned, free, inherited }
    }

    /// The row of `owner`, given to it now if it has none. `None`: all rows are taken.
    pub fn row(&mut self, owner: Owner) -> Option<u16> {
        if let Some(row) = self.owned.get(&owner) {
            return Some(*row);
        }
        let row = self.free.pop_front()?;
        self.owned.insert(owner, row);
        Some(row)
    }

    /// Frees the rows of all owners but these.
    pub fn retain(&mut self, keep: &BTreeSet<Owner>) {
        let freed = self.owned.extract_if(.., |owner, _| !keep.contains(owner));
        self.free.extend(freed.map(|(_, row)| row));
    }

    /// Nothing points to the last daemon's rows any more.
    pub fn release_inherited(&mut self) {
        self.free.extend(std::mem::take(&mut self.inherited));
    }
}

/// Every row that can be given out: 0 means "not known".
fn all() -> impl Iterator<Item = u16> {
    (1..MAX_NEXT_HOPS).filter_map(|row| u16::try_from(row).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn server(last: u8) -> Owner {
        Owner::Server([10, 0, 0, last].into())
    }

    #[test]
    fn a_row_stays_and_is_used_again_last() {
        let mut rows = Rows::new(&BTreeMap::new(), &BTreeSet::new());
        assert_eq!([1, 2, 1].map(|last| rows.row(server(last))), [Some(1), Some(2), Some(1)]);
        rows.retain(&BTreeSet::from([server(2)]));
        assert_eq!([2, 1].map(|last| rows.row(server(last))), [Some(2), Some(3)]);
    }

    #[test]
    fn what_the_last_daemon_left_is_neither_moved_nor_given_away() {
        let known = BTreeMap::from([(9, 1), (8, 1), (7, 0)].map(|(last, row)| ([10, 0, 0, last].into(), row)));
        let mut rows = Rows::new(&known, &BTreeSet::from([2, 1]));
        assert_eq!(rows.row(server(8)), Some(1), "the first of two that claim a row has it");
        assert_eq!(rows.row(server(9)), Some(3), "row 2 is still pointed to");
        assert_eq!(rows.row(server(7)), Some(4), "row 0 is nobody's");
        rows.release_inherited();
        assert_eq!(rows.free.back(), Some(&2));
    }

    #[test]
    fn all_rows_are_taken_at_last() {
        let mut rows = Rows::new(&BTreeMap::new(), &BTreeSet::new());
        let given = (1..=u32::MAX).map_while(|address| rows.row(Owner::Server(Ipv4Addr::from(address).into()))).count();
        assert_eq!(given, MAX_NEXT_HOPS as usize - 1);
    }
}
