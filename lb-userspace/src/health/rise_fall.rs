//! Rise and fall: how many probes in a row make a verdict. HAProxy's counter (`src/check.c`), pure.

use crate::{
    model::check::{Check, InitState},
    servers::Health,
};

/// One number for a server's health: 0 to `rise + fall − 1`; up from `rise` on. A success counts up, a failure down, and
/// whoever crosses the line goes at once to its far end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RiseFall {
    rise: u32,
    fall: u32,
    health: u32,
    /// No probe counted yet.
    new: bool,
}

/// How soon the next probe is wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pace {
    /// Soon: not probed yet, or the last probes disagree.
    #[default]
    Fast,
    /// The server is up, and no probe says otherwise.
    Steady,
    /// It is down, and no probe says otherwise.
    Down,
    /// Not before something else is said: HAProxy's `disable health`.
    Never,
}

impl RiseFall {
    /// Begins with what is known of a server; of one that nothing is known of, with what `check` takes it for. A server that
    /// was down needs `rise` successes, whoever the daemon before us was.
    pub fn new(check: &Check, known: Health) -> Self {
        let (rise, fall) = (check.rise.max(1), check.fall.max(1));
        let (best, edge) = (rise + fall - 1, rise);
        let health = match (known, check.init_state) {
            (Health::Up | Health::Stopping, _) | (Health::Unknown, InitState::FullyUp) => best,
            (Health::Unknown, _) => edge,
            (Health::Pending, InitState::FullyDown) | (Health::Down | Health::Unresolved | Health::AgentDown, _) => 0,
            (Health::Pending, _) => edge - 1,
        };
        Self { rise, fall, health, new: matches!(known, Health::Unknown | Health::Pending) }
    }

    /// The same counts, for other thresholds.
    #[must_use]
    pub fn with(self, check: &Check) -> Self {
        let same = (self.rise, self.fall) == (check.rise.max(1), check.fall.max(1));
        match (same, self.new, self.verdict()) {
            (true, ..) => self,
            (false, false, verdict) => Self::new(check, verdict),
            (false, true, Health::Up) => Self::new(check, Health::Unknown),
            (false, true, _) => Self::new(check, Health::Pending),
        }
    }

    /// Takes one probe into account and says how the server stands after it.
    pub fn record(&mut self, passed: bool) -> Health {
        self.new = false;
        if passed {
            self.health = (self.health + 1).min(self.best());
            if self.health >= self.rise {
                self.health = self.best();
            }
        } else {
            self.health = self.health.saturating_sub(1);
            if self.health < self.rise {
                self.health = 0;
            }
        }
        self.verdict()
    }

    /// Goes on from where all probes would have said the same.
    #[must_use]
    pub fn said(self, up: bool) -> Self {
        Self { health: if up { self.best() } else { 0 }, new: false, ..self }
    }

    /// Leaves that many failures to go, if there are not fewer: the last one takes the server down.
    pub fn weaken(&mut self, failures: u32) {
        self.health = self.health.min((self.rise - 1).saturating_add(failures));
    }

    /// How soon the next probe is wanted.
    pub fn pace(self) -> Pace {
        match self.health {
            _ if self.new => Pace::Fast,
            0 => Pace::Down,
            health if health == self.best() => Pace::Steady,
            _ => Pace::Fast,
        }
    }

    /// HAProxy's `check_health`: 0 to `rise + fall − 1`.
    pub fn health(self) -> u32 {
        self.health
    }

    fn best(self) -> u32 {
        self.rise + self.fall - 1
    }

    fn verdict(self) -> Health {
        if self.health >= self.rise { Health::Up } else { Health::Down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Down, Pending, Unknown, Up};
    use Pace::{Fast, Steady};

    fn check(rise: u32, fall: u32, init_state: InitState) -> Check {
        Check { rise, fall, init_state, ..Check::default() }
    }

    /// What each probe (`+` passed, `-` failed) leads to.
    fn run(rise: u32, fall: u32, known: Health, probes: &str) -> Vec<Health> {
        run_from(&check(rise, fall, InitState::Up), known, probes)
    }

    fn run_from(check: &Check, known: Health, probes: &str) -> Vec<Health> {
        let mut counter = RiseFall::new(check, known);
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
    fn what_a_server_is_before_its_first_probe_can_be_said() {
        use InitState::{Down as IsDown, FullyDown, FullyUp};
        assert_eq!(run_from(&check(2, 3, FullyUp), Unknown, "---"), [Up, Up, Down]);
        assert_eq!(run_from(&check(2, 3, IsDown), Pending, "+"), [Up]);
        assert_eq!(run_from(&check(2, 3, IsDown), Pending, "-+"), [Down, Down]);
        assert_eq!(run_from(&check(2, 3, FullyDown), Pending, "++"), [Down, Up]);
        assert_eq!(run_from(&check(2, 3, FullyDown), Up, "--"), [Up, Up], "what is known comes first");
    }

    #[test]
    fn probes_hurry_while_the_last_ones_disagree() {
        let mut counter = RiseFall::new(&check(2, 3, InitState::Up), Unknown);
        let mut paces = vec![counter.pace()];
        for probe in "+-+---++".chars() {
            counter.record(probe == '+');
            paces.push(counter.pace());
        }
        assert_eq!(paces, [Fast, Steady, Fast, Steady, Fast, Fast, Pace::Down, Fast, Steady]);
    }

    #[test]
    fn thresholds_may_change_on_the_way() {
        let mut counter = RiseFall::new(&check(2, 3, InitState::Up), Up);
        counter.record(false);
        assert_eq!(counter.with(&check(2, 3, InitState::Up)), counter);
        assert_eq!(counter.with(&check(2, 1, InitState::Up)).record(false), Down);
    }

    #[test]
    fn a_weakened_server_has_one_failure_to_go() {
        let mut counter = RiseFall::new(&check(2, 3, InitState::Up), Up);
        counter.weaken(1);
        assert_eq!(counter.record(false), Down);
    }
}
