//! Limits of the process. The worker inherits them.

use crate::model::Model;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use tracing::{debug, warn};

/// Below this many open files a busy proxy runs out of them: two a connection.
const ENOUGH_FILES: u64 = 16_384;

/// Lifts the number of open files to what the administrator allows; the usual default of 1,024 is meant for programs
/// that use select(2).
pub(super) fn raise_open_files(model: &Model) {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).map_err(io::Error::from) {
        Ok(()) => debug!(files = limit.maximum, "open files"),
        Err(error) => warn!(%error, "cannot raise the number of open files"),
    }
    // What was asked for is told of by `report`.
    let unasked = model.global.max_connections.is_none();
    if let Some(files) = limit.maximum.filter(|files| unasked && *files < ENOUGH_FILES) {
        warn!(
            files,
            connections = model.most_connections(Some(files)),
            "few open files are allowed; raise the hard limit (LimitNOFILE) to serve more"
        );
    }
}

/// What `max_connections` needs and is not allowed, as a line for the operator; empty: nothing.
pub(super) fn report(model: &Model) -> String {
    let allowed = getrlimit(Resource::Nofile).current;
    too_few(model, allowed).unwrap_or_default()
}

fn too_few(model: &Model, allowed: Option<u64>) -> Option<String> {
    let (wanted, needed, allowed) = (model.global.max_connections?, model.needed_descriptors()?, allowed?);
    let most = model.most_connections(Some(allowed))?;
    (needed > allowed).then(|| {
        format!(
            "warning: `[global] max_connections` is {wanted}, which needs {needed} open files, and {allowed} are allowed: \
             {most} connections are taken; raise the hard limit (LimitNOFILE) to take more\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::tests::model::model;

    #[test]
    fn too_few_descriptors_are_told_of_with_both_numbers() {
        let mut model = model(vec![], vec![]);
        assert_eq!(too_few(&model, Some(1_024)), None);
        model.global.max_connections = Some(1_000);
        assert_eq!(too_few(&model, Some(2_128)), None);
        assert_eq!(
            too_few(&model, Some(1_024)).as_deref(),
            Some(
                "warning: `[global] max_connections` is 1000, which needs 2128 open files, and 1024 are allowed: \
                 448 connections are taken; raise the hard limit (LimitNOFILE) to take more\n"
            )
        );
    }
}
