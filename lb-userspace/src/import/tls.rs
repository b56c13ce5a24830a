//! TLS of binds and of servers.

use super::{
    Effect, Import,
    frontend::Front,
    output::{Item, Value},
    statement::Statement,
};
use crate::model::{CIPHERS, CIPHERSUITES, CURVES};

/// Words of a bind that are about TLS and have a value.
pub(super) const BIND: [&str; 9] =
    ["crt", "alpn", "ciphers", "ciphersuites", "curves", "ca-file", "verify", "crl-file", "ssl-min-ver"];

/// A file below a directory.
pub(super) fn below(base: Option<&String>, file: &str) -> String {
    match base {
        Some(base) if !file.starts_with(['/', '@']) => format!("{}/{file}", base.trim_end_matches('/')),
        Some(_) | None => file.to_owned(),
    }
}

/// HAProxy's name of a group, by OpenSSL's or NIST's.
fn group(name: &str) -> &str {
    match name {
        "prime256v1" | "secp256r1" | "P-256" => "P-256",
        "secp384r1" | "P-384" => "P-384",
        "x25519" | "X25519" => "X25519",
        _ => name,
    }
}

impl Import {
    /// `tls` of a bind with these words and their values.
    pub(super) fn bind_tls(
        &mut self,
        item: &mut Item,
        at: &Statement,
        said: &[(&'static str, String)],
        front: &Front,
    ) -> Value {
        let mut pairs: Vec<(&'static str, Value)> = Vec::new();
        let crt =
            |(word, value): &(&str, String)| (*word == "crt").then(|| below(self.global.crt_base.as_ref(), value));
        let certificates: Vec<_> = said.iter().filter_map(crt).collect();
        pairs.push(("certificates", one_or_many(certificates)));
        let ca = self.global.ca_base.clone();
        for (word, value) in said {
            match *word {
                "strict-sni" => pairs.push(("strict_sni", Value::Bool(true))),
                "alpn" => pairs.push(("alpn", Value::texts(value.split(',')))),
                "no-alpn" => pairs.push(("alpn", Value::texts(["http/1.1"]))),
                "ca-file" => pairs.push(("client_ca", Value::Text(below(ca.as_ref(), value)))),
                "crl-file" => pairs.push(("crl", Value::Text(below(ca.as_ref(), value)))),
                "verify" if value != "none" => pairs.push(("verify", Value::text(value.as_str()))),
                "no-tls-tickets" => pairs.push(("tickets", Value::Bool(false))),
                "ssl-min-ver" => self.min_version(item, at, value, &mut pairs),
                "no-tlsv12" | "force-tlsv13" => pairs.push(("min_version", Value::text("TLSv1.3"))),
                "ciphers" | "ciphersuites" | "curves" => self.suites(item, at, word, value, &mut pairs),
                _ => {}
            }
        }
        // As with HAProxy: nobody is asked for a certificate unless that is said.
        if !said.iter().any(|(word, value)| *word == "verify" && value != "none") {
            pairs.retain(|(key, _)| !matches!(*key, "client_ca" | "crl"));
        }
        self.default_tls(item, said, &mut pairs);
        if let Some(time) = &front.handshake {
            pairs.push(("timeout_client_hs", Value::text(time.as_str())));
        }
        Value::Map(pairs)
    }

    /// What `global` says of all binds.
    fn default_tls(&mut self, item: &mut Item, said: &[(&str, String)], pairs: &mut Vec<(&'static str, Value)>) {
        for at in self.global.bind.clone() {
            let [word, value] = at.words.as_slice() else { continue };
            let word = word.trim_start_matches("ssl-default-bind-");
            if !said.iter().any(|(own, _)| *own == word) {
                self.suites(item, &at, word, value, pairs);
            }
        }
        let Some(at) = self.global.bind_options.clone() else { return };
        let words = at.words();
        let mut options = words.iter().skip(1);
        while let Some(option) = options.next() {
            match *option {
                "ssl-min-ver" if !pairs.iter().any(|(key, _)| *key == "min_version") => {
                    let version = options.next().copied().unwrap_or_default();
                    self.min_version(item, &at, version, pairs);
                }
                "no-tlsv12" | "force-tlsv13" => pairs.push(("min_version", Value::text("TLSv1.3"))),
                "no-tls-tickets" if !pairs.iter().any(|(key, _)| *key == "tickets") => {
                    pairs.push(("tickets", Value::Bool(false)));
                }
                "ssl-min-ver" => _ = options.next(),
                "no-tls-tickets" => {}
                "ssl-max-ver" => {
                    options.next();
                    self.unused_option(item, &at, option, super::advice::bind(option));
                }
                _ => self.unused_option(item, &at, option, super::advice::bind(option)),
            }
        }
    }

    fn min_version(&mut self, item: &mut Item, at: &Statement, version: &str, pairs: &mut Vec<(&'static str, Value)>) {
        match version {
            "TLSv1.2" | "TLSv1.3" => pairs.push(("min_version", Value::text(version))),
            _ => {
                let why = format!("{version}: nothing below TLSv1.2 is spoken");
                item.before.push(format!("# changed: {why}"));
                self.differs(Effect::Changed, at, why, "");
            }
        }
    }

    /// Those that there are; the others are named.
    fn suites(
        &mut self,
        item: &mut Item,
        at: &Statement,
        word: &str,
        value: &str,
        pairs: &mut Vec<(&'static str, Value)>,
    ) {
        let (key, known): (_, Vec<&str>) = match word {
            "ciphers" => ("ciphers", CIPHERS.iter().map(|(name, _)| *name).collect()),
            "ciphersuites" => ("ciphersuites", CIPHERSUITES.iter().map(|(name, _)| *name).collect()),
            _ => ("curves", CURVES.iter().map(|(name, _)| *name).collect()),
        };
        let (there, missing): (Vec<&str>, Vec<&str>) = value
            .split([':', ',', ' '])
            .filter(|name| !name.is_empty())
            .map(group)
            .partition(|name| known.contains(name));
        if !missing.is_empty() {
            let why = format!("there is no {}", missing.join(", "));
            item.before.push(format!("# changed: {why}"));
            self.differs(Effect::Changed, at, why, "what there is, is what is recommended today");
        }
        if !there.is_empty() && there != known {
            pairs.push((key, Value::texts(there)));
        }
    }
}

/// One text, or an array.
pub(super) fn one_or_many(mut texts: Vec<String>) -> Value {
    match (texts.len(), texts.pop()) {
        (1, Some(text)) => Value::Text(text),
        (_, last) => {
            texts.extend(last);
            Value::texts(texts)
        }
    }
}
