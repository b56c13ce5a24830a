//! Do the counts agree? What the kernel counted, what the servers logged, and what the clients got.

use anyhow::{Result, ensure};
use lb_tests::client::{Exchange, load};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The counts of one server, since its start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    /// Connections that the kernel half sent there.
    pub(crate) kernel: u64,
    /// Requests in its access log.
    pub(crate) logged: u64,
    /// Answers of it that clients got.
    pub(crate) answered: u64,
}

/// Checks the counts of all servers. Only the server that was killed can explain `failed` requests.
///
/// One request a connection, so all three must be equal for a server that lived. Of the killed one, every connection
/// without an answer is a failed request; and of the requests it was serving when it died — at most one a client thread —
/// the log may hold one that was never answered, or lack one that was.
pub(crate) fn agree(counts: &BTreeMap<String, Count>, killed: &str, failed: u64) -> Result<()> {
    for (server, count) in counts {
        let Count { kernel, logged, answered } = *count;
        if server == killed {
            ensure!(
                kernel == answered + failed,
                "{server}: {kernel} connections, but {answered} answers and {failed} failures"
            );
            let in_flight = load::THREADS as u64;
            ensure!(logged.abs_diff(answered) <= in_flight, "{server}: {logged} requests logged, {answered} answered");
        } else {
            ensure!(
                kernel == logged && logged == answered,
                "{server}: kernel {kernel}, access log {logged}, clients {answered}"
            );
        }
    }
    Ok(())
}

/// Checks that requests failed only between the kill of a server and the change of the ring. Returns how many did.
pub(crate) fn failures(exchanges: &[Exchange], killed: Instant, changed: Instant) -> Result<u64> {
    let mut failed = 0;
    for Exchange { started, ended, result } in exchanges {
        let Err(error) = result else { continue };
        ensure!(
            *ended >= killed && *started <= changed,
            "a request failed that had nothing to do with the killed server, {:?} after the kill: {error:#}",
            started.saturating_duration_since(killed)
        );
        failed += 1;
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(kernel: u64, logged: u64, answered: u64) -> BTreeMap<String, Count> {
        [("web1".to_owned(), Count { kernel, logged, answered })].into()
    }

    #[test]
    fn a_living_server_must_agree_exactly() {
        assert!(agree(&count(7, 7, 7), "web2", 3).is_ok());
        for wrong in [count(8, 7, 7), count(7, 8, 7), count(7, 7, 8)] {
            assert!(agree(&wrong, "web2", 3).is_err());
        }
    }

    #[test]
    fn the_killed_server_explains_every_failure_and_no_more() {
        assert!(agree(&count(10, 7, 7), "web1", 3).is_ok());
        assert!(agree(&count(10, 8, 7), "web1", 3).is_ok());
        assert!(agree(&count(10, 7, 7), "web1", 2).is_err());
        assert!(agree(&count(10, 7, 7), "web1", 4).is_err());
        assert!(agree(&count(10, 1, 7), "web1", 3).is_err());
    }
}
