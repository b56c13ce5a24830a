//! Act: what a form asks for, as commands of the runtime API. Fields and words are those of HAProxy's page: `s` (servers), `b` (their
//! backend), `action`; and `w`, a weight, which HAProxy's has not.

use std::collections::BTreeSet;

/// Longest form in bytes.
pub(super) const LONGEST: usize = 64 << 10;

/// A form as it was sent.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Form {
    /// See `guard`. Not for the log.
    pub(super) token: String,
    backend: String,
    servers: BTreeSet<String>,
    action: String,
    /// What a list that stands beside the buttons says; the button says that it is meant.
    more: String,
    weight: String,
}

/// What can be asked for, in HAProxy's words, and how the page calls it. The first are buttons.
pub(super) const BUTTONS: [(&str, &str); 3] = [("ready", "Ready"), ("drain", "Drain"), ("maint", "Maintenance")];
/// The others.
pub(super) const MORE: [(&str, &str); 10] = [
    ("hrunn", "Health: say up"),
    ("hnolb", "Health: say stopping"),
    ("hdown", "Health: say down"),
    ("dhlth", "Checks: off"),
    ("ehlth", "Checks: on"),
    ("arunn", "Agent: say up"),
    ("adown", "Agent: say down"),
    ("dagent", "Agent: off"),
    ("eagent", "Agent: on"),
    ("shutdown", "Cut connections"),
];

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Outcome {
    Done,
    Nothing,
    Part,
    Wrong,
    TooLong,
    Denied,
}

impl Outcome {
    const ALL: [Self; 6] = [Self::Done, Self::Nothing, Self::Part, Self::Wrong, Self::TooLong, Self::Denied];

    /// HAProxy's.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Nothing => "NONE",
            Self::Part => "PART",
            Self::Wrong => "ERRP",
            Self::TooLong => "EXCD",
            Self::Denied => "DENY",
        }
    }

    /// Whose code that is.
    pub(super) fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    /// For people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Done => "Action processed successfully.",
            Self::Nothing => "Nothing has changed: no server was chosen.",
            Self::Part => "Action partially processed: some of the servers did not take it.",
            Self::Wrong => "Action not processed because of invalid parameters.",
            Self::TooLong => "Action not processed: that was too much at once.",
            Self::Denied => "Action denied.",
        }
    }

    pub(super) const fn is_good(self) -> bool {
        matches!(self, Self::Done)
    }
}

impl Form {
    /// Whatever bytes come, fields that are not known are ignored.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let value = value.into_owned();
            match &*name {
                "token" => form.token = value,
                "b" => form.backend = value,
                "s" => drop(form.servers.insert(value)),
                "action" => form.action = value,
                "more" => form.more = value,
                "w" => form.weight = value,
                _ => {}
            }
        }
        form
    }

    /// What is to be said for each of the servers. `Err`: nothing, and why.
    pub(super) fn commands(&self) -> Result<Vec<Vec<String>>, Outcome> {
        if self.servers.is_empty() {
            return Err(Outcome::Nothing);
        }
        let action = if self.action == "more" { &self.more } else { &self.action };
        let commands: Option<Vec<_>> = self.servers.iter().map(|server| self.command(action, server)).collect();
        commands.ok_or(Outcome::Wrong)
    }

    fn command(&self, action: &str, server: &str) -> Option<Vec<String>> {
        let server = format!("{}/{server}", self.backend);
        let (before, after): (&[&str], &[&str]) = match action {
            "ready" | "enable" => (&["set", "server"], &["state", "ready"]),
            "drain" => (&["set", "server"], &["state", "drain"]),
            "maint" | "disable" => (&["set", "server"], &["state", "maint"]),
            "hrunn" => (&["set", "server"], &["health", "up"]),
            "hnolb" => (&["set", "server"], &["health", "stopping"]),
            "hdown" => (&["set", "server"], &["health", "down"]),
            "arunn" => (&["set", "server"], &["agent", "up"]),
            "adown" => (&["set", "server"], &["agent", "down"]),
            "dhlth" => (&["disable", "health"], &[]),
            "ehlth" => (&["enable", "health"], &[]),
            "dagent" => (&["disable", "agent"], &[]),
            "eagent" => (&["enable", "agent"], &[]),
            "shutdown" => (&["shutdown", "sessions", "server"], &[]),
            "start" => (&["set", "weight"], &["100%"]),
            "stop" => (&["set", "weight"], &["0%"]),
            "weight" => (&["set", "weight"], &[]),
            _ => return None,
        };
        let weight = (action == "weight").then(|| self.weight.trim());
        let words = before.iter().copied().chain([server.as_str()]).chain(after.iter().copied()).chain(weight);
        Some(words.map(str::to_owned).collect())
    }
}

/// Of so many commands, of which so many were taken.
pub(super) const fn outcome(taken: usize, all: usize) -> Outcome {
    match taken {
        0 => Outcome::Wrong,
        _ if taken == all => Outcome::Done,
        _ => Outcome::Part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::runtime::command::find;

    fn said(body: &str) -> Result<Vec<String>, Outcome> {
        let commands = Form::read(body.as_bytes()).commands()?;
        Ok(commands.into_iter().map(|words| words.join(" ")).collect())
    }

    #[test]
    fn a_form_is_a_command_for_each_server() {
        let words = said("b=web&s=web2&action=drain&s=web%31&s=web2").unwrap();
        assert_eq!(words, ["set server web/web1 state drain", "set server web/web2 state drain"]);
        assert_eq!(said("b=web&s=a&action=weight&w=+12+"), Ok(vec!["set weight web/a 12".to_owned()]));
        assert_eq!(said("b=web&s=a&action=more&more=dhlth"), Ok(vec!["disable health web/a".to_owned()]));
        assert_eq!([said("b=web&action=drain"), said("")], [const { Err(Outcome::Nothing) }; 2]);
        assert_eq!([said("s=a&action=explode"), said("s=a")], [const { Err(Outcome::Wrong) }; 2]);
    }

    #[test]
    fn all_that_the_page_offers_is_a_command_that_changes_something() {
        for (action, _) in BUTTONS.iter().chain(&MORE) {
            let words = Form::read(format!("b=web&s=a&action={action}").as_bytes()).commands().unwrap().concat();
            let (verb, _) = find(&words).unwrap_or_else(|| panic!("{action}"));
            assert!(verb.changes_something(), "{action}");
        }
    }

    #[test]
    fn a_name_stays_one_word_whatever_is_in_it() {
        let words = Form::read(b"b=web&s=a%0Aset+weight+web/b+0&action=maint").commands().unwrap().concat();
        assert_eq!(words.len(), 5);
        assert_eq!(words[2], "web/a\nset weight web/b 0");
    }

    #[test]
    fn codes_are_haproxys_and_lead_back() {
        assert!(Outcome::ALL.into_iter().all(|outcome| Outcome::of(outcome.code()) == Some(outcome)));
        assert_eq!(Outcome::of("UNKN"), None);
        assert_eq!([outcome(0, 2), outcome(1, 2), outcome(2, 2)], [Outcome::Wrong, Outcome::Part, Outcome::Done]);
    }
}
