//! The ring of a backend in words: whose its slots are, which of them change hands, and a digest that two balancers compare.

use super::names::Names;
use crate::plan::{Ring, Tables};
use lb_common::{RingId, SLOTS, ServerId, Slot, hash::name_hash};
use serde::Serialize;
use std::collections::BTreeMap;

/// A ring.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RingReport {
    /// Row.
    pub id: u16,
    /// The backend's name; `None` when no daemon runs that knows it.
    pub backend: Option<String>,
    /// Of the owners, slot by slot, in hexadecimal. Equal on all balancers with the same configuration that find the same
    /// servers up: it goes by the servers' names and addresses, not by their rows.
    pub digest: String,
    /// Slots that change hands: flows that send no packet meanwhile may be cut.
    pub changing: usize,
    /// Slots of which the flow table may know flows; among them those that change hands.
    pub tracked: usize,
    /// How many slots each server has, largest first.
    pub shares: Vec<ShareReport>,
}

/// A server's part of a ring.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShareReport {
    /// The server's name, with its backend's if that is another one, which is fallen back to; or its row.
    pub server: String,
    /// Slots.
    pub slots: usize,
    /// Slots as a part of all: 0 to 1.
    pub share: f64,
    /// Slots of others now that still send it the flows that it had.
    pub leaving: usize,
}

impl RingReport {
    /// Which part of it a server has: 0 to 1.
    pub fn share_of(&self, server: &str) -> f64 {
        self.shares.iter().find(|share| share.server == server).map_or(0.0, |share| share.share)
    }

    /// The ring of that row, if it is used.
    pub fn new(tables: &Tables, id: RingId, names: &Names) -> Option<Self> {
        let ring = tables.rings.get(&id)?;
        let count = |counts: fn(&Slot) -> bool| ring.slots.iter().filter(|slot| counts(slot)).count();
        Some(Self {
            id,
            backend: names.backends.get(&ring.identity).cloned(),
            digest: digest(ring.slots.iter(), tables),
            changing: count(|slot| slot.changes_hands()),
            tracked: count(|slot| slot.is_tracked() || slot.changes_hands()),
            shares: shares(ring, names),
        })
    }
}

fn digest<'a>(slots: impl Iterator<Item = &'a Slot>, tables: &Tables) -> String {
    let owner = |slot: &Slot| tables.servers.get(&slot.current()).map_or(0, |row| row.identity);
    let owners: Vec<u8> = slots.flat_map(|slot| owner(slot).to_be_bytes()).collect();
    format!("{:016x}", name_hash(0, &owners))
}

fn shares(ring: &Ring, names: &Names) -> Vec<ShareReport> {
    // Slots that it owns, and slots that it leaves.
    let mut counts = BTreeMap::<ServerId, (usize, usize)>::new();
    for slot in ring.slots.iter() {
        counts.entry(slot.current()).or_default().0 += 1;
        if slot.changes_hands() && slot.previous != 0 {
            counts.entry(slot.previous).or_default().1 += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(server, slots)| (std::cmp::Reverse(*slots), *server));
    let shares = counts.into_iter().map(|(server, (slots, leaving))| ShareReport {
        server: match (server, names.servers.get(&server)) {
            (0, _) => "(none)".to_owned(),
            (_, Some((backend, name))) if names.backends.get(&ring.identity) == Some(backend) => name.clone(),
            (_, Some((backend, name))) => format!("{backend}/{name}"),
            (_, None) => format!("#{server}"),
        },
        slots,
        share: part(slots),
        leaving,
    });
    shares.collect()
}

/// Slots as a part of a ring; both numbers are small, and exact as such.
fn part(slots: usize) -> f64 {
    let exact = |number| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    exact(slots) / exact(SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Model,
        plan::{
            Moment, Planner, desired,
            desired::NextHops,
            testing::{backend, bind, model, servers},
        },
        servers::{Admin, By, Health, Registry},
    };
    use lb_common::Protocol;

    fn web(count: usize) -> Model {
        model(vec![backend("web", servers(count))], vec![(bind("192.0.2.10:80", Protocol::Tcp), "web")])
    }

    fn report(tables: &Tables) -> RingReport {
        RingReport::new(tables, 1, &Names::default()).unwrap()
    }

    #[test]
    fn two_balancers_have_the_same_digest_whatever_rows_their_servers_have() {
        let plan = |histories: &[usize]| {
            let mut registry = Registry::default();
            for count in histories {
                registry.update(&web(*count)).unwrap();
            }
            (desired(&web(3), &registry, &NextHops::new()), registry)
        };
        let ((first, mut registry), (second, _)) = (plan(&[3]), plan(&[1, 2, 1, 3]));
        let ids = |tables: &Tables| tables.servers.keys().copied().collect::<Vec<_>>();
        assert_ne!(ids(&first), ids(&second));
        assert_eq!(report(&first).digest, report(&second).digest);

        registry.set_health(web(3).backends[0].servers[0].identity("web"), Health::Down);
        let down = desired(&web(3), &registry, &NextHops::new());
        assert_ne!(report(&first).digest, report(&down).digest);
    }

    #[test]
    fn slots_that_change_hands_are_counted_for_both() {
        let model = web(3);
        let mut registry = Registry::default();
        registry.update(&model).unwrap();
        let mut planner = Planner::default();
        let mut plan = |registry: &Registry, current: &Tables| {
            planner.desired(&model, registry, &NextHops::new(), current, Moment::default())
        };
        let before = plan(&registry, &Tables::default());
        let calm = report(&before);
        assert_eq!((calm.changing, calm.tracked), (0, 0));
        assert_eq!(calm.shares.iter().map(|share| share.slots).sum::<usize>(), SLOTS);

        registry.set_admin(model.backends[0].servers[0].identity("web"), Admin::Drain, By::Operator);
        let after = report(&plan(&registry, &before));
        let owned = calm.shares.iter().find(|share| share.server == "#1").unwrap().slots;
        assert_eq!((after.changing, after.tracked), (owned, owned));
        let leaving = after.shares.iter().find(|share| share.server == "#1").unwrap();
        assert_eq!((leaving.slots, leaving.leaving), (0, owned));
        assert!(after.shares.iter().all(|share| share.server == "#1" || share.leaving == 0));
    }
}
