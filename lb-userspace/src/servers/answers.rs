//! Answers: what a server of the kernel half says to SYNs, second by second, and how often it fails in a row. Pure.
//!
//! What passes on the way back is counted by the packet path: SYNs that went to the server, SYNs with ACK and resets that came in
//! answer. A SYN that was sent in one second and not answered by the end of the next is a failure, and so is a reset. A SYN with
//! ACK forgives all failures before it, as an opened connection does in the proxy: a server that is dead, or mute, sends none. So
//! clients cannot make a server fail that serves others: neither by SYNs that they never go on with, which are answered all the
//! same, nor by damaged ones, which are not. What is said twice counts twice, on both sides.

use lb_common::Counters;

/// What is known of the answers of one server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    /// All that was counted until the last look; `None`: nobody has looked yet.
    before: Option<Counters>,
    /// SYNs of the last second that were not answered within it.
    waiting: u64,
    /// Failures in a row.
    errors: u64,
}

impl Answers {
    /// Takes what was counted until now, a second or more after the last time. Returns how often `limit` failures were seen in a
    /// row.
    #[must_use = "failures are told once"]
    pub fn look(&mut self, counted: Counters, limit: u32) -> u64 {
        let Some(Counters { connections, accepted, resets, .. }) = self.since(counted) else {
            *self = Self { before: Some(counted), ..Self::default() };
            return 0;
        };
        self.before = Some(counted);
        let answered = accepted + resets;
        let unanswered = self.waiting.saturating_sub(answered);
        self.waiting = connections.saturating_sub(answered.saturating_sub(self.waiting));
        if accepted > 0 {
            self.errors = 0;
            return 0;
        }
        self.errors += unanswered + resets;
        let limit = u64::from(limit.max(1));
        let told = self.errors / limit;
        self.errors %= limit;
        told
    }

    /// What was counted since the last look. `None`: the row was another server's then, or is new.
    fn since(&self, now: Counters) -> Option<Counters> {
        let before = self.before?;
        Some(Counters {
            connections: now.connections.checked_sub(before.connections)?,
            accepted: now.accepted.checked_sub(before.accepted)?,
            resets: now.resets.checked_sub(before.resets)?,
            ..Counters::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told after seconds with so many SYNs, SYNs with ACK and resets, with a limit of 3.
    fn told(seconds: &[(u64, u64, u64)]) -> Vec<u64> {
        let (mut answers, mut counted) = (Answers::default(), Counters { connections: 9, ..Counters::default() });
        assert_eq!(answers.look(counted, 3), 0, "who has just come knows of nothing");
        let second = |(connections, accepted, resets): &(u64, u64, u64)| {
            counted +=
                Counters { connections: *connections, accepted: *accepted, resets: *resets, ..Counters::default() };
            answers.look(counted, 3)
        };
        seconds.iter().map(second).collect()
    }

    #[test]
    fn a_mute_server_fails_once_its_syns_have_waited() {
        assert_eq!(told(&[(3, 0, 0), (0, 0, 0), (0, 0, 0)]), [0, 1, 0]);
        assert_eq!(told(&[(2, 0, 0), (2, 0, 0), (2, 0, 0), (2, 0, 0)]), [0, 0, 1, 1]);
        assert_eq!(told(&[(1, 0, 0), (0, 0, 0), (1, 0, 0), (0, 0, 0), (1, 0, 0), (0, 0, 0)]), [0, 0, 0, 0, 0, 1]);
        assert_eq!(told(&[(700, 0, 0), (0, 0, 0)]), [0, 233]);
    }

    #[test]
    fn resets_fail_at_once_and_no_syn_twice() {
        assert_eq!(told(&[(7, 0, 7), (0, 0, 0), (0, 0, 0)]), [2, 0, 0]);
        assert_eq!(told(&[(3, 0, 0), (0, 0, 3), (0, 0, 0)]), [0, 1, 0]);
    }

    #[test]
    fn answers_may_be_late_and_forgive() {
        assert_eq!(told(&[(9, 0, 0), (9, 9, 0), (0, 9, 0), (0, 0, 0)]), [0; 4]);
        assert_eq!(told(&[(2, 0, 2), (1, 1, 0), (2, 0, 2), (0, 0, 0)]), [0; 4]);
        // A flood of damaged SYNs, and one client that is served.
        assert_eq!(told(&[(9_000, 1, 0), (9_000, 1, 0), (9_000, 1, 0)]), [0; 3]);
        // More answers than SYNs: they are repeated, because nobody goes on.
        assert_eq!(told(&[(50, 50, 0), (0, 100, 0), (50, 0, 0), (0, 50, 0)]), [0; 4]);
    }

    #[test]
    fn a_server_that_falls_silent_fails_though_it_spoke_before() {
        assert_eq!(told(&[(5, 2, 0), (5, 0, 0), (5, 0, 0)]), [0, 1, 1]);
    }

    #[test]
    fn a_row_that_becomes_another_servers_begins_anew() {
        let mut answers = Answers::default();
        assert_eq!(answers.look(Counters { connections: 90, ..Counters::default() }, 1), 0);
        assert_eq!(answers.look(Counters { connections: 95, ..Counters::default() }, 1), 0);
        assert_eq!(answers.look(Counters { connections: 2, ..Counters::default() }, 1), 0);
        assert_eq!(answers.look(Counters { connections: 2, ..Counters::default() }, 1), 0);
    }
}
