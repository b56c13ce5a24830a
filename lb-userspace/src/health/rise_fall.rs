//! Rise and fall: how many probes in a row make a verdict. HAProxy's counter (`src/check.c`), pure.

use crate::servers::Health;

/// One number for a server's health: 0 to `rise + fall − 1`; up from `rise` on. A success counts up, a failure down, and
/// whoever crosses the line goes at once to its far end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RiseFall {
    rise: u32,
    fall: u32,
    health: u32,
}

impl RiseFall {
    /// Begins with what is known. An unchecked server counts as up, but its first failure takes it down; one that was
    /// down needs `rise` successes, whoever the daemon before us was.
    pub fn new(rise: u32, fall: u32, known: Health) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        let health = match known {
            Health::Unknown => rise,
            Health::Up => rise + fall - 1,
            Health::Down => 0,
        };
        Self { rise, fall, health }
    }

    /// The same counts, for other thresholds.
    #[must_use]
    pub fn with(self, rise: u32, fall: u32) -> Self {
        if (self.rise, self.fall) == (rise, fall) { self } else { Self::new(rise, fall, self.verdict()) }
    }

    /// Takes one probe into account and says how the server stands after it.
    pub fn record(&mut self, passed: bool) -> Health {
        let best = self.rise + self.fall - 1;
        if passed {
            self.health = (self.health + 1).min(best);
            if self.health >= self.rise {
                self.health = best;
            }
        } else {
            self.health = self.health.saturating_sub(1);
            if self.health < self.rise {
                self.health = 0;
            }
        }
        self.verdict()
    }

    fn verdict(self) -> Health {
        if self.health >= self.rise { Health::Up } else { Health::Down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Down, Unknown, Up};

    /// What each probe (`+` passed, `-` failed) leads to.
    fn run(rise: u32, fall: u32, known: Health, probes: &str) -> Vec<Health> {
        let mut counter = RiseFall::new(rise, fall, known);
        probes.chars().map(|probe| counter.record(probe == '+')).collect()
    }

    #[test]
    fn a_server_that_is_up_falls_after_fall_failures_in_a_row() {
        assert_eq!(run(2, 3, Up, "---"), [Up, Up, Down]);
        assert_eq!(run(2, 3, Up, "--+--"), [Up; 5], "a success forgives all failures before it");
    }

    #[test]
    fn a_server_that_is_down_rises_after_rise_successes_in_a_row() {
        assert_eq!(run(2, 3, Down, "++"), [Down, Up]);
        assert_eq!(run(3, 1, Down, "++-++-"), [Down; 6], "a failure forgets all successes before it");
    }

    #[test]
    fn an_unchecked_server_is_judged_by_its_first_probe() {
        assert_eq!(run(2, 3, Unknown, "-"), [Down]);
        assert_eq!(run(2, 3, Unknown, "+--"), [Up; 3]);
    }

    #[test]
    fn thresholds_may_change_on_the_way() {
        let mut counter = RiseFall::new(2, 3, Up);
        counter.record(false);
        assert_eq!(counter.with(2, 3), counter);
        assert_eq!(counter.with(2, 1).record(false), Down);
    }
}
