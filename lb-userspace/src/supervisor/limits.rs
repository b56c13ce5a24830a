//! Limits of the process. The worker inherits them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use tracing::{debug, warn};

/// Below this many open files a busy proxy runs out of them: two a connection.
const ENOUGH_FILES: u64 = 16_384;

/// Lifts the number of open files to what the administrator allows; the usual default of 1,024 is meant for programs
/// that use select(2).
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).map_err(io::Error::from) {
        Ok(()) => debug!(files = limit.maximum, "open files"),
        Err(error) => warn!(%error, "cannot raise the number of open files"),
    }
    if let Some(files) = limit.maximum.filter(|files| *files < ENOUGH_FILES) {
        warn!(
            files,
            connections = files / 2,
            "few open files are allowed; raise the hard limit (LimitNOFILE) to serve more"
        );
    }
}
