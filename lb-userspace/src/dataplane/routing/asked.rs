//! Whom we had the kernel ask for lately, so that packets which find no Ethernet address cannot make it ask more often,
//! or for more machines, than is good for the network. Pure.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};
use tokio::time::Instant;

/// A machine that does not answer is not asked for again sooner.
pub const AGAIN: Duration = Duration::from_secs(1);

/// Machines of one family that are asked for within [`AGAIN`]. Whoever forges sources on our links has this many entries a
/// second made in the kernel's table of neighbours, which has room for 1,024 (`gc_thresh3`, of each family) and gets rid of
/// useless ones after 5 s.
pub const MOST: usize = 128;

/// Whom we had the kernel ask for lately. Each family has its own bound, as it has its own table in the kernel.
#[derive(Debug, Default)]
pub struct Asked {
    v4: Lately,
    v6: Lately,
}

impl Asked {
    /// Whether `machine` should be asked for now. `true` is remembered, and not said again for [`AGAIN`].
    pub fn may_ask(&mut self, machine: IpAddr, now: Instant) -> bool {
        self.family(machine).may_ask(machine, now)
    }

    /// Forgets a machine that answered: if the kernel loses it again, it may be asked for at once.
    pub fn answered(&mut self, machine: IpAddr) {
        self.family(machine).answered(machine);
    }

    const fn family(&mut self, machine: IpAddr) -> &mut Lately {
        if machine.is_ipv6() { &mut self.v6 } else { &mut self.v4 }
    }
}

/// The machines asked for within the last [`AGAIN`] that have not answered, in their order.
#[derive(Debug, Default)]
struct Lately {
    order: VecDeque<(Instant, IpAddr)>,
    machines: BTreeSet<IpAddr>,
}

impl Lately {
    fn may_ask(&mut self, machine: IpAddr, now: Instant) -> bool {
        while let Some((_, forgotten)) = self.order.pop_front_if(|(then, _)| now.duration_since(*then) >= AGAIN) {
            self.machines.remove(&forgotten);
        }
        if self.order.len() >= MOST || !self.machines.insert(machine) {
            return false;
        }
        self.order.push_back((now, machine));
        true
    }

    fn answered(&mut self, machine: IpAddr) {
        if self.machines.remove(&machine) {
            self.order.retain(|(_, asked)| *asked != machine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn machine(number: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap()).into()
    }

    fn machine6(number: usize) -> IpAddr {
        Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::try_from(number).unwrap()).into()
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
        assert!(asked.v4.order.is_empty() && asked.v4.machines.is_empty(), "{asked:?}");
    }

    #[test]
    fn a_flood_of_addresses_costs_a_bounded_number_of_questions_and_then_it_is_over() {
        let (mut asked, begin) = (Asked::default(), Instant::now());
        let mut flood = |at: Instant| (0..10_000).filter(|number| asked.may_ask(machine(*number), at)).count();
        assert_eq!(flood(begin), MOST);
        assert_eq!(flood(begin + AGAIN / 2), 0);
        assert_eq!(flood(begin + AGAIN), MOST);
        assert!(asked.v4.order.len() == MOST && asked.v4.machines.len() == MOST, "it remembers more than it needs");
        assert!(asked.may_ask(machine(20_000), begin + AGAIN * 2));
    }

    #[test]
    fn a_flood_of_one_family_takes_no_questions_from_the_other() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        assert_eq!((0..10_000).filter(|number| asked.may_ask(machine6(*number), now)).count(), MOST);
        assert!(asked.may_ask(machine(1), now));
    }
}
