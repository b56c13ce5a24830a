//! The order in which `roundrobin` visits servers: that of HAProxy (lb_fwrr.c), one round of it. Pure.

use std::{cmp::Reverse, collections::BinaryHeap};

/// HAProxy counts weights in sixteenths.
const SCALE: u64 = 16;
/// More than the largest weight, so counted.
const MAX: u64 = (1 << 16) * SCALE;

/// One round: each server comes as often as its weight says, its turns spread evenly.
///
/// Servers wait at the position where their next turn is due, which is the last one plus total by weight; where none is
/// due, the heaviest that had no turn yet comes. Of those that are due at one position the one with the least remainder
/// goes first.
///
/// Where rounding would give a server one turn more in a round and another one less, as HAProxy does with some weights, the
/// turn is the other's.
pub(super) fn round(servers: &[(usize, u16)]) -> Box<[usize]> {
    let divisor = super::divisor(servers);
    let mut waiting: Vec<_> = servers.iter().map(|(server, weight)| Waiting::new(*server, *weight / divisor)).collect();
    let total: u64 = waiting.iter().map(|it| it.weight).sum();
    waiting.sort_by_key(|it| Reverse(it.weight));
    let mut fresh = waiting.into_iter();
    let mut due = BinaryHeap::new();
    let turn = |count: u64| {
        let position = total + count;
        let is_due = due.peek().is_some_and(|Reverse(next): &Reverse<Waiting>| next.position <= position);
        let next = if is_due { None } else { fresh.next() };
        let mut next = next.or_else(|| due.pop().map(|Reverse(next)| next))?;
        next.advance(position, total, count);
        let server = next.server;
        if next.left > 0 {
            due.push(Reverse(next));
        }
        Some(server)
    };
    (0..total / SCALE).map_while(turn).collect()
}

/// A server that waits for its next turn. Ordered by which comes first.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Waiting {
    position: u64,
    /// Of servers that are due at one position, the one with the least goes first.
    rank: u64,
    /// Then the one that waits longest.
    since: u64,
    server: usize,
    weight: u64,
    /// What dividing by the weight has left over so far.
    rest: u64,
    /// Turns left in this round.
    left: u16,
}

impl Waiting {
    fn new(server: usize, weight: u16) -> Self {
        Self { position: 0, rank: 0, since: 0, server, weight: u64::from(weight) * SCALE, rest: 0, left: weight }
    }

    fn advance(&mut self, position: u64, total: u64, count: u64) {
        let from = if self.position == 0 { position } else { self.position };
        self.rest += total % self.weight;
        let carry = u64::from(self.rest >= self.weight);
        self.rest -= carry * self.weight;
        self.position = from + total / self.weight + carry;
        self.rank = (MAX + self.rest - self.weight) / SCALE;
        self.since = count;
        self.left -= 1;
    }
}
