//! The maps that the supervisor writes, as a value, and the changes from one to the next in an order no packet can
//! trip over. Pure.

use ipnet::IpNet;
use lb_common::NextHop;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
};

/// `NEXT_HOPS`, the routes and the local addresses of both families, and `DEVICES`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RoutingTables {
    /// Without rows that are all zero.
    pub next_hops: BTreeMap<u16, NextHop>,
    /// Row in `NEXT_HOPS` by prefix; 0: not known, which drops.
    pub routes: BTreeMap<IpNet, u32>,
    /// Addresses of this host.
    pub local: BTreeSet<IpAddr>,
    /// Numbers of interfaces.
    pub devices: BTreeSet<u32>,
}

/// One change of one map.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Writes a row of `NEXT_HOPS`; all zero frees it.
    NextHop(u16, NextHop),
    /// Writes or removes an entry of `ROUTES4` or `ROUTES6`.
    Route(IpNet, Option<u32>),
    /// Adds to or removes from `LOCAL4` or `LOCAL6`.
    Local(IpAddr, bool),
    /// Adds to or removes from `DEVICES`.
    Device(u32, bool),
}

/// How many there are of each family.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Of IPv4.
    pub v4: u32,
    /// Of IPv6.
    pub v6: u32,
}

impl Counts {
    /// Counts one more, unless there are `most` of its family.
    pub const fn add(&mut self, address: IpAddr, most: u32) -> bool {
        let count = if address.is_ipv6() { &mut self.v6 } else { &mut self.v4 };
        let room = *count < most;
        *count += room as u32;
        room
    }
}

impl FromIterator<IpAddr> for Counts {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        let mut counts = Self::default();
        for address in addresses {
            counts.add(address, u32::MAX);
        }
        counts
    }
}

/// Carries out changes: the kernel's maps, or a value in tests.
pub trait RowWriter: Send {
    /// What the maps hold now.
    fn read(&mut self) -> io::Result<RoutingTables>;
    /// Carries out one change, or several of local addresses, which packets see at once.
    fn write(&mut self, changes: &[Change]) -> io::Result<()>;
}

impl RoutingTables {
    /// The way from here to `wanted`: what is new before what points to it, what points to something before that goes.
    pub fn changes(&self, wanted: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(wanted.devices.difference(&self.devices).map(|device| Change::Device(*device, true)));
        changes.extend(
            differing(&self.next_hops, &wanted.next_hops).map(|(row, next_hop)| Change::NextHop(row, next_hop)),
        );
        changes.extend(differing(&self.routes, &wanted.routes).map(|(prefix, row)| Change::Route(prefix, Some(row))));
        changes.extend(wanted.local.difference(&self.local).map(|address| Change::Local(*address, true)));
        changes.extend(self.local.difference(&wanted.local).map(|address| Change::Local(*address, false)));
        changes.extend(gone(&self.routes, &wanted.routes).map(|prefix| Change::Route(prefix, None)));
        changes.extend(gone(&self.next_hops, &wanted.next_hops).map(|row| Change::NextHop(row, NextHop::default())));
        changes.extend(self.devices.difference(&wanted.devices).map(|device| Change::Device(*device, false)));
        changes
    }

    /// Takes a change that was carried out.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::NextHop(row, next_hop) => {
                put(&mut self.next_hops, row, Some(next_hop).filter(|next_hop| *next_hop != NextHop::default()));
            }
            Change::Route(prefix, row) => put(&mut self.routes, prefix, row),
            Change::Local(address, present) => set(&mut self.local, address, present),
            Change::Device(device, present) => set(&mut self.devices, device, present),
        }
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn set<T: Ord>(set: &mut BTreeSet<T>, item: T, present: bool) {
    if present {
        set.insert(item)
    } else {
        set.remove(&item)
    };
}

fn differing<'a, K: Copy + Ord, V: Copy + Eq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> + 'a {
    new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).map(|(key, value)| (*key, *value))
}

fn gone<'a, K: Copy + Ord, V>(old: &'a BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> impl Iterator<Item = K> + 'a {
    old.keys().filter(|key| !new.contains_key(*key)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(row: u16, device: u32, last: u8) -> RoutingTables {
        let addresses = [IpAddr::from([10, 0, 0, last]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)])];
        let next_hop =
            NextHop { destination: [2; 6], source: [3; 6], ifindex: device, resolved: 1, ..NextHop::default() };
        RoutingTables {
            next_hops: BTreeMap::from([(row, next_hop)]),
            routes: addresses.into_iter().map(|address| (address.into(), u32::from(row))).collect(),
            local: BTreeSet::from(addresses),
            devices: BTreeSet::from([device]),
        }
    }

    #[test]
    fn changes_lead_there_and_then_there_are_none() {
        let (mut now, wanted) = (tables(1, 7, 1), tables(2, 8, 2));
        now.changes(&wanted).into_iter().for_each(|change| now.apply(change));
        assert_eq!(now, wanted);
        assert!(now.changes(&wanted).is_empty());
    }

    #[test]
    fn nothing_ever_points_to_what_is_not_there() {
        let (mut now, wanted) = (tables(1, 7, 1), tables(2, 8, 2));
        for change in now.changes(&wanted) {
            now.apply(change);
            assert!(
                now.routes.values().all(|row| now.next_hops.contains_key(&u16::try_from(*row).unwrap())),
                "{change:?}"
            );
            assert!(now.next_hops.values().all(|next_hop| now.devices.contains(&next_hop.ifindex)), "{change:?}");
        }
    }
}
