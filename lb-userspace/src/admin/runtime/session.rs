//! Session: a client of the runtime API, from its first line on. What needs nothing of the worker's state is answered here.

use super::{
    Level, Verb,
    command::find,
    help::{help, unknown},
    words::{Line, split},
};
use crate::{config::units, model::Secret};
use std::{io, mem, time::Duration};
use zeroize::{Zeroize as _, Zeroizing};

/// Silence of a client after which it is sent away, as with HAProxy (`stats timeout`), until it says otherwise (`set timeout cli`).
pub(in crate::admin) const SILENCE: Duration = Duration::from_secs(10);
/// Longest silence that a client may ask for.
const LONGEST: Duration = Duration::from_hours(24);
/// Longest line in bytes: as many as HAProxy's buffer has. Who sends more is cut.
pub(in crate::admin) const LONGEST_LINE: usize = 16 << 10;
/// Longest payload in bytes, of which HAProxy takes no more than of a line: a chain of certificates with its key fits in any case.
const LONGEST_PAYLOAD: usize = 64 << 10;

/// The two ends of a connection, as a session needs them.
pub(in crate::admin) trait Peer {
    /// The next line without its end. `None`: there is none, it is too long, or the client was silent for that long.
    async fn line(&mut self, within: Duration) -> io::Result<Option<Vec<u8>>>;
    /// Whether more has come than was read.
    fn has_more(&self) -> bool;
    /// Sends an answer.
    async fn answer(&mut self, text: String) -> io::Result<()>;
    /// Has the worker do what these words say, with the lines that came behind them.
    async fn ask(&mut self, words: Vec<String>, payload: Option<Secret>) -> String;
}

/// What a client has said of itself.
struct Session {
    level: Level,
    interactive: bool,
    silence: Duration,
}

/// What becomes of a command.
enum Reply {
    Text(String),
    Ask,
    Quit,
}

/// Speaks with a client that may do what `level` says, and whose first line that is, until it has gone.
pub(in crate::admin) async fn converse(peer: &mut impl Peer, level: Level, mut line: Vec<u8>) -> io::Result<()> {
    let mut session = Session { level, interactive: false, silence: SILENCE };
    loop {
        let Line { commands, has_payload } = split(&line);
        let mut payload = None;
        if has_payload {
            payload = read_payload(peer, session.silence).await?;
            if payload.is_none() {
                return Ok(());
            }
        }
        let last = commands.len().saturating_sub(1);
        for (place, words) in commands.into_iter().enumerate() {
            let text = match session.say(&words) {
                Reply::Quit => return Ok(()),
                Reply::Text(text) => text,
                Reply::Ask => peer.ask(words, payload.take_if(|_| place == last)).await,
            };
            peer.answer(session.framed(text)).await?;
        }
        if !session.interactive && !peer.has_more() {
            return Ok(());
        }
        match peer.line(session.silence).await? {
            Some(next) => line = next,
            None => return Ok(()),
        }
    }
}

/// Reads what follows a line that ends with `<<`, up to an empty line. `None`: the session is over, or it is too much.
async fn read_payload(peer: &mut impl Peer, silence: Duration) -> io::Result<Option<Secret>> {
    // It may have a key: as little of it as can be stays behind, so it never moves to a larger place.
    let mut payload = Zeroizing::new(String::with_capacity(LONGEST_PAYLOAD));
    while let Some(mut line) = peer.line(silence).await? {
        if line.is_empty() {
            return Ok(Some(Secret::new(mem::take(&mut *payload))));
        }
        let text = Zeroizing::new(String::from_utf8_lossy(&line).into_owned());
        line.zeroize();
        if payload.len() + text.len() + 1 > LONGEST_PAYLOAD {
            return Ok(None);
        }
        payload.push_str(&text);
        payload.push('\n');
    }
    Ok(None)
}

impl Session {
    fn say(&mut self, words: &[String]) -> Reply {
        let Some((verb, rest)) = find(words) else { return Reply::Text(unknown(words)) };
        if verb.level(rest) > self.level {
            return Reply::Text(DENIED.to_owned());
        }
        match verb {
            Verb::Quit => Reply::Quit,
            Verb::Help => Reply::Text(help(rest)),
            Verb::Prompt => {
                self.interactive = !self.interactive;
                Reply::Text(String::new())
            }
            Verb::Operator => self.lower(Level::Operator),
            Verb::User => self.lower(Level::User),
            Verb::ShowCliLevel => Reply::Text(self.level.to_string()),
            Verb::SetTimeout => Reply::Text(self.set_timeout(rest)),
            Verb::AbortSslCert
            | Verb::AddAcl
            | Verb::AddMap
            | Verb::ClearAcl
            | Verb::ClearCounters
            | Verb::ClearMap
            | Verb::CommitSslCert
            | Verb::DelAcl
            | Verb::DelMap
            | Verb::DisableAgent
            | Verb::DisableFrontend
            | Verb::DisableHealth
            | Verb::DisableServer
            | Verb::EnableAgent
            | Verb::EnableFrontend
            | Verb::EnableHealth
            | Verb::EnableServer
            | Verb::GetAcl
            | Verb::GetMap
            | Verb::GetWeight
            | Verb::SetMap
            | Verb::SetMaxconnFrontend
            | Verb::SetMaxconnGlobal
            | Verb::SetMaxconnServer
            | Verb::SetServer
            | Verb::SetSslCert
            | Verb::SetWeight
            | Verb::ShowAcl
            | Verb::ShowActivity
            | Verb::ShowBackend
            | Verb::ShowEnv
            | Verb::ShowErrors
            | Verb::ShowInfo
            | Verb::ShowMap
            | Verb::ShowServersConn
            | Verb::ShowServersState
            | Verb::ShowSess
            | Verb::ShowSslCert
            | Verb::ShowStat
            | Verb::ShowTable
            | Verb::ShowVersion
            | Verb::ShutdownSession
            | Verb::ShutdownSessionsServer => Reply::Ask,
        }
    }

    fn lower(&mut self, to: Level) -> Reply {
        self.level = to;
        Reply::Text(String::new())
    }

    /// The answer to `set timeout`; HAProxy counts in seconds where no unit is said.
    fn set_timeout(&mut self, rest: &[String]) -> String {
        let [what, delay, ..] = rest else { return "'set timeout' only supports 'cli'.".to_owned() };
        if what != "cli" {
            return "'set timeout' only supports 'cli'.".to_owned();
        }
        let seconds = delay.parse().ok().map(Duration::from_secs);
        match seconds.or_else(|| units::duration(delay).ok()) {
            Some(silence) if !silence.is_zero() => {
                self.silence = silence.min(LONGEST);
                String::new()
            }
            Some(_) | None => "Invalid timeout value.".to_owned(),
        }
    }

    /// With an empty line behind it, or the prompt, by which readers see its end.
    fn framed(&self, mut text: String) -> String {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text + if self.interactive { "\n> " } else { "\n" }
    }
}

/// What is said to those who may not.
pub(in crate::admin) const DENIED: &str = "Permission denied";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A client that says these lines, and what it was answered.
    struct Script {
        lines: VecDeque<Vec<u8>>,
        answers: String,
        patience: Duration,
    }

    impl Peer for Script {
        async fn line(&mut self, within: Duration) -> io::Result<Option<Vec<u8>>> {
            self.patience = within;
            Ok(self.lines.pop_front())
        }

        fn has_more(&self) -> bool {
            !self.lines.is_empty()
        }

        async fn answer(&mut self, text: String) -> io::Result<()> {
            self.answers += &text;
            Ok(())
        }

        async fn ask(&mut self, words: Vec<String>, payload: Option<Secret>) -> String {
            let payload = payload.map(|payload| format!("|{}", payload.reveal())).unwrap_or_default();
            format!("<{}{payload}>", words.join(","))
        }
    }

    fn said(level: Level, lines: &[&str]) -> Script {
        let mut lines: VecDeque<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let first = lines.pop_front().unwrap();
        let mut script = Script { lines, answers: String::new(), patience: Duration::ZERO };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(converse(&mut script, level, first)).unwrap();
        script
    }

    fn answers(level: Level, lines: &[&str]) -> String {
        said(level, lines).answers
    }

    #[test]
    fn every_answer_ends_with_an_empty_line_or_the_prompt() {
        assert_eq!(answers(Level::User, &["show version;show backend"]), "<show,version>\n\n<show,backend>\n\n");
        let text = answers(Level::Admin, &["prompt", "show version", "set timeout cli 60", "quit", "show info"]);
        assert_eq!(text, "\n> <show,version>\n\n> \n> ");
        assert!(answers(Level::User, &["show inf"]).ends_with("disconnect\n\n"));
    }

    #[test]
    fn without_a_prompt_only_what_has_come_already_is_answered() {
        assert_eq!(answers(Level::User, &["show info", "show stat"]), "<show,info>\n\n<show,stat>\n\n");
        assert_eq!(said(Level::User, &["show info"]).patience, Duration::ZERO, "it is not waited for another line");
    }

    #[test]
    fn levels_hold_and_can_only_be_lowered() {
        assert_eq!(
            answers(Level::User, &["set weight a/b 1;show errors"]),
            "Permission denied\n\nPermission denied\n\n"
        );
        assert_eq!(
            answers(Level::Admin, &["show cli level;operator;show cli level;set weight a/b 1;user;operator"]),
            "admin\n\n\noperator\n\nPermission denied\n\n\nPermission denied\n\n"
        );
    }

    #[test]
    fn a_payload_is_not_taken_for_commands() {
        let text = answers(Level::Admin, &["show info;add map m <<", "quit now", "set weight a/b 0", "", "show info"]);
        assert_eq!(text, "<show,info>\n\n<add,map,m|quit now\nset weight a/b 0\n>\n\n<show,info>\n\n");
        let long = "x".repeat(LONGEST_PAYLOAD / 3);
        assert_eq!(answers(Level::Admin, &["add map m <<", &long, &long, &long, "", "show info"]), "");
    }

    #[test]
    fn the_timeout_is_set_as_haproxys() {
        for (words, silence) in [("60", 60), ("2m", 120), ("1000000", 86_400)] {
            let script = said(Level::User, &["prompt", &format!("set timeout cli {words}")]);
            assert_eq!((script.answers.as_str(), script.patience), ("\n> \n> ", Duration::from_secs(silence)));
        }
        assert_eq!(answers(Level::User, &["set timeout cli x"]), "Invalid timeout value.\n\n");
        assert_eq!(answers(Level::User, &["set timeout"]), "'set timeout' only supports 'cli'.\n\n");
    }
}
