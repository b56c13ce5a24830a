//! Plan: what a reload would change, told beforehand. Pure: both configurations as outlines, and what the daemon has now.

use super::status::Status;
use crate::{
    config::outline::{Entry, Outline},
    model::Model,
    plan::preview::Preview,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of `[global]` that take effect at the next start alone; those in the second list only where there is a kernel half.
const AT_START: ([&str; 4], [&str; 4]) =
    (["user", "control_socket", "threads", "metrics"], ["interfaces", "hash_key", "track_budget", "pin_dir"]);

/// What holds where nothing is said of `drain_timeout`.
const DRAIN_TIMEOUT: &str = "1h";

/// What a reload would change.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Plan {
    /// Whether it would change anything.
    pub changes: bool,
    /// Frontends, backends and servers that come: `backend web`, `server web/web1`.
    pub added: Vec<String>,
    /// Those that go, and servers that get another address.
    pub removed: Vec<Removal>,
    /// Keys of what stays that get another value.
    pub changed: Vec<KeyChange>,
    /// Certificates and other files that come, go or are other ones.
    pub files: Vec<FileChange>,
    /// Addresses that would be listened on, `FRONTEND ADDRESS/PROTOCOL`.
    pub binds_opened: Vec<String>,
    /// Those that would be no more.
    pub binds_closed: Vec<String>,
    /// What would change in the kernel; `None`: it cannot be read, or there is no kernel half.
    pub kernel: Option<Preview>,
}

/// Something goes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Removal {
    /// `frontend web`, `backend web`, `server web/web1`.
    pub what: String,
    /// The server stays, at another address.
    pub moves: bool,
    /// Connections of the proxy that it has now.
    pub connections: u64,
    /// Flows that the kernel half remembers of it now.
    pub flows: u64,
    /// How long it may go on with them, as typed; of what has no say about it, nothing.
    pub drain_timeout: Option<String>,
}

/// A key gets another value.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeyChange {
    /// With all that leads to it: `backend.web.balance`.
    pub key: String,
    /// `None`: it is not said.
    pub old: Option<String>,
    /// `None`: it is no longer said.
    pub new: Option<String>,
    /// A secret, or what the environment puts in, is another one: both look the same.
    pub hidden: bool,
    /// It takes effect at the next start or upgrade alone.
    pub restart: bool,
}

/// A file is another one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileChange {
    /// `certificate certs/a.pem`, `file blocked.lst`.
    pub file: String,
    /// `new`, `changed`, `gone`, or `unreadable`.
    pub change: String,
}

/// What a path of keys belongs to that may come and go as a whole.
fn owner(path: &[String]) -> Option<String> {
    match path {
        [kind, backend, server, name, ..] if kind == "backend" && server == "server" => {
            Some(format!("server {backend}/{name}"))
        }
        [kind, name, ..] if ["frontend", "backend", "userlist", "stats_page"].contains(&kind.as_str()) => {
            Some(format!("{kind} {name}"))
        }
        _ => None,
    }
}

/// All that a configuration has of them. A server's backend is there with it.
fn owners(outline: &Outline) -> BTreeSet<String> {
    let keys = outline.keys.iter().map(|(path, _)| path.as_slice());
    keys.flat_map(|path| [owner(path), owner(path.get(..2).unwrap_or(path))]).flatten().collect()
}

/// What would change from `old`, as it runs and stands, to `new`, which `model` was made of.
pub fn plan((old, status): (&Outline, &Status), (new, model): (&Outline, &Model), kernel: Option<Preview>) -> Plan {
    let (had, has) = (owners(old), owners(new));
    let of = |outline: &Outline| outline.keys.iter().cloned().collect::<BTreeMap<_, _>>();
    let (before, after) = (of(old), of(new));
    let mut removed: Vec<_> = had.difference(&has).map(|what| removal(what, false, status, &before)).collect();
    let mut changed = Vec::new();
    for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let is_both = |what: &String| had.contains(what) && has.contains(what);
        let (was, is) = (before.get(path), after.get(path));
        if was.map(|it| &it.print) == is.map(|it| &it.print) || !owner(path).is_none_or(|what| is_both(&what)) {
            continue;
        }
        if let [kind, _, server, _, key] = path.as_slice()
            && (kind, server, key) == (&"backend".to_owned(), &"server".to_owned(), &"address".to_owned())
            && let Some(what) = owner(path)
        {
            removed.push(removal(&what, true, status, &before));
        }
        changed.push(change(path, was, is, model.needs_kernel()));
    }
    let binds = |frontends: &mut dyn Iterator<Item = (String, String, String)>| {
        frontends.map(|(name, address, protocol)| format!("{name} {address}/{protocol}")).collect::<BTreeSet<_>>()
    };
    let bound = binds(
        &mut status
            .frontends
            .iter()
            .flat_map(|of| of.binds.iter().map(|bind| (of.name.clone(), bind.address.clone(), bind.protocol.clone()))),
    );
    let wanted = binds(
        &mut model
            .frontends
            .iter()
            .flat_map(|of| of.binds.iter().map(|bind| (of.name.clone(), bind.shown(), bind.protocol.to_string()))),
    );
    let mut plan = Plan {
        changes: false,
        added: has.difference(&had).cloned().collect(),
        removed,
        changed,
        files: files(old, new),
        binds_opened: wanted.difference(&bound).cloned().collect(),
        binds_closed: bound.difference(&wanted).cloned().collect(),
        kernel: kernel.filter(|kernel| !kernel.is_empty()),
    };
    plan.changes = plan != Plan::default();
    plan
}

fn change(path: &[String], was: Option<&Entry>, is: Option<&Entry>, has_kernel: bool) -> KeyChange {
    let (old, new) = (was.map(|it| it.shown.clone()), is.map(|it| it.shown.clone()));
    let at_start =
        |key: &String| AT_START.0.contains(&key.as_str()) || (has_kernel && AT_START.1.contains(&key.as_str()));
    let restart = match path {
        [kind, _, key] if kind == "stats_page" => key == "bind",
        [global, key, ..] => global == "global" && at_start(key),
        _ => false,
    };
    KeyChange { key: path.join("."), hidden: old == new, old, new, restart }
}

fn removal(what: &str, moves: bool, status: &Status, before: &BTreeMap<Vec<String>, Entry>) -> Removal {
    let said =
        |path: [&str; 3]| before.get(&path.map(str::to_owned).to_vec()).map(|it| it.shown.trim_matches('"').to_owned());
    let inherited = || before.get(&["defaults", "drain_timeout"].map(str::to_owned).to_vec());
    let timeout = |kind: &str, name: &str| {
        let own = said([kind, name, "drain_timeout"]);
        let inherited = || inherited().map(|it| it.shown.trim_matches('"').to_owned());
        Some(own.or_else(inherited).unwrap_or_else(|| DRAIN_TIMEOUT.to_owned()))
    };
    let removal = Removal { what: what.to_owned(), moves, ..Removal::default() };
    match what.split_once(' ') {
        Some(("frontend", name)) => {
            let now = status.frontends.iter().find(|frontend| frontend.name == name);
            // VIPs of the kernel half go at once.
            let drain_timeout = now.filter(|now| now.mode != "l4").and_then(|_| timeout("frontend", name));
            Removal { connections: now.map_or(0, |now| now.connections), drain_timeout, ..removal }
        }
        Some(("server", name)) => {
            let (backend, name) = name.split_once('/').unwrap_or((name, ""));
            let of = status.backends.iter().find(|known| known.name == backend);
            let now = of.and_then(|of| of.servers.iter().find(|server| server.name == name));
            let (connections, flows) = now.map_or((0, 0), |now| (now.connections, now.flows));
            Removal { connections, flows, drain_timeout: timeout("backend", backend), ..removal }
        }
        _ => removal,
    }
}

fn files(old: &Outline, new: &Outline) -> Vec<FileChange> {
    let names: BTreeSet<_> = old.files.keys().chain(new.files.keys()).collect();
    let change = |name: &String| {
        Some(match (old.files.get(name), new.files.get(name)) {
            (_, Some(None)) => "unreadable",
            (None, Some(Some(_))) => "new",
            (Some(_), None) => "gone",
            (Some(old), Some(new)) if old != new => "changed",
            (Some(_), Some(_)) | (None, None) => return None,
        })
    };
    let named = |name: &String| Some(FileChange { file: name.clone(), change: change(name)?.to_owned() });
    names.into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::status::{BackendStatus, BindStatus, FrontendStatus, ServerStatus},
        config::{self, Bundle, ConfigFile, outline::outline},
    };

    const OLD: &str = r#"
[global]
threads = 1
[defaults]
drain_timeout = "10m"
[frontend.www]
mode = "http"
bind = "127.0.0.1:8080"
default_backend = "web"
[frontend.old]
mode = "tcp"
bind = "127.0.0.1:8081"
default_backend = "web"
[backend.web]
balance = "roundrobin"
server = [{ name = "a", address = "10.0.0.1:80" }, { name = "b", address = "10.0.0.2:80" }]
"#;

    fn read(text: &str) -> (Outline, Model) {
        let file = ConfigFile { path: "a.toml".to_owned(), text: text.to_owned() };
        let bundle = Bundle { files: vec![file], cpus: 1, ..Bundle::default() };
        let model = match config::load(&bundle) {
            Ok(loaded) => loaded.model,
            Err(diagnostics) => panic!("{}", diagnostics.render(config::Format::Short)),
        };
        (outline(&bundle, "1"), model)
    }

    fn status() -> Status {
        let frontend = |name: &str, address: &str, mode: &str| FrontendStatus {
            name: name.to_owned(),
            mode: mode.to_owned(),
            binds: vec![BindStatus { address: address.to_owned(), protocol: "tcp".to_owned() }],
            connections: 7,
            ..FrontendStatus::default()
        };
        let server =
            |name: &str| ServerStatus { name: name.to_owned(), connections: 3, flows: 2, ..Default::default() };
        Status {
            frontends: vec![frontend("www", "127.0.0.1:8080", "http"), frontend("old", "127.0.0.1:8081", "tcp")],
            backends: vec![BackendStatus {
                name: "web".to_owned(),
                servers: vec![server("a"), server("b")],
                identity: 1,
                ..BackendStatus::default()
            }],
            ..Status::default()
        }
    }

    fn planned(new: &str) -> Plan {
        let ((old, _), (new, model)) = (read(OLD), read(new));
        plan((&old, &status()), (&new, &model), None)
    }

    #[test]
    fn the_same_configuration_changes_nothing_whatever_its_comments_say() {
        assert_eq!(planned(&OLD.replace("[backend.web]", "# more\n[backend.web] # less")), Plan::default());
    }

    #[test]
    fn what_comes_goes_and_changes_is_told_with_what_it_has() {
        let new = OLD
            .replace("\"roundrobin\"", "\"leastconn\"")
            .replace("threads = 1", "threads = 2")
            .replace("[frontend.old]", "[frontend.new]")
            .replace("8081", "8082")
            .replace(
                "{ name = \"b\", address = \"10.0.0.2:80\" }",
                "{ name = \"c\", address = \"10.0.0.3:80\", weight = 3 }",
            )
            .replace("10.0.0.1:80", "10.0.0.9:80");
        let plan = planned(&new);
        assert_eq!(plan.added, ["frontend new", "server web/c"]);
        let removal = |what: &str, moves, connections, flows| Removal {
            what: what.to_owned(),
            moves,
            connections,
            flows,
            drain_timeout: Some("10m".to_owned()),
        };
        let expected = [
            removal("frontend old", false, 7, 0),
            removal("server web/b", false, 3, 2),
            removal("server web/a", true, 3, 2),
        ];
        assert_eq!(plan.removed, expected);
        let changed: Vec<_> = plan.changed.iter().map(|it| (it.key.as_str(), it.restart)).collect();
        let expected =
            [("backend.web.balance", false), ("backend.web.server.a.address", false), ("global.threads", true)];
        assert_eq!(changed, expected);
        assert_eq!(plan.changed[0].new.as_deref(), Some("\"leastconn\""));
        assert_eq!(
            (plan.binds_opened, plan.binds_closed),
            (vec!["new 127.0.0.1:8082/tcp".to_owned()], vec!["old 127.0.0.1:8081/tcp".to_owned()])
        );
        assert!(plan.changes);
    }
}
