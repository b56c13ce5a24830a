//! The daemon dies in the midst of a change, after any of its writes: packets go where the old or the new configuration says, and
//! the next daemon makes the maps whole without moving a flow.

use super::*;

impl History {
    /// A step in which the daemon dies after so many writes. The packets of meanwhile find what is there; then another daemon
    /// starts, with the configuration of after the step (`new`) or of before it. Returns whether the daemon died.
    pub(super) fn crash(&mut self, step: &Step, writes: usize, new: bool) -> bool {
        let before = (self.weights(), self.has_frontend);
        self.world.0.borrow_mut().writes_left = Some(writes);
        self.step(step);
        self.world.0.borrow_mut().traffic(64);
        let left = self.world.0.borrow_mut().writes_left.take();
        let (weights, has_frontend) = if new { (self.weights(), self.has_frontend) } else { before };
        self.has_frontend = has_frontend;
        self.start(weights);
        self.world.0.borrow_mut().traffic(64);
        left == Some(0)
    }

    /// Whose every slot is, by name.
    fn owners(&self) -> Vec<u64> {
        let tables = self.halves.tables();
        let owner = |slot: &lb_common::Slot| tables.servers.get(&slot.current()).map_or(0, |row| row.identity);
        tables.rings[&1].slots.iter().map(owner).collect()
    }
}

/// Changes of every sort, from one state on.
fn changes() -> Vec<Vec<Step>> {
    vec![
        vec![Step::Health(0, false)],
        vec![Step::Health(0, false), Step::Pass(5), Step::Health(0, true)],
        vec![Step::AllHealth(false)],
        vec![Step::Admin(1, 1)],
        vec![Step::Admin(1, 2)],
        vec![Step::Weight(2, 250)],
        vec![Step::Servers([1, 1, 1, 1, 1, 0])],
        vec![Step::Servers([3, 1, 1, 1, 1, 1])],
        vec![Step::Servers([1, 1, 0, 0, 0, 0]), Step::Pass(2), Step::Servers([1, 0, 1, 1, 1, 1])],
        vec![Step::Frontend(false)],
        vec![Step::Frontend(false), Step::Pass(2), Step::Frontend(true)],
        vec![Step::Frontend(false), Step::Servers([1, 1, 0, 1, 1, 1]), Step::Pass(2), Step::Frontend(true)],
    ]
}

#[test]
fn a_daemon_that_dies_after_any_write_of_any_change_moves_no_flow_and_the_next_one_makes_it_whole() {
    for (number, steps) in changes().into_iter().enumerate() {
        let (last, first) = steps.split_last().unwrap();
        let begin = || {
            let mut history = History::new(17);
            history.world.0.borrow_mut().traffic(400);
            history.run(first);
            history
        };
        // Only a configuration may be another one for the next daemon.
        let is_configured = matches!(last, Step::Servers(_) | Step::Frontend(_));
        for new in [true, false].into_iter().filter(|new| *new || is_configured) {
            let mut wanted = begin();
            let unchanged = (wanted.weights(), wanted.has_frontend);
            wanted.step(last);
            if !new {
                wanted.has_frontend = unchanged.1;
                wanted.configure(unchanged.0);
            }
            wanted.pass(Duration::from_secs(2));
            for writes in 0.. {
                let mut history = begin();
                let died = history.crash(last, writes, new);
                // What was not written of a verdict the next daemon finds out by itself, and the operator says it again.
                if !is_configured {
                    history.step(last);
                }
                history.pass(Duration::from_secs(2));
                // The ring of a VIP that leaves stays as it was.
                let is_whole = !history.has_frontend || history.owners() == wanted.owners();
                assert!(is_whole, "change {number}, {writes} writes, new {new}");
                if !died {
                    break;
                }
                assert!(writes < 200, "it never ends");
            }
        }
    }
}
