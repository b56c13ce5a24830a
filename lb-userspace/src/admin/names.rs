//! What a running daemon calls the rows of the maps.

use super::status::Status;
use std::collections::BTreeMap;

/// Names by row; none without a daemon.
#[derive(Debug, Default)]
pub struct Names {
    /// Of frontends, by address with ports and protocol.
    pub(super) frontends: BTreeMap<(String, String), String>,
    /// Of backends, by identity.
    pub(super) backends: BTreeMap<u64, String>,
    /// Of servers with their backends, by row.
    pub(super) servers: BTreeMap<u16, (String, String)>,
}

impl Names {
    /// As the daemon says.
    pub fn new(status: Option<&Status>) -> Self {
        let mut names = Self::default();
        let Some(status) = status else { return names };
        for frontend in status.frontends.iter().filter(|frontend| frontend.mode == "l4") {
            for bind in &frontend.binds {
                names.frontends.insert((bind.address.clone(), bind.protocol.clone()), frontend.name.clone());
            }
        }
        for backend in &status.backends {
            names.backends.insert(backend.identity, backend.name.clone());
            for server in &backend.servers {
                names.servers.insert(server.id, (backend.name.clone(), server.name.clone()));
            }
        }
        names
    }

    /// A server as `backend/name`, or as `#row` when nobody knows its name.
    pub fn server(&self, id: u16) -> String {
        self.servers.get(&id).map_or_else(|| format!("#{id}"), |(backend, name)| format!("{backend}/{name}"))
    }

    /// Whether the server of that row is of that backend.
    pub fn is_of(&self, id: u16, backend: &str) -> bool {
        self.servers.get(&id).is_some_and(|(known, _)| known == backend)
    }
}
