//! What HAProxy says server by server, and we for all of a backend.

use super::{
    Effect, Import,
    backend::Back,
    output::Value,
    server::{Pair, Server},
    statement::Section,
};

/// Keys of a backend that HAProxy says of its servers.
const OF_BACKEND: [&str; 4] = ["proto", "send_proxy", "on_marked_down", "on_marked_up"];
/// Keys of its check.
const OF_CHECK: [&str; 14] = [
    "interval",
    "fast_interval",
    "down_interval",
    "rise",
    "fall",
    "port",
    "address",
    "tls",
    "send_proxy",
    "observe",
    "error_limit",
    "on_error",
    "init_state",
    "proto",
];

fn find<'p>(pairs: &'p [Pair], key: &str) -> Option<&'p Value> {
    pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
}

impl Import {
    pub(super) fn finish_servers(&mut self, back: &mut Back, section: &Section) {
        let servers: Vec<Server> = back.servers.clone();
        for key in OF_BACKEND {
            let all: Vec<&Server> = servers.iter().collect();
            if let Some(value) = self.agreed(&all, key, |server| &server.of_backend) {
                back.table.imply(key, value, &section.head);
            }
        }
        if back.check.is_unused() {
            let why = "`http-check`, `tcp-check` or `external-check` without the `option` of that name: HAProxy does not look at it either";
            self.differs(Effect::Note, &section.head, why, "");
        }
        let checked: Vec<&Server> = servers.iter().filter(|server| server.checked && !server.tracks).collect();
        if checked.is_empty() {
            if let Some(at) = back.check.at.clone() {
                self.differs(Effect::Note, &at, "no server has `check`, so that none is checked", "");
            }
            return;
        }
        for server in servers.iter().filter(|server| !server.checked && !server.tracks) {
            let why = format!("`{}` is checked too: the check is one of all servers of a backend", server.name);
            self.differs(
                Effect::Changed,
                &server.at,
                why,
                "a backend of its own, or `track` of a server that is checked",
            );
        }
        let agreed = OF_CHECK.into_iter();
        let agreed: Vec<Pair> =
            agreed.filter_map(|key| Some((key, self.agreed(&checked, key, |server| &server.of_check)?))).collect();
        let value = back.check.value(agreed);
        back.table.fill("check", value, &section.head);
    }

    /// What most of them say; the others are named.
    fn agreed(&mut self, servers: &[&Server], key: &'static str, of: impl Fn(&Server) -> &Vec<Pair>) -> Option<Value> {
        let said = |server: &Server| find(of(server), key).cloned();
        let count = |value: &Option<Value>| servers.iter().filter(|server| said(server) == *value).count();
        let values = servers.iter().map(|server| said(server));
        // Of equally many the first.
        let most = values.rev().max_by_key(count)?;
        for server in servers.iter().filter(|server| said(server) != most) {
            let why = format!("`{key}` is the same for all servers of a backend, and that of most counts");
            self.differs(Effect::Changed, &server.at, why, "a backend of its own for servers that differ");
        }
        most
    }
}
