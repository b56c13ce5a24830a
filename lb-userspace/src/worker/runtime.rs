//! Commands of the [runtime API](crate::admin::runtime) that need the worker's state: what they look at is in `show`, what they do in
//! `act`, and in `edit`, `lists` and `certificates` what changes the configuration itself. `Err` has HAProxy's words for what cannot be.

mod act;
mod certificates;
mod connections;
mod edit;
mod info;
mod lists;
mod show;
mod states;

use super::{Worker, naming::Naming, running::Running};
use crate::{
    admin::{
        protocol::Answer,
        runtime::{Verb, command::find},
    },
    model::{Backend, Model, Secret, Server},
};
use tokio::time::Instant;

/// What is answered: text, or why not.
type Said = Result<String, String>;

impl Worker {
    /// Does what somebody who may has said, with the lines that came behind it.
    pub(super) async fn command(&mut self, words: &[String], payload: Option<&Secret>) -> anyhow::Result<Answer> {
        let Some((verb, rest)) = find(words) else { return Ok(Answer::Error("Unknown command.".to_owned())) };
        let Some(running) = &mut self.running else { return Ok(Answer::Error("the daemon is starting".to_owned())) };
        let said = if let Some(edit) = lists::edit(verb) {
            self.edit_list(edit, rest, payload).await?
        } else if verb == Verb::SetMaxconnFrontend {
            self.limit_frontend(rest).await?
        } else if verb == Verb::SetMaxconnGlobal {
            self.limit_all(rest).await?
        } else if verb == Verb::SetServer && word(rest, 1) == "addr" {
            self.move_server(rest).await?
        } else if verb == Verb::CommitSslCert {
            self.commit_certificate(rest).await?
        } else if verb == Verb::SetSslCert {
            running.set_certificate(rest, payload)
        } else if verb == Verb::ShowSess {
            running.show_connections(rest).await
        } else if verb == Verb::ShutdownSession {
            running.cut_connection(rest).await
        } else {
            running.command(verb, rest, &self.naming)
        };
        Ok(match said {
            Ok(text) => Answer::Ok(text.into()),
            Err(text) => Answer::Error(text),
        })
    }
}

impl Running {
    fn command(&mut self, verb: Verb, rest: &[String], naming: &Naming) -> Said {
        let now = Instant::now();
        match verb {
            Verb::ShowStat => self.show_stat(rest, now),
            Verb::ShowInfo => Ok(self.show_info(rest, naming, now)),
            Verb::ShowServersState => self.show_servers_state(rest, now),
            Verb::ShowServersConn => self.show_servers_conn(rest),
            Verb::ShowBackend => Ok(self.show_backend()),
            Verb::ShowVersion => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Verb::ShowActivity => Ok(self.show_activity()),
            Verb::ShowErrors => self.show_errors(rest),
            Verb::ShowEnv => show::environment(rest),
            Verb::ShowTable => show::table(rest),
            Verb::ShowAcl => self.show_lists(rest, false),
            Verb::ShowMap => self.show_lists(rest, true),
            Verb::GetAcl => self.get_from_list(rest, false),
            Verb::GetMap => self.get_from_list(rest, true),
            Verb::ShowSslCert => self.show_certificates(rest),
            Verb::AbortSslCert => self.abort_certificate(rest),
            Verb::GetWeight => self.get_weight(rest),
            Verb::SetWeight => self.weigh(rest),
            Verb::SetServer => self.set_server(rest, now),
            Verb::EnableServer | Verb::DisableServer => self.set_enabled(rest, verb == Verb::EnableServer),
            Verb::EnableFrontend | Verb::DisableFrontend => self.open_frontend(rest, verb == Verb::EnableFrontend),
            Verb::EnableHealth | Verb::DisableHealth => self.set_checked(rest, verb == Verb::EnableHealth),
            Verb::EnableAgent | Verb::DisableAgent => self.set_asked(rest, verb == Verb::EnableAgent),
            Verb::SetMaxconnServer => self.limit_server(rest),
            Verb::ShutdownSessionsServer => self.cut_server(rest),
            Verb::ClearCounters => {
                self.clear_counters(word(rest, 0) == "all", now);
                Ok(String::new())
            }
            // The session itself, or what waits for others, has done these.
            Verb::SetMaxconnFrontend
            | Verb::SetMaxconnGlobal
            | Verb::AddAcl
            | Verb::AddMap
            | Verb::DelAcl
            | Verb::DelMap
            | Verb::ClearAcl
            | Verb::ClearMap
            | Verb::SetMap
            | Verb::SetSslCert
            | Verb::CommitSslCert
            | Verb::ShowSess
            | Verb::ShutdownSession
            | Verb::Operator
            | Verb::User
            | Verb::SetTimeout
            | Verb::ShowCliLevel
            | Verb::Help
            | Verb::Prompt
            | Verb::Quit => Ok(String::new()),
        }
    }
}

/// A word, or nothing, as HAProxy takes words that are missing.
fn word(words: &[String], place: usize) -> &str {
    words.get(place).map_or("", String::as_str)
}

/// The server that `backend/server` names.
fn server<'a>(model: &'a Model, name: &str) -> Result<(&'a Backend, &'a Server), String> {
    let (backend, server) = name.split_once('/').ok_or("Require 'backend/server'.")?;
    let backend = model.backend(backend).ok_or("No such backend.")?;
    let server = backend.servers.iter().find(|known| known.name == server).ok_or("No such server.")?;
    Ok((backend, server))
}

/// A number as C reads it: nothing is 0, and what follows it is ignored.
fn number(text: &str) -> i64 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0) * sign
}

#[cfg(test)]
impl Running {
    /// What is answered to somebody who may say everything, of commands that do not change the configuration.
    pub(in crate::worker) fn said(&mut self, words: &[String]) -> Said {
        let (naming, _answers) = Naming::new();
        match find(words) {
            Some((verb, rest)) => self.command(verb, rest, &naming),
            None => Err("Unknown command.".to_owned()),
        }
    }
}
