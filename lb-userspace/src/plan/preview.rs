//! Preview: what a configuration would change of what the kernel holds, without changing it. Pure.

use super::{Moment, Planner, Tables, Write, desired::NextHops, diff};
use crate::{
    model::{Model, backend},
    servers::{Registry, RegistryError},
};
use lb_common::{SLOTS, ServerId};
use serde::{Deserialize, Serialize};

/// What would change of what the kernel holds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Preview {
    /// Rings of which slots would get another owner.
    pub rings: Vec<RingChange>,
    /// VIPs that would be written, and removed.
    pub vips: [usize; 2],
    /// Rows of servers.
    pub servers: [usize; 2],
    /// Rings.
    pub ring_writes: [usize; 2],
    /// Rows of servers' replies.
    pub returns: [usize; 2],
    /// Rows of source addresses.
    pub sources: [usize; 2],
}

/// A ring of which slots would get another owner.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RingChange {
    /// The backend's name.
    pub backend: String,
    /// How many slots.
    pub slots: usize,
    /// Of how many.
    pub of: usize,
    /// Whether the ring is new.
    pub is_new: bool,
}

impl Preview {
    /// Whether nothing would.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What `model` would change of `current`. Weights and limits that were changed at run time are not known here.
pub fn preview(model: &Model, current: &Tables) -> Result<Preview, RegistryError> {
    let mut registry = Registry::adopt(current);
    registry.follow(&Model { frontends: Vec::new(), backends: Vec::new(), ..model.clone() }, model);
    registry.update(model)?;
    let next_hops: NextHops = current.servers.values().map(|row| (row.addr.ip(), row.next_hop)).collect();
    let wanted = Planner::default().desired(model, &registry, &next_hops, current, Moment::default());
    let mut preview = Preview::default();
    for write in diff(current, &wanted) {
        let (count, place) = match write {
            Write::PutVip(..) => (&mut preview.vips, 0),
            Write::RemoveVip(_) => (&mut preview.vips, 1),
            Write::PutServer(..) => (&mut preview.servers, 0),
            Write::RemoveServer(_) => (&mut preview.servers, 1),
            Write::FlipRing(..) => (&mut preview.ring_writes, 0),
            Write::RemoveRing(_) => (&mut preview.ring_writes, 1),
            Write::PutReturn(..) => (&mut preview.returns, 0),
            Write::RemoveReturn(_) => (&mut preview.returns, 1),
            Write::PutSource(..) => (&mut preview.sources, 0),
            Write::RemoveSource(_) => (&mut preview.sources, 1),
            Write::PutRingHalf(..) | Write::ZeroServer(_) | Write::ZeroVip(_) | Write::ForgetFlows(_) => continue,
        };
        if let Some(count) = count.get_mut(place) {
            *count += 1;
        }
    }
    for of in model.kernel_backends() {
        let identity = backend::identity(&of.name);
        let owners = |tables: &Tables| {
            let ring = tables.rings.values().find(|ring| ring.identity == identity)?;
            let who = |id: ServerId| tables.servers.get(&id).map(|row| row.identity);
            Some(ring.slots.iter().map(|slot| who(slot.current())).collect::<Vec<_>>())
        };
        let (before, Some(after)) = (owners(current), owners(&wanted)) else { continue };
        let differ = |before: Vec<_>| before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let is_new = before.is_none();
        let slots = before.map_or(after.len(), differ);
        if slots > 0 {
            preview.rings.push(RingChange { backend: of.name.clone(), slots, of: SLOTS, is_new });
        }
    }
    Ok(preview)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{desired, testing};
    use lb_common::Protocol;

    fn model(servers: usize) -> Model {
        let vips = vec![(testing::bind("192.0.2.10:80", Protocol::Tcp), "web")];
        testing::model(vec![testing::backend("web", testing::servers(servers))], vips)
    }

    fn held(model: &Model) -> Tables {
        let mut registry = Registry::default();
        registry.update(model).unwrap();
        let addresses = model.backends.iter().flat_map(|backend| &backend.servers).map(|server| server.address.ip());
        desired(model, &registry, &addresses.zip(1..).collect())
    }

    #[test]
    fn what_is_there_already_changes_nothing() {
        assert!(preview(&model(3), &held(&model(3))).unwrap().is_empty());
    }

    #[test]
    fn a_server_more_takes_its_share_of_the_slots_and_one_less_stays_for_its_flows() {
        let found = preview(&model(4), &held(&model(3))).unwrap();
        let [RingChange { slots, is_new: false, .. }] = found.rings[..] else { panic!("{found:?}") };
        assert!((SLOTS / 5..SLOTS / 3).contains(&slots), "{slots}");
        assert_eq!((found.servers, found.ring_writes, found.vips), ([1, 0], [1, 0], [0, 0]));
        let found = preview(&model(2), &held(&model(3))).unwrap();
        assert_eq!((found.servers, found.ring_writes), ([1, 0], [1, 0]), "it leaves: its row is written, not removed");
    }

    #[test]
    fn all_slots_of_a_new_ring_are_new() {
        let found = preview(&model(2), &Tables::default()).unwrap();
        assert_eq!(found.rings, [RingChange { backend: "web".into(), slots: SLOTS, of: SLOTS, is_new: true }]);
        assert_eq!((found.vips, found.servers), ([2, 0], [2, 0]), "a VIP and the entry of its address");
    }
}
