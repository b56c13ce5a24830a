//! `option forwardfor`: the header that tells servers who the client is.

use super::{output::Value, words::joined};

/// What it says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Forwarded {
    except: Option<String>,
    header: Option<String>,
    if_none: bool,
}

impl Forwarded {
    pub(super) fn new(options: &[&str]) -> Self {
        let mut forwarded = Self::default();
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            match *option {
                "except" => forwarded.except = rest.next().map(|&word| word.to_owned()),
                "header" => forwarded.header = rest.next().map(|&word| word.to_owned()),
                "if-none" => forwarded.if_none = true,
                _ => {}
            }
        }
        forwarded
    }

    /// Whether `forwarded_for` is the same.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Else there is this rule.
    pub(super) fn rule(&self) -> Value {
        let name = self.header.as_deref().unwrap_or("X-Forwarded-For");
        let mut terms = Vec::new();
        if let Some(network) = &self.except {
            terms.push(format!("!{{ src {} }}", joined(&[network])));
        }
        if self.if_none {
            terms.push(format!("!{{ req.hdr({name}) -m found }}"));
        }
        let mut pairs = Vec::new();
        if !terms.is_empty() {
            pairs.push(("if", Value::Text(terms.join(" "))));
        }
        let field = vec![("name", Value::text(name)), ("value", Value::text("%[src]"))];
        pairs.push(("add_header", Value::Map(field)));
        Value::Map(pairs)
    }
}
