//! Quorum: how many servers of its default backend a frontend needs to be of use. The words are keepalived's.

/// How many servers of its default backend a frontend needs, and what becomes of it without.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quorum {
    /// Servers that must take new traffic, at least 1. A backup server counts while it stands in. Default: 1.
    pub servers: u32,
    /// By how many fewer the quorum is lost, and by how many more it is had again; less than `servers`. Default: 0.
    pub hysteresis: u32,
    /// What becomes of new traffic while it is lost. Default: it is served.
    pub down: QuorumDown,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { servers: 1, hysteresis: 0, down: QuorumDown::Serve }
    }
}

impl Quorum {
    /// Whether `servers` are enough. `had`: whether those before were; `None`: nobody knows, and the quorum itself decides.
    pub fn is_met(&self, had: Option<bool>, servers: usize) -> bool {
        let needed = match had {
            None => self.servers,
            Some(true) => self.servers.saturating_sub(self.hysteresis),
            Some(false) => self.servers.saturating_add(self.hysteresis),
        };
        servers >= (needed.max(1) as usize)
    }
}

/// `quorum_down`: what becomes of new traffic while the quorum is lost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QuorumDown {
    /// The servers that are left have it.
    #[default]
    Serve,
    /// It is turned away: the VIP is silent.
    Withdraw,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_lost_below_and_had_again_above() {
        let quorum = Quorum { servers: 3, hysteresis: 1, down: QuorumDown::Serve };
        let met = |had| (0..=5).map(|servers| quorum.is_met(had, servers)).collect::<Vec<_>>();
        assert_eq!(met(Some(true)), [false, false, true, true, true, true]);
        assert_eq!(met(Some(false)), [false, false, false, false, true, true]);
        assert_eq!(met(None), [false, false, false, true, true, true]);
    }

    #[test]
    fn one_server_is_enough_if_nothing_is_said_and_none_is_never() {
        for had in [None, Some(false), Some(true)] {
            assert!(Quorum::default().is_met(had, 1) && !Quorum::default().is_met(had, 0));
        }
    }
}
