//! Rule: ACL condition → backend. Conditions are HAProxy's: terms joined by AND, alternatives by `or`.

use super::BackendIndex;

/// `use` a backend if a condition holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// When.
    pub condition: Condition,
    /// Where to.
    pub backend: BackendIndex,
}

/// Any of the alternatives, each of which needs all its terms. As in HAProxy: AND binds closer than `or`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Condition {
    /// Alternatives; not empty.
    pub any: Vec<Vec<Term>>,
}

/// An ACL or its opposite.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Term {
    /// `!` before the name.
    pub negated: bool,
    /// What the named ACL tests; true if any of the expressions holds (an ACL given as an array means OR).
    pub acl: Vec<Acl>,
}

/// One ACL expression: a fetch, how to compare, and the patterns, any of which may match.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Acl {
    /// What is looked at.
    pub fetch: Fetch,
    /// How it is compared.
    pub matching: Matching,
    /// `-i`: ASCII case does not count. The patterns are then lower-case already.
    pub ignore_case: bool,
    /// Any of these; not empty, except for `Matching::Found`.
    pub patterns: Vec<String>,
}

/// What an ACL looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fetch {
    /// `hdr(name)`, `req.hdr(name)`: each comma-separated value of each such header. The name is lower-case.
    Header(String),
    /// `path`: up to the question mark.
    Path,
    /// `method`.
    Method,
}

/// How an ACL compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matching {
    /// `-m found`: it is there at all.
    Found,
    /// `str`: equal.
    Exact,
    /// `beg`: starts with.
    Prefix,
    /// `end`: ends with.
    Suffix,
    /// `sub`: contains.
    Contains,
    /// `dir`: contains as whole path segments.
    Directory,
    /// `dom`: contains as whole domain labels.
    Domain,
}
