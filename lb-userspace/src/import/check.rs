//! How servers are checked: `option …chk` and what goes with it.

mod http;
mod script;

use super::{Import, backend::Back, output::Value, server::Pair, statement::Statement};
use http::Http;

/// A check being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    kind: Kind,
    /// What has said so.
    pub(super) at: Option<Statement>,
    /// `timeout check`.
    pub(super) timeout: Option<String>,
    http: Http,
    steps: Vec<Value>,
    /// A `tcp-check comment` for the step that follows.
    comment: Option<String>,
    command: Option<String>,
    path: Option<String>,
}

/// What is asked.
#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Tcp,
    Http,
    Script,
    Exec,
    /// The type of ours, and what belongs to it.
    Plain(&'static str, Vec<Pair>),
}

/// Why there is nothing for it, and what helps.
type Refused = (String, String);

impl Check {
    /// What is said of a kind of check that is not asked for.
    pub(super) fn is_unused(&self) -> bool {
        match self.kind {
            Kind::Http => !self.steps.is_empty() || self.command.is_some(),
            Kind::Script => self.http.says_something() || self.command.is_some(),
            Kind::Exec => self.http.says_something() || !self.steps.is_empty(),
            Kind::Tcp | Kind::Plain(..) => {
                self.http.says_something() || !self.steps.is_empty() || self.command.is_some()
            }
        }
    }

    /// As a table, with what the servers say of it.
    pub(super) fn value(&self, of_servers: Vec<Pair>) -> Value {
        let mut pairs = Vec::new();
        let r#type = |name: &str| ("type", Value::text(name));
        match &self.kind {
            Kind::Script if !self.steps.is_empty() => {
                pairs.push(r#type("script"));
                pairs.push(("steps", Value::List(self.steps.clone())));
            }
            Kind::Tcp | Kind::Script => pairs.push(r#type("tcp")),
            Kind::Http => {
                pairs.push(r#type("http"));
                pairs.extend(self.http.pairs());
            }
            Kind::Exec => {
                pairs.push(r#type("exec"));
                pairs.extend(self.command.as_ref().map(|command| ("command", Value::text(command.as_str()))));
                pairs.extend(self.path.as_ref().map(|path| ("path", Value::text(path.as_str()))));
            }
            Kind::Plain(name, own) => {
                pairs.push(r#type(name));
                pairs.extend(own.iter().cloned());
            }
        }
        // What a `connect` of `http-check` says comes before what servers say.
        let own: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
        pairs.extend(of_servers.into_iter().filter(|(key, _)| !own.contains(key)));
        pairs.extend(self.timeout.as_ref().map(|time| ("timeout", Value::text(time.as_str()))));
        Value::Map(pairs)
    }
}

impl Import {
    /// `option …chk`, `http-check`, `tcp-check` and `external-check`, without a `no` before it.
    pub(super) fn check_statement(&mut self, back: &mut Back, at: &Statement, words: &[&str], off: bool) {
        let check = &mut back.check;
        let taken = match words {
            ["option", ..] if off => {
                check.kind = Kind::Tcp;
                Ok(())
            }
            ["option", name, rest @ ..] => option(check, name, rest),
            ["http-check", rest @ ..] => check.http.statement(rest),
            ["tcp-check", rest @ ..] => script::step(check, rest),
            ["external-check", "command", command] => {
                check.command = Some((*command).to_owned());
                Ok(())
            }
            ["external-check", "path", path] => {
                check.path = Some((*path).to_owned());
                Ok(())
            }
            _ => Err(("it is not understood".to_owned(), String::new())),
        };
        match taken {
            Ok(()) => {
                if matches!(words, ["option", ..]) {
                    back.check.at = Some(at.clone());
                }
                back.table.reserve("check", at);
                for note in back.check.http.notes.drain(..) {
                    self.differs(super::Effect::Note, at, note, "");
                }
            }
            Err((why, help)) => self.lost(&mut back.table, at, why, help),
        }
    }
}

fn option(check: &mut Check, name: &str, rest: &[&str]) -> Result<(), Refused> {
    check.kind = match (name, rest) {
        ("tcp-check", _) => Kind::Script,
        ("httpchk", rest) => {
            check.http.request(rest);
            Kind::Http
        }
        ("external-check", _) => Kind::Exec,
        ("mysql-check", []) => Kind::Plain("mysql", vec![("login", Value::text("greeting"))]),
        ("mysql-check", ["user", user]) => mysql("post-41", user),
        ("mysql-check", ["user", user, version @ ("post-41" | "pre-41" | "post-80")]) => mysql(version, user),
        ("pgsql-check", ["user", user]) => {
            Kind::Plain("pgsql", vec![("login", Value::text("startup")), ("user", Value::text(*user))])
        }
        ("redis-check", _) => Kind::Plain("redis", Vec::new()),
        ("ldap-check", _) => Kind::Plain("ldap", Vec::new()),
        ("ssl-hello-chk", _) => Kind::Plain("tls", vec![("tls", Value::Map(vec![("verify", Value::text("none"))]))]),
        ("smtpchk", []) => Kind::Plain("smtp", Vec::new()),
        ("smtpchk", [hello, rest @ ..]) => {
            let mut pairs = vec![("hello", Value::text(*hello))];
            pairs.extend(rest.first().map(|domain| ("domain", Value::text(*domain))));
            Kind::Plain("smtp", pairs)
        }
        _ => return Err(("it is not understood".to_owned(), String::new())),
    };
    Ok(())
}

/// Byte for byte what HAProxy says to the server.
fn mysql(version: &str, user: &str) -> Kind {
    Kind::Plain("mysql", vec![("login", Value::text(version)), ("user", Value::text(user))])
}
