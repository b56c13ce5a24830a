//! Turns: the servers that may take new traffic, and the tables that balancing looks them up in. Made off the hot path,
//! once a verdict or a weight changes; only read by the serving threads. Pure.

mod circle;
mod map;
mod round;

use super::slowstart::{self, Throttle};
use crate::{model::Limits, plan::maglev::Bases};
use circle::Circle;
use std::sync::{Arc, OnceLock};

/// The servers of a backend that may take new traffic. Immutable: a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Available {
    servers: Vec<(usize, u16)>,
    /// Those that may have what belongs to them alone, in rising order; `None`: the same.
    keeping: Option<Vec<usize>>,
    /// `None`: all have their full share.
    rising: Option<Box<Rising>>,
    /// In rising order those with another `maxconn` than the configured one.
    maxconns: Vec<(usize, u32)>,
    /// Who owns the slots of the ring; `None`: as by the weights in the configuration.
    ring: Option<Arc<Bases>>,
    // Each way to balance reads one of these, so that the others are never made.
    turns: OnceLock<Box<[usize]>>,
    map: OnceLock<Box<[usize]>>,
    circle: OnceLock<Circle>,
}

/// Servers that came up a while ago, and do not have their full share yet.
#[derive(Clone, Debug)]
struct Rising {
    /// In rising order of the servers.
    throttles: Vec<(usize, Throttle)>,
    /// The servers that may take new traffic with the weights that they have meanwhile.
    weights: Vec<(usize, u16)>,
}

/// A table that servers are looked up in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Table {
    /// See [`Available::turns`].
    Turns,
    /// See [`Available::map`].
    Map,
    /// See [`Available::on_circle`].
    Circle,
}

impl Available {
    /// From indices into the model's servers, in rising order, each with its weight. A server of weight 0 takes nothing.
    pub fn new(servers: impl IntoIterator<Item = (usize, u16)>) -> Self {
        Self { servers: servers.into_iter().filter(|(_, weight)| *weight > 0).collect(), ..Self::default() }
    }

    /// With the servers, in rising order, that may still have what belongs to them alone, as clients with their cookie:
    /// also those that drain, and backups that are not needed.
    #[must_use]
    pub fn keeping(self, servers: impl IntoIterator<Item = usize>) -> Self {
        Self { keeping: Some(servers.into_iter().collect()), ..self }
    }

    /// With those, in rising order, that do not have their full share yet.
    #[must_use]
    pub fn rising(self, throttles: impl IntoIterator<Item = (usize, Throttle)>) -> Self {
        let throttles: Vec<_> = throttles.into_iter().collect();
        let weights = || slowstart::weights(&self.servers, |server| throttle(&throttles, server));
        let rising = (!throttles.is_empty()).then(|| Rising { weights: weights(), throttles: throttles.clone() });
        Self { rising: rising.map(Box::new), ..self }
    }

    /// With those, in rising order, that have another `maxconn` than the configured one; 0: any number.
    #[must_use]
    pub fn limited(self, maxconns: impl IntoIterator<Item = (usize, u32)>) -> Self {
        Self { maxconns: maxconns.into_iter().collect(), ..self }
    }

    /// With the owners of the ring's slots, if they are others than by the weights in the configuration.
    #[must_use]
    pub fn in_ring(self, ring: Option<Arc<Bases>>) -> Self {
        Self { ring, ..self }
    }

    /// Makes the table that will be looked at, so that nobody who looks has to wait for it.
    #[must_use]
    pub fn with_table(self, table: Option<Table>) -> Self {
        match table {
            Some(Table::Turns) => drop(self.turns()),
            Some(Table::Map) => drop(self.map()),
            Some(Table::Circle) => drop(self.circle()),
            None => {}
        }
        self
    }

    /// Index and weight of each, in the order of the model.
    pub fn servers(&self) -> &[(usize, u16)] {
        &self.servers
    }

    /// The same with the weights that they have now, for ways to balance that go along with changes of weights: in any unit.
    pub fn weights(&self) -> &[(usize, u16)] {
        self.rising.as_ref().map_or(&self.servers, |rising| &rising.weights)
    }

    /// How far a server has come that does not have its full share yet.
    pub fn throttle(&self, server: usize) -> Option<Throttle> {
        self.rising.as_ref().and_then(|rising| throttle(&rising.throttles, server))
    }

    /// The limits that a server has now, from those that are configured.
    pub fn limits(&self, server: usize, configured: Limits) -> Limits {
        let place = self.maxconns.binary_search_by_key(&server, |(server, _)| *server).ok();
        let maxconn = place.and_then(|place| self.maxconns.get(place));
        let full = maxconn.map_or(configured, |(_, maxconn)| configured.with_maxconn(*maxconn));
        self.throttle(server).map_or(full, |throttle| throttle.limits(full))
    }

    /// Who owns the slots of the ring, if others than by the weights in the configuration.
    pub fn ring(&self) -> Option<&Bases> {
        self.ring.as_deref()
    }

    /// Whether that server is among them.
    pub fn contains(&self, server: usize) -> bool {
        self.servers.binary_search_by_key(&server, |(index, _)| *index).is_ok()
    }

    /// Whether that server may have what belongs to it alone.
    pub fn keeps(&self, server: usize) -> bool {
        match &self.keeping {
            Some(keeping) => keeping.binary_search(&server).is_ok() || self.contains(server),
            None => self.contains(server),
        }
    }

    /// One round, in which each server comes as often as its weight says, in HAProxy's order of `roundrobin`.
    pub fn turns(&self) -> &[usize] {
        self.turns.get_or_init(|| round::round(self.weights()))
    }

    /// HAProxy's map of these servers, for `static-rr` and map-based hashes. It knows only the full share of each.
    pub fn map(&self) -> &[usize] {
        self.map.get_or_init(|| map::map(&self.servers))
    }

    /// The server of that hash by consistent hashing among those that are open.
    pub fn on_circle(&self, hash: u32, open: impl Fn(usize) -> bool) -> Option<usize> {
        self.circle().pick(hash, open)
    }

    /// The same circle, gone round point by point.
    pub fn circle_turns(&self) -> &[usize] {
        self.circle().servers()
    }

    fn circle(&self) -> &Circle {
        let points = |&(server, weight): &(usize, u16)| {
            let all = circle::points(weight);
            (server, self.throttle(server).map_or(all, |throttle| throttle.points(all)))
        };
        self.circle.get_or_init(|| Circle::new(self.servers.iter().map(points)))
    }
}

fn throttle(throttles: &[(usize, Throttle)], server: usize) -> Option<Throttle> {
    let place = throttles.binary_search_by_key(&server, |(server, _)| *server).ok()?;
    throttles.get(place).map(|(_, throttle)| *throttle)
}

/// Entries of a table from that place on, once around.
pub fn around(table: &[usize], place: usize) -> impl Iterator<Item = usize> {
    let start = place.checked_rem(table.len()).unwrap_or(0);
    let (before, after) = table.split_at_checked(start).unwrap_or_default();
    after.iter().chain(before).copied()
}

/// The greatest common divisor of all weights.
fn divisor(servers: &[(usize, u16)]) -> u16 {
    servers.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight)).max(1)
}

fn greatest_common_divisor(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn available(weights: &[u16]) -> Available {
        Available::new(weights.iter().copied().enumerate())
    }

    fn order(weights: &[u16]) -> Vec<usize> {
        available(weights).turns().to_vec()
    }

    #[test]
    fn equal_weights_go_round_in_the_order_of_the_file() {
        assert_eq!(order(&[1, 1, 1, 1]), [0, 1, 2, 3]);
        assert_eq!(order(&[256, 256]), [0, 1]);
        assert_eq!(available(&[7, 7, 7]).map(), [0, 1, 2]);
    }

    #[test]
    fn unequal_weights_are_interleaved() {
        assert_eq!(order(&[4, 2]), [0, 0, 1]);
        assert_eq!(order(&[3, 2, 1]), [0, 1, 0, 2, 0, 1]);
        assert_eq!(order(&[5, 1, 1]), [0, 0, 0, 1, 0, 0, 2]);
        assert_eq!(order(&[10, 20, 30]), [2, 1, 2, 0, 2, 1]);
    }

    #[test]
    fn a_turn_anywhere_starts_a_whole_round() {
        let available = Available::new([(2, 1), (5, 1), (9, 1)]);
        assert_eq!(around(available.turns(), 4).collect::<Vec<_>>(), [5, 9, 2]);
        assert_eq!(around(Available::default().turns(), 4).count(), 0);
        assert_eq!(around(Available::new([(0, 0)]).turns(), usize::MAX).count(), 0);
    }

    #[test]
    fn a_server_that_rises_has_its_part_of_every_table_but_the_static_one() {
        let whole = Duration::from_secs(10);
        let (all, mut last) = (Limits { maxconn: 50, ..Limits::default() }, 0);
        for since in [0, 1, 3, 5, 9].map(Duration::from_secs) {
            let throttle = Throttle::at(since, whole);
            let available = available(&[2, 1, 1]).rising([(1, throttle)]);
            let (part, turns) = (usize::from(throttle.percent()), available.turns());
            let mine = turns.iter().filter(|server| **server == 1).count();
            assert_eq!(mine * (300 + part), turns.len() * part, "{since:?}");
            let keys = (0..4_096_u32).map(|key| available.on_circle(crate::hashing::avalanche(key), |_| true));
            let keys = keys.filter(|server| *server == Some(1)).count();
            assert!((1..1_500).contains(&keys) && keys >= last, "{since:?}: {keys} keys after {last}");
            last = keys;
            assert_eq!((available.map(), available.servers()), (&[0, 0, 1, 2][..], &[(0, 2), (1, 1), (2, 1)][..]));
            assert_eq!([0, 1, 2].map(|server| available.limits(server, all)), [all, throttle.limits(all), all]);
        }
        assert!(available(&[1]).rising([]).rising.is_none());
    }

    #[test]
    fn servers_that_take_nothing_new_may_keep_what_is_theirs() {
        let available = Available::new([(1, 1)]).keeping([0]);
        assert!(available.keeps(0) && available.keeps(1) && !available.keeps(2) && !available.contains(0));
    }

    proptest! {
        #[test]
        fn every_table_gives_each_server_its_share_and_a_round_is_smooth(
            weights in proptest::collection::vec(1_u16..=256, 1..12),
        ) {
            let available = available(&weights);
            let divisor = divisor(available.servers());
            let total: i64 = weights.iter().copied().map(i64::from).sum::<i64>() / i64::from(divisor);
            for table in [available.turns(), available.map()] {
                for (server, weight) in weights.iter().enumerate() {
                    let turns = table.iter().filter(|it| **it == server).count();
                    prop_assert_eq!(turns, usize::from(weight / divisor));
                }
            }
            let mut seen = vec![0_i64; weights.len()];
            for (position, server) in (1_i64..).zip(available.turns()) {
                seen[*server] += 1;
                for (count, weight) in seen.iter().zip(&weights) {
                    let distance = (count * total - position * i64::from(weight / divisor)).abs();
                    prop_assert!(distance < 3 * total, "after {position} turns: {seen:?}");
                }
            }
        }

        #[test]
        fn on_the_circle_only_the_keys_of_a_lost_server_move(
            weights in proptest::collection::vec(1_u16..=20, 2..8), hashes: [u32; 32], lost: usize,
        ) {
            let lost = lost % weights.len();
            let all = available(&weights);
            let left = Available::new(weights.iter().copied().enumerate().filter(|(server, _)| *server != lost));
            for hash in hashes {
                let before = all.on_circle(hash, |_| true);
                let after = left.on_circle(hash, |_| true);
                prop_assert!(before == after || before == Some(lost));
                prop_assert!(all.on_circle(hash, |server| server != lost).is_some_and(|server| server != lost));
            }
        }
    }
}
