//! Turns: the servers that may take new traffic, and the order in which `roundrobin` visits them. Made off the hot
//! path, once a verdict or a weight changes; only read by the serving threads. Pure.

/// The servers of a backend that may take new traffic. Immutable: a change makes a new one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Available {
    servers: Vec<(usize, u16)>,
    turns: Box<[usize]>,
}

impl Available {
    /// From indices into the model's servers, in rising order, each with its weight. A server of weight 0 takes nothing.
    pub fn new(servers: impl IntoIterator<Item = (usize, u16)>) -> Self {
        let servers: Vec<_> = servers.into_iter().filter(|(_, weight)| *weight > 0).collect();
        Self { turns: round(&servers), servers }
    }

    /// Index and weight of each, in the order of the model.
    pub fn servers(&self) -> &[(usize, u16)] {
        &self.servers
    }

    /// Whether that server is among them.
    pub fn contains(&self, server: usize) -> bool {
        self.servers.binary_search_by_key(&server, |(index, _)| *index).is_ok()
    }

    /// The servers in their order, beginning with the one whose turn it is: one round, in which each server comes as
    /// often as its weight says.
    pub fn from_turn(&self, turn: usize) -> impl Iterator<Item = usize> + '_ {
        let start = turn.checked_rem(self.turns.len()).unwrap_or(0);
        let (before, after) = self.turns.split_at_checked(start).unwrap_or_default();
        after.iter().chain(before).copied()
    }
}

/// One round. The k-th turn of a server of weight w falls at (2k + 1) / 2w of the round, so that the turns of each are
/// spread evenly; where two fall together, the order of the model decides.
fn round(servers: &[(usize, u16)]) -> Box<[usize]> {
    let divisor = servers.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight)).max(1);
    let turns_of = |&(index, weight): &(usize, u16)| {
        let weight = u64::from(weight / divisor);
        (0..weight).map(move |k| (((2 * k + 1) << 32) / weight, index))
    };
    let mut turns: Vec<_> = servers.iter().flat_map(turns_of).collect();
    turns.sort_unstable();
    turns.into_iter().map(|(_, index)| index).collect()
}

fn greatest_common_divisor(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u16]) -> Vec<usize> {
        Available::new(weights.iter().copied().enumerate()).from_turn(0).collect()
    }

    #[test]
    fn equal_weights_go_round_in_the_order_of_the_file() {
        assert_eq!(order(&[1, 1, 1, 1]), [0, 1, 2, 3]);
        assert_eq!(order(&[256, 256]), [0, 1]);
    }

    #[test]
    fn unequal_weights_are_interleaved() {
        assert_eq!(order(&[4, 2]), [0, 1, 0]);
        assert_eq!(order(&[5, 1, 1]), [0, 0, 0, 1, 2, 0, 0]);
    }

    #[test]
    fn a_round_is_exact_and_no_part_of_it_is_two_turns_off() {
        let weights = [7_u16, 3, 256, 1, 90];
        let total: u32 = weights.iter().copied().map(u32::from).sum();
        let mut seen = [0_i64; 5];
        for (position, server) in (1_i64..).zip(order(&weights)) {
            seen[server] += 1;
            for (count, weight) in seen.iter().zip(weights) {
                let distance = (count * i64::from(total) - position * i64::from(weight)).abs();
                assert!(distance < 2 * i64::from(total), "after {position} turns: {seen:?}");
            }
        }
        assert_eq!(seen, weights.map(i64::from));
    }

    #[test]
    fn a_turn_anywhere_starts_a_whole_round() {
        let available = Available::new([(2, 1), (5, 1), (9, 1)]);
        assert_eq!(available.from_turn(4).collect::<Vec<_>>(), [5, 9, 2]);
        assert_eq!(Available::default().from_turn(4).count(), 0);
        assert_eq!(Available::new([(0, 0)]).from_turn(usize::MAX).count(), 0);
    }
}
