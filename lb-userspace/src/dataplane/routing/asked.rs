//! Whom we had the kernel ask for lately, so that packets which find no Ethernet address cannot make it ask more often,
//! or for more machines, than is good for the network. Pure.

use std::{
    collections::{BTreeSet, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};
use tokio::time::Instant;

/// A machine that does not answer is not asked for again sooner.
pub const AGAIN: Duration = Duration::from_secs(1);

/// Machines that are asked for within [`AGAIN`]. Whoever forges sources on our links has this many entries a second made
/// in the kernel's table of neighbours, which has room for 1,024 (`gc_thresh3`) and gets rid of useless ones after 5 s.
pub const MOST: usize = 128;

/// The machines asked for within the last [`AGAIN`] that have not answered, in their order.
#[derive(Debug, Default)]
pub struct Asked {
    order: VecDeque<(Instant, Ipv4Addr)>,
    machines: BTreeSet<Ipv4Addr>,
}

impl Asked {
    /// Whether `machine` should be asked for now. `true` is remembered, and not said again for [`AGAIN`].
    pub fn may_ask(&mut self, machine: Ipv4Addr, now: Instant) -> bool {
        while let Some((_, forgotten)) = self.order.pop_front_if(|(then, _)| now.duration_since(*then) >= AGAIN) {
            self.machines.remove(&forgotten);
        }
        if self.order.len() >= MOST || !self.machines.insert(machine) {
            return false;
        }
        self.order.push_back((now, machine));
        true
    }

    /// Forgets a machine that answered: if the kernel loses it again, it may be asked for at once.
    pub fn answered(&mut self, machine: Ipv4Addr) {
        if self.machines.remove(&machine) {
            self.order.retain(|(_, asked)| *asked != machine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: usize) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap())
    }

    #[test]
    fn a_machine_that_never_answers_is_asked_for_once_a_second() {
        let (mut asked, begin) = (Asked::default(), Instant::now());
        let times = (0..10_000).map(|ms| begin + Duration::from_millis(ms));
        assert_eq!(times.filter(|now| asked.may_ask(machine(1), *now)).count(), 10);
    }

    #[test]
    fn one_machine_does_not_wait_for_another() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        assert!(asked.may_ask(machine(1), now) && asked.may_ask(machine(2), now));
    }

    #[test]
    fn a_machine_that_answered_may_be_asked_for_again_and_takes_no_room() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        for number in 0..10 * MOST {
            assert!(asked.may_ask(machine(number % 3), now), "{number}");
            asked.answered(machine(number % 3));
            asked.answered(machine(number % 3));
        }
        assert!(asked.order.is_empty() && asked.machines.is_empty(), "{asked:?}");
    }

    #[test]
    fn a_flood_of_addresses_costs_a_bounded_number_of_questions_and_then_it_is_over() {
        let (mut asked, begin) = (Asked::default(), Instant::now());
        let mut flood = |at: Instant| (0..10_000).filter(|number| asked.may_ask(machine(*number), at)).count();
        assert_eq!(flood(begin), MOST);
        assert_eq!(flood(begin + AGAIN / 2), 0);
        assert_eq!(flood(begin + AGAIN), MOST);
        assert!(asked.order.len() == MOST && asked.machines.len() == MOST, "it remembers more than it needs");
        assert!(asked.may_ask(machine(20_000), begin + AGAIN * 2));
    }
}
