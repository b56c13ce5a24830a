//! Journal: the last events of a process, and how many there were of each kind.

use super::{Event, KINDS};
use crate::l7::log::events::EventLogger;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Events that are kept.
pub const KEPT: usize = 1_000;

/// The last events of a process.
#[derive(Debug)]
pub struct Journal {
    state: Mutex<State>,
    /// The number of the newest event.
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Newest last.
    recent: VecDeque<Event>,
    newest: u64,
    counts: [u64; KINDS.len()],
    loggers: Vec<EventLogger>,
    /// Events that wait to be written, until it is known where they are, or that they are not.
    late: Option<VecDeque<Event>>,
}

impl Default for Journal {
    fn default() -> Self {
        let state = State { late: Some(VecDeque::new()), ..State::default() };
        Self { state: Mutex::new(state), newest: watch::Sender::new(0) }
    }
}

impl Journal {
    /// Takes an event, which gets its number here. `again`: it was written before, and is kept and counted only.
    pub fn note(&self, event: Event, again: bool) {
        let mut state = self.lock();
        state.newest += 1;
        let event = Event { number: state.newest, ..event };
        if let Some(count) = KINDS.iter().position(|kind| *kind == event.event).and_then(|at| state.counts.get_mut(at))
        {
            *count += 1;
        }
        let State { recent, loggers, late, newest, .. } = &mut *state;
        match late {
            _ if again => {}
            Some(late) => push(late, event.clone()),
            None => {
                for logger in loggers {
                    logger.log(&event);
                }
            }
        }
        push(recent, event);
        let newest = *newest;
        drop(state);
        self.newest.send_replace(newest);
    }

    /// Events from now on go there. Those that were noted before that was said for the first time go there as well.
    pub(crate) fn log_to(&self, loggers: Vec<EventLogger>) {
        let mut state = self.lock();
        for event in state.late.take().unwrap_or_default() {
            for logger in &loggers {
                logger.log(&event);
            }
        }
        state.loggers = loggers;
    }

    /// At most so many of the last events, of those after that number, oldest first.
    pub fn after(&self, number: u64, most: usize) -> Vec<Event> {
        let state = self.lock();
        let fresh = state.recent.iter().filter(|event| event.number > number).count();
        state.recent.iter().skip(state.recent.len() - fresh.min(most)).cloned().collect()
    }

    /// How many events there were of each kind.
    pub fn counts(&self) -> [(&'static str, u64); KINDS.len()] {
        let counts = self.lock().counts;
        let mut counts = counts.into_iter();
        KINDS.map(|kind| (kind, counts.next().unwrap_or_default()))
    }

    /// The number of the newest event, and whoever waits for the next.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// It is whole at every moment.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is there for longest makes room.
fn push(events: &mut VecDeque<Event>, event: Event) {
    if events.len() == KEPT {
        events.pop_front();
    }
    events.push_back(event);
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    fn event(kind: &str, message: &str) -> Event {
        Event {
            number: 0,
            at_us: 1,
            level: Level::Info,
            event: kind.to_owned(),
            message: message.to_owned(),
            process: "worker".to_owned(),
            pid: 7,
            fields: Vec::new(),
        }
    }

    #[test]
    fn the_last_are_kept_in_order_and_all_are_counted() {
        let journal = Journal::default();
        for number in 0..KEPT + 5 {
            journal.note(event("server", &number.to_string()), false);
        }
        let kept = journal.after(0, usize::MAX);
        assert_eq!((kept.len(), kept[0].message.as_str(), kept[0].number), (KEPT, "5", 6));
        let newest = *journal.newest().borrow();
        assert_eq!(newest, KEPT as u64 + 5);
        let two: Vec<_> = journal.after(newest - 3, 2).into_iter().map(|event| event.number).collect();
        assert_eq!(two, [newest - 1, newest]);
        assert!(journal.after(newest, 9).is_empty());
        let server = journal.counts().into_iter().find(|(kind, _)| *kind == "server");
        assert_eq!(server, Some(("server", KEPT as u64 + 5)));
    }
}
