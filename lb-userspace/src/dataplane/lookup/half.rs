//! One half of a lookup table in memory: entries find their place, and make room for each other.

use lb_common::lookup::{ENTRIES, Key as _, Line, lines_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Lines that are looked at for a free place. Where half of all places are taken, one in four keys finds none in its own two
/// lines, and hardly any has to look further than ten.
const SEARCHED: usize = 512;

/// All lines of one half.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Half<L> {
    pub(super) lines: Vec<L>,
}

/// No place can be made for a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

/// A line that was looked at, and how one gets there: by moving an entry of an earlier one.
struct Step {
    line: usize,
    /// Number of the earlier step, and the place of the entry in its line.
    from: Option<(usize, usize)>,
}

impl<L: Line> Half<L> {
    /// An empty half of so many lines, a power of two.
    pub(super) fn new(lines: usize) -> Self {
        Self { lines: vec![L::zeroed(); lines] }
    }

    /// All entries, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (L::Key, L::Value)> {
        self.lines.iter().flat_map(|line| (0..ENTRIES).filter_map(|place| line.entry(place)))
    }

    /// The half after these changes: entries that come or go. What goes makes room for what comes.
    pub(super) fn changed(&self, changes: &BTreeMap<L::Key, Option<L::Value>>) -> Result<Self, Full> {
        let mut changed = self.clone();
        changes.iter().filter(|(_, value)| value.is_none()).for_each(|(key, _)| changed.remove(key));
        for (key, value) in changes {
            if let Some(value) = value {
                changed.insert(*key, *value)?;
            }
        }
        Ok(changed)
    }

    /// Puts an entry in, in the place of the one with that key. A half without room stays as it was.
    fn insert(&mut self, key: L::Key, value: L::Value) -> Result<(), Full> {
        let (line, place) = self.find(&key).map_or_else(|| self.make_room(&key), Ok)?;
        self.put(line, place, Some((key, value)));
        Ok(())
    }

    /// Takes an entry out, if it is there.
    fn remove(&mut self, key: &L::Key) {
        if let Some((line, place)) = self.find(key) {
            self.put(line, place, None);
        }
    }

    fn lines_of(&self, key: &L::Key) -> [usize; 2] {
        lines_of(key, u32::try_from(self.lines.len()).unwrap_or(1)).map(|line| line as usize)
    }

    fn entry(&self, line: usize, place: usize) -> Option<(L::Key, L::Value)> {
        self.lines.get(line)?.entry(place)
    }

    fn put(&mut self, line: usize, place: usize, entry: Option<(L::Key, L::Value)>) {
        if let Some(line) = self.lines.get_mut(line) {
            line.put(place, entry);
        }
    }

    /// Line and place of a key.
    fn find(&self, key: &L::Key) -> Option<(usize, usize)> {
        let places = self.lines_of(key).into_iter().flat_map(|line| (0..ENTRIES).map(move |place| (line, place)));
        places.into_iter().find(|(line, place)| self.entry(*line, *place).is_some_and(|(there, _)| there.is(key)))
    }

    /// A free place for a key. The nearest one is looked for, and the entries on the way to it move by one line each.
    fn make_room(&mut self, key: &L::Key) -> Result<(usize, usize), Full> {
        let mut steps: Vec<Step> = Vec::new();
        let mut next: VecDeque<Step> = self.lines_of(key).map(|line| Step { line, from: None }).into();
        let mut seen = BTreeSet::new();
        while let Some(step) = next.pop_front().filter(|_| steps.len() < SEARCHED) {
            let line = step.line;
            if !seen.insert(line) {
                continue;
            }
            steps.push(step);
            if let Some(free) = (0..ENTRIES).find(|place| self.entry(line, *place).is_none()) {
                return Ok(self.shift(&steps, free));
            }
            for place in 0..ENTRIES {
                let Some((there, _)) = self.entry(line, place) else { continue };
                let elsewhere = self.lines_of(&there).into_iter().filter(|other| *other != line);
                next.extend(elsewhere.map(|line| Step { line, from: Some((steps.len() - 1, place)) }));
            }
        }
        Err(Full)
    }

    /// Moves entries along the way to the last step, whose line has a free place, and returns the place that the first one
    /// leaves.
    fn shift(&mut self, steps: &[Step], free: usize) -> (usize, usize) {
        let (mut at, mut free) = (steps.len() - 1, free);
        while let Some(Step { line, from }) = steps.get(at) {
            let Some((earlier, place)) = *from else { return (*line, free) };
            let from = steps.get(earlier).map_or(0, |step| step.line);
            self.put(*line, free, self.entry(from, place));
            self.put(from, place, None);
            (at, free) = (earlier, place);
        }
        (0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable as _;
    use lb_common::{
        Be16, Be32, Family as _, Return6, V4, V6, Vip,
        lookup::{ReturnLine6, VipLine4},
        maps::{MAX_SERVERS, MAX_VIPS},
    };
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    type Key = <VipLine4 as Line>::Key;

    fn key(addr: u32, port: u16) -> Key {
        V4::endpoint(Be32::new(addr), Be16::new(port), 6)
    }

    fn vip(id: u16) -> Vip {
        Vip { id, ..Vip::default() }
    }

    fn all(half: &Half<VipLine4>) -> BTreeMap<Key, u16> {
        half.entries().map(|(key, vip)| (key, vip.id)).collect()
    }

    /// What the packet path finds.
    fn found(half: &Half<VipLine4>, key: Key) -> Option<u16> {
        half.lines_of(&key).into_iter().find_map(|line| half.lines[line].get(&key)).map(|vip| vip.id)
    }

    #[test]
    fn as_many_entries_as_are_promised_find_a_place() {
        for (first, ports) in [(0xc000_0200, 1), (0x0a00_0000, 64), (0xcb00_7100, 4_096)] {
            let mut half = Half::new(MAX_VIPS as usize);
            let keys: Vec<Key> = (0..MAX_VIPS)
                .map(|number| key(first + number / ports, u16::try_from(number % ports).unwrap()))
                .collect();
            for (id, key) in (0..).zip(&keys) {
                half.insert(*key, vip(id)).unwrap();
            }
            assert_eq!(all(&half).len(), keys.len());
            assert!((0..).zip(&keys).all(|(id, key)| found(&half, *key) == Some(id)));
        }
    }

    #[test]
    fn as_many_entries_of_ipv6_as_are_promised_find_a_place() {
        for hosts in [1, 8, 32, 256, 16_384] {
            let mut half = Half::<ReturnLine6>::new(MAX_SERVERS as usize);
            for number in 0..u128::from(MAX_SERVERS) {
                let addr = 0x2001_0db8 << 96 | (number / hosts) << 64 | (number % hosts);
                let key = V6::endpoint(Ipv6Addr::from_bits(addr).into(), Be16::new(443), 6);
                half.insert(key, Return6::zeroed()).unwrap();
            }
            assert_eq!(half.entries().count(), MAX_SERVERS as usize);
        }
    }

    #[test]
    fn all_entries_can_give_way_to_as_many_others_at_once() {
        let of = |first: u32| (first..first + MAX_VIPS).map(|addr| key(addr, 443));
        let before =
            Half::<VipLine4>::new(MAX_VIPS as usize).changed(&of(0).map(|key| (key, Some(vip(1)))).collect()).unwrap();
        let others = of(1 << 20).map(|key| (key, Some(vip(2))));
        let after = before.changed(&of(0).map(|key| (key, None)).chain(others).collect()).unwrap();
        assert!(after.entries().count() == MAX_VIPS as usize && after.entries().all(|(_, vip)| vip.id == 2));
    }

    #[test]
    fn a_half_without_room_stays_as_it_was() {
        let mut half = Half::new(2);
        for id in 0..4 {
            half.insert(key(u32::from(id), 80), vip(id)).unwrap();
        }
        let before = half.clone();
        assert_eq!(half.insert(key(4, 80), vip(4)), Err(Full));
        assert_eq!(half, before);
        half.insert(key(3, 80), vip(9)).unwrap();
        assert_eq!(found(&half, key(3, 80)), Some(9));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_would(changes in prop::collection::vec((0_u32..60, any::<Option<u16>>()), 0..200)) {
            let (mut half, mut map) = (Half::new(32), BTreeMap::new());
            for (addr, change) in changes {
                let key = key(addr, 443);
                if let Some(id) = change {
                    if half.insert(key, vip(id)).is_ok() {
                        map.insert(key, id);
                    }
                } else {
                    half.remove(&key);
                    map.remove(&key);
                }
                prop_assert_eq!(found(&half, key), map.get(&key).copied());
            }
            prop_assert_eq!(all(&half), map);
        }
    }
}
