//! Events: what changes, and why, so that it can be read back: how servers stand, who asked for what, reloads, upgrades, the
//! kernel half.
//!
//! An event is a line of the daemon's own log that has a field `event`, one of [`KINDS`]: whoever says something there says it
//! once, and a [layer] of the log takes it into the [`Journal`] of the process. The journal keeps the last ones, counts all,
//! and writes them to the targets of `event_log`. What the supervisor notes it hands to its worker, which has the targets, the
//! metrics and the control socket.

pub mod event;
mod journal;
pub mod layer;

pub use event::{Event, Level};
pub use journal::{Journal, KEPT};

use std::sync::LazyLock;

/// What events are about.
pub const KINDS: [&str; 19] = [
    // The daemon.
    "start", "stop", "worker", "upgrade", "memory", // What operators do.
    "asked", "admin", "weight", "reload", "trial", "files", // Servers and frontends.
    "server", "address", "drained", "left", "quorum", // The kernel half.
    "attach", "detach", "next_hop",
];

/// The journal of this process.
pub fn journal() -> &'static Journal {
    static JOURNAL: LazyLock<Journal> = LazyLock::new(Journal::default);
    &JOURNAL
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    fn kinds_said(directory: &Path, kinds: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                kinds_said(&path, kinds);
            } else if !path.ends_with("events.rs") && !path.starts_with(Path::new("src/events")) {
                let text = fs::read_to_string(&path).unwrap();
                let said = text.split("event = \"").skip(1).filter_map(|rest| rest.split_once('"'));
                kinds.extend(said.map(|(kind, _)| kind.to_owned()));
            }
        }
    }

    #[test]
    fn what_is_said_is_what_is_counted() {
        let mut said = BTreeSet::new();
        kinds_said(Path::new("src"), &mut said);
        assert_eq!(said, KINDS.iter().map(|kind| (*kind).to_owned()).collect());
    }
}
