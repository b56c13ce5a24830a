//! `global`: what concerns the process, and what binds, servers and logs begin with.

use super::{
    Effect, Import, advice,
    output::{Item, Table, Value, key_text},
    statement::{Section, Statement},
};

/// What other sections take from `global`.
#[derive(Debug, Default)]
pub(super) struct Global {
    pub(super) ca_base: Option<String>,
    pub(super) crt_base: Option<String>,
    /// `ssl-default-bind-ciphers`, `-ciphersuites`, `-curves`, as words of a bind.
    pub(super) bind: Vec<Statement>,
    pub(super) bind_options: Option<Statement>,
    pub(super) server_options: Vec<String>,
    /// `ssl-server-verify none`.
    pub(super) verify_none: bool,
    pub(super) logs: Vec<Statement>,
}

impl Global {
    /// Looks through all sections before any is made something of.
    pub(super) fn read(&mut self, sections: &[Section]) {
        for statement in sections.iter().filter(|section| section.kind() == "global").flat_map(|section| &section.body)
        {
            match statement.words().as_slice() {
                ["ca-base", base] => self.ca_base = Some((*base).to_owned()),
                ["crt-base", base] => self.crt_base = Some((*base).to_owned()),
                ["ssl-default-bind-ciphers" | "ssl-default-bind-ciphersuites" | "ssl-default-bind-curves", ..] => {
                    self.bind.push(statement.clone());
                }
                ["ssl-default-bind-options", ..] => self.bind_options = Some(statement.clone()),
                ["ssl-default-server-options", options @ ..] => {
                    self.server_options = options.iter().map(|&word| word.to_owned()).collect();
                }
                ["ssl-server-verify", "none"] => self.verify_none = true,
                ["log", ..] => self.logs.push(statement.clone()),
                _ => {}
            }
        }
    }
}

impl Import {
    pub(super) fn global(&mut self, section: &Section) {
        let mut table = Table::new(&["global"], &section.head);
        for at in &section.body {
            if let Some(fault) = at.fault {
                self.lost(&mut table, at, fault, "");
                continue;
            }
            self.global_statement(&mut table, at);
        }
        // A second one goes on where the first has left off.
        match self.tables.iter_mut().find(|known| known.name == "global") {
            Some(first) => {
                first.entries.push(super::output::Entry { key: String::new(), item: table.head });
                first.entries.append(&mut table.entries);
            }
            None => self.tables.push(table),
        }
    }

    fn global_statement(&mut self, table: &mut Table, at: &Statement) {
        match at.words().as_slice() {
            ["nbthread", number] => self.number(table, at, "threads", Some(number)),
            ["maxconn", number] => self.number(table, at, "max_connections", Some(number)),
            ["hard-stop-after", time] => self.time(table, at, "hard_stop_after", Some(time)),
            ["stats", "socket", address, options @ ..] => self.stats_socket(table, at, address, options),
            ["external-check" | "insecure-fork-wanted", ..] => {
                table.put("exec_checks", Item::of(at, Value::Bool(true)));
            }
            ["log", ..] => self.global_log(table, at),
            [
                "ca-base"
                | "crt-base"
                | "ssl-default-bind-ciphers"
                | "ssl-default-bind-ciphersuites"
                | "ssl-default-bind-curves"
                | "ssl-default-bind-options"
                | "ssl-default-server-options"
                | "ssl-server-verify",
                ..,
            ] => self.note(table, at, "said where it is used"),
            words => match advice::global(words) {
                Some((Effect::Note, why, _)) => self.note(table, at, why),
                Some((Effect::Lost | Effect::Changed, why, help)) => self.lost(table, at, why, help),
                None => {
                    let word = words.first().copied().unwrap_or_default();
                    self.lost(table, at, format!("there is nothing like `{}` here", key_text(word)), "");
                }
            },
        }
    }

    fn stats_socket(&mut self, table: &mut Table, at: &Statement, address: &str, options: &[&str]) {
        if !address.starts_with('/') {
            self.lost(table, at, "the control socket is a unix socket", "control_socket = \"/run/sluice/sluice.sock\"");
            return;
        }
        if table.has("control_socket") {
            self.lost(table, at, "there is one control socket", "");
            return;
        }
        // HAProxy's own path stays HAProxy's: both may run side by side while one takes over from the other.
        let path = "/run/sluice/sluice.sock";
        table.put("control_socket", Item::of(at, Value::text(path)));
        let why = if address == path { String::new() } else { format!("the control socket is {path}; ") };
        let who = "who has started the daemon may ask for everything";
        let hand_over = if options.contains(&"expose-fd") {
            "; sockets are handed over by themselves, at a reload and by `sluice upgrade`"
        } else {
            ""
        };
        self.differs(Effect::Note, at, format!("{why}{who}{hand_over}"), "");
    }

    /// Each frontend says where its log goes.
    fn global_log(&mut self, table: &mut Table, at: &Statement) {
        let heard = super::log::hears_traffic(&at.words());
        self.note(
            table,
            at,
            if heard {
                "each frontend with `log global` says it; messages of the daemon itself go to standard error, the journal"
            } else {
                "takes only messages of the daemon itself, which go to standard error, the journal"
            },
        );
    }
}
