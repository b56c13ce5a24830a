//! Command: the table of what can be said, with HAProxy's usage, and who may say it. Pure.

use super::Level;

/// What a command asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the table says what each is")]
pub enum Verb {
    AbortSslCert,
    AddAcl,
    AddMap,
    ClearAcl,
    ClearCounters,
    ClearMap,
    CommitSslCert,
    DelAcl,
    DelMap,
    DisableAgent,
    DisableFrontend,
    DisableHealth,
    DisableServer,
    EnableAgent,
    EnableFrontend,
    EnableHealth,
    EnableServer,
    GetAcl,
    GetMap,
    GetWeight,
    Operator,
    SetMap,
    SetMaxconnFrontend,
    SetMaxconnGlobal,
    SetMaxconnServer,
    SetServer,
    SetSslCert,
    SetTimeout,
    SetWeight,
    ShowAcl,
    ShowActivity,
    ShowBackend,
    ShowCliLevel,
    ShowEnv,
    ShowErrors,
    ShowInfo,
    ShowMap,
    ShowServersConn,
    ShowServersState,
    ShowSess,
    ShowSslCert,
    ShowStat,
    ShowTable,
    ShowVersion,
    ShutdownSession,
    ShutdownSessionsServer,
    User,
    Help,
    Prompt,
    Quit,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) verb: Verb,
    /// The words that it begins with.
    pub(super) words: &'static [&'static str],
    /// What follows them.
    usage: &'static str,
    about: &'static str,
    level: Level,
}

const fn entry(
    verb: Verb,
    words: &'static [&'static str],
    usage: &'static str,
    about: &'static str,
    level: Level,
) -> Entry {
    Entry { verb, words, usage, about, level }
}

/// In the order in which `help` lists them.
pub(super) const TABLE: &[Entry] = {
    use Level::{Admin, Operator, User};
    &[
        entry(
            Verb::AbortSslCert,
            &["abort", "ssl", "cert"],
            " <certfile>",
            "abort a transaction for a certificate file",
            Admin,
        ),
        entry(Verb::AddAcl, &["add", "acl"], " <acl> <pattern>", "add an acl entry", Admin),
        entry(
            Verb::AddMap,
            &["add", "map"],
            " <map> <key> <val>",
            "add a map entry (payload supported instead of key/val)",
            Admin,
        ),
        entry(Verb::ClearAcl, &["clear", "acl"], " <acl>", "clear the contents of this acl", Admin),
        entry(
            Verb::ClearCounters,
            &["clear", "counters"],
            " [all]",
            "clear max statistics counters (or all counters)",
            Operator,
        ),
        entry(Verb::ClearMap, &["clear", "map"], " <map>", "clear the contents of this map", Admin),
        entry(Verb::CommitSslCert, &["commit", "ssl", "cert"], " <certfile>", "commit a certificate file", Admin),
        entry(Verb::DelAcl, &["del", "acl"], " <acl> [<key>|#<ref>]", "delete acl entries matching <key>", Admin),
        entry(Verb::DelMap, &["del", "map"], " <map> [<key>|#<ref>]", "delete map entries matching <key>", Admin),
        entry(Verb::DisableAgent, &["disable", "agent"], "", "disable agent checks", Admin),
        entry(
            Verb::DisableFrontend,
            &["disable", "frontend"],
            " <frontend>",
            "temporarily disable specific frontend",
            Admin,
        ),
        entry(Verb::DisableHealth, &["disable", "health"], "", "disable health checks", Admin),
        entry(
            Verb::DisableServer,
            &["disable", "server"],
            " (DEPRECATED)",
            "disable a server for maintenance (use 'set server' instead)",
            Admin,
        ),
        entry(Verb::EnableAgent, &["enable", "agent"], "", "enable agent checks", Admin),
        entry(Verb::EnableFrontend, &["enable", "frontend"], " <frontend>", "re-enable specific frontend", Admin),
        entry(Verb::EnableHealth, &["enable", "health"], "", "enable health checks", Admin),
        entry(
            Verb::EnableServer,
            &["enable", "server"],
            "  (DEPRECATED)",
            "enable a disabled server (use 'set server' instead)",
            Admin,
        ),
        entry(
            Verb::GetAcl,
            &["get", "acl"],
            " <acl> <value>",
            "report the patterns matching a sample for an ACL",
            Operator,
        ),
        entry(
            Verb::GetMap,
            &["get", "map"],
            " <acl> <value>",
            "report the keys and values matching a sample for a map",
            Operator,
        ),
        entry(Verb::GetWeight, &["get", "weight"], " <bk>/<srv>", "report a server's current weight", User),
        entry(Verb::Operator, &["operator"], "", "lower the level of the current CLI session to operator", Operator),
        entry(Verb::SetMap, &["set", "map"], " <map> [<key>|#<ref>] <value>", "modify a map entry", Admin),
        entry(
            Verb::SetMaxconnFrontend,
            &["set", "maxconn", "frontend"],
            " <frontend> <value>",
            "change a frontend's maxconn setting",
            Admin,
        ),
        entry(
            Verb::SetMaxconnGlobal,
            &["set", "maxconn", "global"],
            " <value>",
            "change the per-process maxconn setting",
            Admin,
        ),
        entry(
            Verb::SetMaxconnServer,
            &["set", "maxconn", "server"],
            " <bk>/<srv>",
            "change a server's maxconn setting",
            Admin,
        ),
        entry(
            Verb::SetServer,
            &["set", "server"],
            " <bk>/<srv> [opts]",
            "change a server's state, weight, address or ssl",
            Admin,
        ),
        entry(Verb::SetSslCert, &["set", "ssl", "cert"], " <certfile> <payload>", "replace a certificate file", Admin),
        entry(Verb::SetTimeout, &["set", "timeout"], " [cli] <delay>", "change a timeout setting", User),
        entry(
            Verb::SetWeight,
            &["set", "weight"],
            " <bk>/<srv>  (DEPRECATED)",
            "change a server's weight (use 'set server' instead)",
            Admin,
        ),
        entry(Verb::ShowAcl, &["show", "acl"], " [<acl>]", "report available acls or dump an acl's contents", Operator),
        entry(
            Verb::ShowActivity,
            &["show", "activity"],
            "",
            "show per-thread activity stats (for support/developers)",
            User,
        ),
        entry(Verb::ShowBackend, &["show", "backend"], "", "list backends in the current running config", User),
        entry(Verb::ShowCliLevel, &["show", "cli", "level"], "", "display the level of the current CLI session", User),
        entry(Verb::ShowEnv, &["show", "env"], " [var]", "dump environment variables known to the process", Operator),
        entry(
            Verb::ShowErrors,
            &["show", "errors"],
            " [<px>] [request|response]",
            "report last request and/or response errors for each proxy",
            Operator,
        ),
        entry(
            Verb::ShowInfo,
            &["show", "info"],
            " [desc|json|typed|float]*",
            "report information about the running process",
            User,
        ),
        entry(Verb::ShowMap, &["show", "map"], " [map]", "report available maps or dump a map's contents", Operator),
        entry(
            Verb::ShowServersConn,
            &["show", "servers", "conn"],
            " [<backend>]",
            "dump server connections status (all or for a single backend)",
            User,
        ),
        entry(
            Verb::ShowServersState,
            &["show", "servers", "state"],
            " [<backend>]",
            "dump volatile server information (all or for a single backend)",
            User,
        ),
        entry(
            Verb::ShowSess,
            &["show", "sess"],
            " [id]",
            "report the list of current sessions or dump this exact session",
            Operator,
        ),
        entry(
            Verb::ShowSslCert,
            &["show", "ssl", "cert"],
            " [<certfile>]",
            "display the SSL certificates used in memory, or the details of a file",
            Operator,
        ),
        entry(
            Verb::ShowStat,
            &["show", "stat"],
            " [desc|json|no-maint|typed|up]*",
            "report counters for each proxy and server",
            User,
        ),
        entry(
            Verb::ShowTable,
            &["show", "table"],
            " <table> [<filter>]*",
            "report table usage stats or dump this table's contents (filter: data/key)",
            User,
        ),
        entry(Verb::ShowVersion, &["show", "version"], "", "show version of the current process", User),
        entry(Verb::ShutdownSession, &["shutdown", "session"], " [id]", "kill a specific session", Admin),
        entry(
            Verb::ShutdownSessionsServer,
            &["shutdown", "sessions", "server"],
            " <bk>/<srv>",
            "kill sessions on a server",
            Admin,
        ),
        entry(Verb::User, &["user"], "", "lower the level of the current CLI session to user", User),
        entry(Verb::Help, &["help"], " [<command>]", "list matching or all commands", User),
        entry(Verb::Prompt, &["prompt"], "", "toggle interactive mode with prompt", User),
        entry(Verb::Quit, &["quit"], "", "disconnect", User),
    ]
};

impl Entry {
    /// Its line of `help`.
    pub(super) fn line(&self) -> String {
        let usage = self.words.join(" ") + self.usage;
        format!("  {usage:<40}: {}\n", self.about)
    }
}

impl Verb {
    /// Who may say it with these words behind it.
    pub fn level(self, rest: &[String]) -> Level {
        let is_of_all = self == Self::ClearCounters && rest.first().is_some_and(|word| word == "all");
        let of_entry = || TABLE.iter().find(|entry| entry.verb == self).map_or(Level::Admin, |entry| entry.level);
        if is_of_all { Level::Admin } else { of_entry() }
    }
}

impl Verb {
    /// Whether it changes something beyond the session itself.
    pub fn changes_something(self) -> bool {
        match self {
            Self::AbortSslCert
            | Self::AddAcl
            | Self::AddMap
            | Self::ClearAcl
            | Self::ClearCounters
            | Self::ClearMap
            | Self::CommitSslCert
            | Self::DelAcl
            | Self::DelMap
            | Self::DisableAgent
            | Self::DisableFrontend
            | Self::DisableHealth
            | Self::DisableServer
            | Self::EnableAgent
            | Self::EnableFrontend
            | Self::EnableHealth
            | Self::EnableServer
            | Self::SetMap
            | Self::SetMaxconnFrontend
            | Self::SetMaxconnGlobal
            | Self::SetMaxconnServer
            | Self::SetServer
            | Self::SetSslCert
            | Self::SetWeight
            | Self::ShutdownSession
            | Self::ShutdownSessionsServer => true,
            Self::GetAcl
            | Self::GetMap
            | Self::GetWeight
            | Self::Operator
            | Self::SetTimeout
            | Self::ShowAcl
            | Self::ShowActivity
            | Self::ShowBackend
            | Self::ShowCliLevel
            | Self::ShowEnv
            | Self::ShowErrors
            | Self::ShowInfo
            | Self::ShowMap
            | Self::ShowServersConn
            | Self::ShowServersState
            | Self::ShowSess
            | Self::ShowSslCert
            | Self::ShowStat
            | Self::ShowTable
            | Self::ShowVersion
            | Self::User
            | Self::Help
            | Self::Prompt
            | Self::Quit => false,
        }
    }
}

/// What words ask, and those that follow; `None`: nothing that is known.
pub fn find(words: &[String]) -> Option<(Verb, &[String])> {
    let entry = TABLE.iter().find(|entry| begins_with(words, entry.words))?;
    Some((entry.verb, words.get(entry.words.len()..).unwrap_or_default()))
}

fn begins_with(words: &[String], with: &[&str]) -> bool {
    words.len() >= with.len() && words.iter().zip(with).all(|(word, with)| word == with)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<(Verb, usize)> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        find(&words).map(|(verb, rest)| (verb, rest.len()))
    }

    #[test]
    fn commands_are_found_by_all_their_words() {
        assert_eq!(found("show stat web 1 -1"), Some((Verb::ShowStat, 3)));
        assert_eq!(found("show servers state"), Some((Verb::ShowServersState, 0)));
        assert_eq!([found("show servers"), found("sho stat"), found("SHOW stat"), found("")], [None; 4]);
    }

    #[test]
    fn no_command_hides_another_and_each_has_a_row() {
        for (index, entry) in TABLE.iter().enumerate() {
            let words: Vec<_> = entry.words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(find(&words).map(|(verb, _)| verb), Some(entry.verb), "{words:?}");
            assert!(TABLE[index + 1..].iter().all(|other| other.verb != entry.verb));
        }
    }

    #[test]
    fn lines_of_help_are_haproxys() {
        let line = |verb| TABLE.iter().find(|entry| entry.verb == verb).unwrap().line();
        assert_eq!(
            line(Verb::ShowStat),
            "  show stat [desc|json|no-maint|typed|up]*: report counters for each proxy and server\n"
        );
        assert_eq!(line(Verb::Quit), "  quit                                    : disconnect\n");
        assert_eq!(
            line(Verb::EnableServer),
            "  enable server  (DEPRECATED)             : enable a disabled server (use 'set server' instead)\n"
        );
    }

    #[test]
    fn levels_are_haproxys() {
        let level = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let (verb, rest) = find(&words).unwrap();
            verb.level(rest)
        };
        assert_eq!(level("clear counters"), Level::Operator);
        assert_eq!(level("clear counters all"), Level::Admin);
        assert_eq!(["show stat", "get weight a/b"].map(level), [Level::User; 2]);
        assert_eq!(["show sess", "show errors", "show env"].map(level), [Level::Operator; 3]);
        assert_eq!(["set server a/b state maint", "disable frontend a"].map(level), [Level::Admin; 2]);
    }
}
