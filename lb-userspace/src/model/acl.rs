//! ACL: what conditions of rules test, compiled once when the configuration is loaded. HAProxy's, section 7 of its manual.

pub mod converter;
pub mod expression;
pub mod patterns;

pub use converter::Converter;
pub use expression::{Expression, Fetch, Kind};
pub use patterns::Test;

use std::sync::Arc;

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
    /// What the ACL tests; true if any of the expressions holds (an ACL given as an array means OR).
    pub acl: Arc<[Acl]>,
}

/// One ACL expression: what is looked at, and what of it matches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Acl {
    /// What is looked at.
    pub expression: Expression,
    /// What it is compared with.
    pub test: Test,
}

impl Condition {
    /// Everything that the condition looks at.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let terms = self.any.iter().flatten();
        terms.flat_map(|term| term.acl.iter()).map(|acl| &acl.expression)
    }
}
