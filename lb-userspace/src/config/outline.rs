//! Outline: a configuration as its keys and their values, to be compared with another one. It tells no secret: what may be one
//! is there as a fingerprint, salted, so that two outlines of one salt can be told apart and nothing else.

use super::{Bundle, PemFile, text};
use crate::model::Secret;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};
use toml::{Table, Value};

/// Keys whose values are not for the eye, whatever table they are in.
const SECRET: [&str; 4] = ["password", "insecure_password", "hash_key", "dynamic_cookie_key"];

/// By which fields elements of an array of tables are told apart; the first that all of them have.
const NAMES: [&str; 2] = ["name", "address"];

/// A configuration, as typed but for its comments and its order.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outline {
    /// Of the fingerprints.
    pub salt: String,
    /// Each key with all that leads to it, and its value, in the order of the keys.
    pub keys: Vec<(Vec<String>, Entry)>,
    /// Files that the configuration names, as typed, by their fingerprints; `None`: it cannot be read.
    pub files: BTreeMap<String, Option<String>>,
}

/// The value of a key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// As it may be shown: as typed, `${NAME}` and all.
    pub shown: String,
    /// With what the environment has in place of `${NAME}`.
    pub print: String,
}

/// The outline of what was read. What is no TOML has none.
pub fn outline(bundle: &Bundle, salt: &str) -> Outline {
    let mut found = Finding { bundle, salt, keys: BTreeMap::new() };
    for table in bundle.files.iter().filter_map(|file| file.text.parse::<Table>().ok()) {
        for (key, value) in table {
            found.value(vec![key], &value);
        }
    }
    Outline { salt: salt.to_owned(), keys: found.keys.into_iter().collect(), files: files(bundle, salt) }
}

/// What differs between two configurations, for people: the names of keys and files, of which the first are said.
pub fn changes(before: &Bundle, after: &Bundle) -> String {
    const SAID: usize = 20;
    let [before, after] = [before, after].map(|bundle| {
        let Outline { keys, files, .. } = outline(bundle, "");
        let keys = keys.into_iter().map(|(path, entry)| (path.join("."), Some(entry.print)));
        keys.chain(files).collect::<BTreeMap<_, _>>()
    });
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let all: Vec<_> = names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    let (said, more) = all.split_at(all.len().min(SAID));
    if more.is_empty() { said.join(", ") } else { format!("{}, and {} more", said.join(", "), more.len()) }
}

struct Finding<'a> {
    bundle: &'a Bundle,
    salt: &'a str,
    keys: BTreeMap<Vec<String>, Entry>,
}

impl Finding<'_> {
    fn value(&mut self, path: Vec<String>, value: &Value) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    self.value(with(&path, key.clone()), value);
                }
            }
            Value::Array(values) if values.iter().any(Value::is_table) => {
                let name = NAMES.iter().find(|name| values.iter().all(|value| text_at(value, name).is_some()));
                for (number, value) in values.iter().enumerate() {
                    let named = name.and_then(|name| text_at(value, name)).map(str::to_owned);
                    self.value(with(&path, named.unwrap_or_else(|| format!("#{}", number + 1))), value);
                }
            }
            Value::Array(_)
            | Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => self.put(path, value),
        }
    }

    fn put(&mut self, path: Vec<String>, value: &Value) {
        let typed = shown(value);
        let mut whole = typed.clone();
        for name in text::names(&typed) {
            let set = self.bundle.environment.get(name).map_or("", Secret::reveal);
            _ = write!(whole, "\0{name}={set}");
        }
        let is_secret = path.last().is_some_and(|key| SECRET.contains(&key.as_str()));
        let shown = if is_secret { "(secret)".to_owned() } else { typed };
        self.keys.insert(path, Entry { shown, print: print(self.salt, whole.as_bytes()) });
    }
}

/// A value as TOML has it.
fn shown(value: &Value) -> String {
    let all = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(", ");
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is) => is.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(values) => format!("[{}]", all(&mut values.iter().map(shown))),
        Value::Table(table) => {
            format!("{{ {} }}", all(&mut table.iter().map(|(key, it)| format!("{key} = {}", shown(it)))))
        }
    }
}

fn with(path: &[String], last: String) -> Vec<String> {
    let mut path = path.to_vec();
    path.push(last);
    path
}

fn text_at<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn files(bundle: &Bundle, salt: &str) -> BTreeMap<String, Option<String>> {
    let mut files = BTreeMap::new();
    for (named, found) in &bundle.certificates {
        let Ok(found) = found else {
            files.insert(format!("certificate {named}"), None);
            continue;
        };
        for PemFile { path, pem, staple } in found {
            let file = Path::new(path).file_name().map(|file| file.to_string_lossy().into_owned());
            let file = file.filter(|file| !named.ends_with(file.as_str()));
            let shown = file.map_or_else(|| named.clone(), |file| format!("{}/{file}", named.trim_end_matches('/')));
            let whole = [pem.reveal().as_bytes(), b"\0", staple.as_deref().unwrap_or_default()].concat();
            files.insert(format!("certificate {shown}"), Some(print(salt, &whole)));
        }
    }
    for (named, found) in &bundle.texts {
        files.insert(format!("file {named}"), found.as_ref().ok().map(|text| print(salt, text.reveal().as_bytes())));
    }
    for (named, found) in &bundle.error_files {
        files.insert(format!("error file {named}"), found.as_ref().ok().map(|bytes| print(salt, bytes)));
    }
    files
}

/// 128 bits of SHA-256.
fn print(salt: &str, bytes: &[u8]) -> String {
    let hash = digest(&SHA256, &[salt.as_bytes(), b"\0", bytes].concat());
    hash.as_ref().iter().take(16).fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;

    fn of(text: &str, environment: &[(&str, &str)], salt: &str) -> Outline {
        let file = ConfigFile { path: "a.toml".to_owned(), text: text.to_owned() };
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        outline(&Bundle { files: vec![file], environment, ..Bundle::default() }, salt)
    }

    #[test]
    fn keys_are_told_by_what_leads_to_them_and_servers_by_their_names() {
        let text = "[backend.b]\nbalance = \"leastconn\" # why\nserver = [{ name = \"x\", weight = 2 }]\n\
                    [[backend.b.rule]]\nif = \"a\"\n";
        let keys: Vec<_> =
            of(text, &[], "1").keys.iter().map(|(path, it)| (path.join("."), it.shown.clone())).collect();
        let expected = [
            ("backend.b.balance", "\"leastconn\""),
            ("backend.b.rule.#1.if", "\"a\""),
            ("backend.b.server.x.name", "\"x\""),
            ("backend.b.server.x.weight", "2"),
        ];
        assert_eq!(keys, expected.map(|(key, shown)| (key.to_owned(), shown.to_owned())));
    }

    #[test]
    fn no_secret_is_shown_and_each_shows_whether_it_changed() {
        let text = "[userlist.u]\nuser = [{ name = \"a\", password = \"pass1\" }]\n\
                    [frontend.f]\nbind = \"${WHERE}\"\n";
        let one = of(text, &[("WHERE", "wher3")], "1");
        let json = serde_json::to_string(&one).expect("json");
        assert!(!json.contains("pass1") && !json.contains("wher3"), "{json}");
        let differs = |other: &Outline| {
            let pairs = one.keys.iter().zip(&other.keys).filter(|(one, other)| one.1.print != other.1.print);
            pairs.map(|(one, _)| one.0.join(".")).collect::<Vec<_>>()
        };
        assert!(differs(&of(text, &[("WHERE", "wher3")], "1")).is_empty());
        assert_eq!(differs(&of(text, &[("WHERE", "there")], "1")), ["frontend.f.bind"]);
        assert_eq!(
            differs(&of(&text.replace("pass1", "pass2"), &[("WHERE", "wher3")], "1")),
            ["userlist.u.user.a.password"]
        );
        assert_eq!(differs(&of(text, &[("WHERE", "wher3")], "2")).len(), one.keys.len(), "of another salt");
    }

    #[test]
    fn what_differs_is_named_and_not_shown() {
        let bundle = |text: &str| {
            let file = ConfigFile { path: "a.toml".to_owned(), text: text.to_owned() };
            Bundle { files: vec![file], ..Bundle::default() }
        };
        let before =
            bundle("[userlist.u]\nuser = [{ name = \"a\", password = \"pass1\" }]\n[backend.b]\nbalance = \"first\"\n");
        let after =
            bundle("[userlist.u]\nuser = [{ name = \"a\", password = \"pass2\" }]\n[frontend.f]\nmode = \"tcp\"\n");
        let changed = changes(&before, &after);
        assert_eq!(changed, "backend.b.balance, frontend.f.mode, userlist.u.user.a.password");
        assert_eq!(changes(&after, &after), "");
        let many: Vec<_> = (0..30).map(|number| format!("[backend.b{number}]\nbalance = \"first\"\n")).collect();
        assert!(changes(&bundle(""), &bundle(&many.concat())).ends_with(", and 10 more"));
    }
}
