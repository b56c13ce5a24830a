//! Whether a daemon is ready to be sent traffic: what `sluice ready` prints, for whoever moves VIPs.

use crate::channel::message::Interface;
use serde::{Deserialize, Serialize};

/// Whether a daemon is ready for what was asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ready {
    /// Whether all is as it should be.
    pub ready: bool,
    /// What is not, in words; empty if it is ready.
    pub reasons: Vec<String>,
    /// The frontends that were asked for; all, if none was.
    pub frontends: Vec<FrontendReady>,
    /// Names that were asked for, and that no frontend has. About the others this says nothing.
    pub unknown: Vec<String>,
}

/// A frontend's part in it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct FrontendReady {
    /// Its name.
    pub name: String,
    /// `l4`, `tcp` or `http`.
    pub mode: String,
    /// Its default backend.
    pub backend: Option<String>,
    /// Servers of that which take new traffic now.
    pub servers: usize,
    /// Those of them that the checks found up, or that are not checked at all.
    pub checked: usize,
    /// How many it needs; 0: it has no such backend.
    pub quorum: u32,
    /// Whether it has its quorum.
    pub has_quorum: bool,
    /// Whether it has it by those that were checked alone, the first time by the whole of it.
    pub by_checked: bool,
}

impl Ready {
    /// What becomes of it all.
    pub fn new(interfaces: &[Interface], frontends: Vec<FrontendReady>, unknown: Vec<String>) -> Self {
        let mut reasons = Vec::new();
        if frontends.iter().any(|frontend| frontend.mode == "l4") {
            let missing = interfaces.iter().filter_map(|interface| Some((&interface.name, interface.error.as_ref()?)));
            reasons.extend(missing.map(|(name, error)| format!("no XDP on {name}: {error}")));
        }
        reasons.extend(frontends.iter().filter_map(FrontendReady::reason));
        Self { ready: reasons.is_empty() && unknown.is_empty(), reasons, frontends, unknown }
    }
}

impl FrontendReady {
    /// Why it is not ready.
    fn reason(&self) -> Option<String> {
        let Self { name, backend, servers, checked, quorum, has_quorum, by_checked, .. } = self;
        let backend = backend.as_deref().unwrap_or_default();
        let plural = if *servers == 1 { "server takes" } else { "servers take" };
        let has = match (has_quorum, by_checked) {
            (true, true) => return None,
            (true, false) if checked < servers => {
                return Some(format!("frontend {name}: the servers of backend {backend} have not been checked yet"));
            }
            // Fewer than that lose it, but it was never had.
            (true, false) => "has not had",
            (false, _) => "has lost",
        };
        Some(format!(
            "frontend {name} {has} its quorum of {quorum}: {servers} {plural} new traffic in backend {backend}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontend(name: &str, mode: &str) -> FrontendReady {
        FrontendReady {
            name: name.to_owned(),
            mode: mode.to_owned(),
            backend: Some("web".to_owned()),
            servers: 1,
            checked: 1,
            quorum: 2,
            has_quorum: true,
            by_checked: true,
        }
    }

    fn interfaces() -> [Interface; 2] {
        let gone = "there is no network interface eth1".to_owned();
        [
            Interface { name: "eth0".to_owned(), mode: "native".to_owned(), adopted: false, error: None },
            Interface { name: "eth1".to_owned(), mode: "none".to_owned(), adopted: false, error: Some(gone) },
        ]
    }

    #[test]
    fn whatever_is_missing_is_a_reason() {
        let lost = FrontendReady { has_quorum: false, by_checked: false, ..frontend("shop", "l4") };
        let unchecked = FrontendReady { by_checked: false, checked: 0, ..frontend("site", "http") };
        let new = FrontendReady { by_checked: false, ..frontend("new", "http") };
        let ready = Ready::new(&interfaces(), vec![lost, unchecked, new, frontend("www", "http")], Vec::new());
        assert!(!ready.ready);
        assert_eq!(
            ready.reasons,
            [
                "no XDP on eth1: there is no network interface eth1",
                "frontend shop has lost its quorum of 2: 1 server takes new traffic in backend web",
                "frontend site: the servers of backend web have not been checked yet",
                "frontend new has not had its quorum of 2: 1 server takes new traffic in backend web",
            ]
        );
    }

    #[test]
    fn the_proxy_needs_no_program_in_the_kernel() {
        assert!(Ready::new(&interfaces(), vec![frontend("www", "http"), frontend("db", "tcp")], Vec::new()).ready);
        assert!(!Ready::new(&interfaces(), vec![frontend("shop", "l4")], Vec::new()).ready);
        assert!(Ready::new(&interfaces()[..1], vec![frontend("shop", "l4")], Vec::new()).ready);
    }

    #[test]
    fn nothing_is_ready_that_is_not_there() {
        assert!(!Ready::new(&[], Vec::new(), vec!["shpo".to_owned()]).ready);
    }
}
