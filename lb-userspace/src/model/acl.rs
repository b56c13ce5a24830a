//! ACL: what conditions of rules test, compiled once when the configuration is loaded. HAProxy's, section 7 of its manual.

pub mod converter;
pub mod expression;
pub mod list;
pub mod patterns;

pub use converter::Converter;
pub use expression::{Expression, Fetch, Kind};
pub use list::List;
pub use patterns::Test;

use std::{fmt, sync::Arc};

/// Any of the alternatives, each of which needs all its terms. As in HAProxy: AND binds closer than `or`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Condition {
    /// `unless`: it holds if none of the alternatives does.
    pub negated: bool,
    /// Alternatives; not empty.
    pub any: Vec<Vec<Term>>,
}

/// An ACL or its opposite.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Term {
    /// `!` before the name.
    pub negated: bool,
    /// As the rule has it: a name, or an ACL without one in its braces.
    pub name: Arc<str>,
    /// What the ACL tests; true if any of the expressions holds (an ACL given as an array means OR).
    pub acl: Arc<[Acl]>,
}

/// One ACL expression: what is looked at, and what of it matches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Acl {
    /// As the configuration has it: `hdr(host) -i api.example.com`.
    pub text: Arc<str>,
    /// What is looked at.
    pub expression: Expression,
    /// What it is compared with.
    pub test: Test,
}

impl fmt::Display for Condition {
    /// As the configuration has it: `if = "host_api !path_admin"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negated { "unless = \"" } else { "if = \"" })?;
        for (index, all) in self.any.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " or " })?;
            let terms = all.iter().map(|term| format!("{}{}", if term.negated { "!" } else { "" }, term.name));
            f.write_str(&terms.collect::<Vec<_>>().join(" "))?;
        }
        f.write_str("\"")
    }
}

impl Condition {
    /// Everything that the condition looks at.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let terms = self.any.iter().flatten();
        terms.flat_map(|term| term.acl.iter()).map(|acl| &acl.expression)
    }
}
