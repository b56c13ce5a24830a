//! Rule: condition → backend.

use super::{BackendIndex, acl::Condition};

/// `use` a backend if a condition holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// When.
    pub condition: Condition,
    /// Where to.
    pub backend: BackendIndex,
}
