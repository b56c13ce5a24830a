//! Descriptors: how many connections the process may have open, by the files that it may.

use super::{Bind, Model};

/// A connection of a client, and the one to a server that serves it.
const A_CONNECTION: u64 = 2;

/// Of a server that is checked: the connection of a probe, and that of the one before, whose end the server delays.
const A_CHECK: usize = 2;

/// Of a serving thread: its runtime's, and some time of grace for connections that are being opened or closed.
const A_THREAD: u64 = 16;

/// Of a backend of the kernel half: both halves of its ring.
const A_RING: u64 = 2;

/// What else: the kernel's maps, logs, control socket and metrics with those that ask there.
const ELSE: u64 = 96;

/// Of a stats socket: itself and those that ask there.
const A_STATS_SOCKET: u64 = 34;

/// Of an address of a statistics page: the same.
const A_PAGE: u64 = 18;

/// The last descriptors are not for connections: checks, operators and reloads have them when traffic has taken all others.
/// So many, or an eighth where few are allowed.
const RESERVE: u64 = 32;

/// The number from which on descriptors are not for connections, where so many are allowed. The kernel gives the lowest that is
/// free, so one that has a number this high says that all others are taken.
pub fn reserved_from(allowed: u64) -> u64 {
    allowed.saturating_sub(RESERVE.min(allowed / 8))
}

impl Model {
    /// Descriptors that are needed beside those of connections.
    fn own_descriptors(&self) -> u64 {
        let proxied = self.frontends.iter().filter(|frontend| frontend.is_proxied());
        let ports = proxied.flat_map(|frontend| &frontend.binds).flat_map(Bind::addresses);
        let listeners = ports.count() * self.global.threads;
        let checked = self.backends.iter().filter(|backend| backend.check.is_some());
        let checks = checked.map(|backend| backend.servers.len()).sum::<usize>() * A_CHECK;
        let (threads, rings) = (self.global.threads as u64, self.kernel_backends().count() as u64);
        let stats = self.global.stats_sockets.len() as u64;
        let pages = self.global.stats_pages.iter().map(|page| page.binds.len() as u64).sum::<u64>();
        let doors = stats * A_STATS_SOCKET + pages * A_PAGE;
        (listeners + checks) as u64 + threads * A_THREAD + rings * A_RING + ELSE + doors
    }

    /// Descriptors that `max_connections` needs; `None`: it is not given.
    pub fn needed_descriptors(&self) -> Option<u64> {
        self.global.max_connections.map(|most| u64::from(most) * A_CONNECTION + self.own_descriptors())
    }

    /// Most connections of clients, where that many descriptors may be open: `max_connections`, or as many as fit. `None`: any
    /// number.
    pub fn most_connections(&self, descriptors: Option<u64>) -> Option<usize> {
        let wanted = self.global.max_connections.map(u64::from);
        let fit = descriptors.map(|all| (all.saturating_sub(self.own_descriptors()) / A_CONNECTION).max(1));
        let most = wanted.into_iter().chain(fit).min();
        most.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::reserved_from;
    use crate::{config::parse, model::Ports};

    #[test]
    fn the_last_descriptors_are_kept_and_not_too_many() {
        assert_eq!([64, 256, 1_024, 1 << 20].map(reserved_from), [56, 224, 992, (1 << 20) - 32]);
    }

    #[test]
    fn half_of_the_descriptors_are_for_clients_less_what_is_needed_otherwise() {
        let text = "[global]\nthreads = 4\n[frontend.a]\nmode = \"tcp\"\nbind = [\"*:80\", \"*:81\"]\ndefault_backend = \"b\"\n\
                    [backend.b]\nserver = [{ name = \"s\", address = \"10.0.0.1:80\" }]\n";
        let mut model = parse(text).expect("a model").model;
        assert_eq!(model.needed_descriptors(), None);
        assert_eq!(model.most_connections(None), None);
        assert_eq!(model.most_connections(Some(20_000)), Some((20_000 - 8 - 64 - 96) / 2));
        assert_eq!(model.most_connections(Some(20)), Some(1), "at least one");
        model.global.max_connections = Some(1_000);
        assert_eq!(model.needed_descriptors(), Some(2_168));
        assert_eq!(model.most_connections(Some(20_000)), Some(1_000));
        assert_eq!(model.most_connections(Some(1_168)), Some(500));
        assert_eq!(model.most_connections(None), Some(1_000));
        model.frontends[0].binds[1].ports = Ports::Range(81, 580);
        assert_eq!(model.needed_descriptors(), Some(2_168 + 499 * 4), "one a port and thread");
    }
}
