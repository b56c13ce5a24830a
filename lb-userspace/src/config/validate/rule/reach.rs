//! Which rules are never reached, because an earlier one decides whatever would come to them.

use crate::{
    config::{error::Diagnostic, source::Span},
    model::{
        Condition,
        acl::{
            Term,
            expression::{Fetch, Moment},
        },
    },
};
use std::collections::BTreeMap;

/// What decides already, by when it is looked at and whether it routes.
#[derive(Default)]
pub(super) struct Reach(BTreeMap<(Moment, bool), Vec<Deciding>>);

/// A rule that decides; always, or under that condition.
type Deciding = (Option<Condition>, Span);

impl Reach {
    /// Takes the next rule of a kind. What keeps it from being reached, as a warning.
    ///
    /// `decides`: nothing of its kind comes after it where it holds. Otherwise it may change what later conditions look at, so
    /// that of those only one without a condition decides for certain.
    pub(super) fn next(
        &mut self,
        kind: (Moment, bool),
        condition: Option<&Condition>,
        decides: bool,
        span: Span,
    ) -> Option<Diagnostic> {
        let before = self.0.entry(kind).or_default();
        let first = before.iter().find(|(first, _)| first.as_ref().is_none_or(|first| implies(condition, first)));
        let warning = first.map(|(first, at)| {
            let why = if first.is_none() { "this one always decides" } else { "this one decides all that it would" };
            Diagnostic::warning(span, "this rule is never reached").related(*at, why)
        });
        if decides {
            if condition.is_none_or(is_steady) {
                before.push((condition.cloned(), span));
            }
        } else {
            before.retain(|(condition, _)| condition.is_none());
        }
        warning
    }
}

/// Whether the other one holds wherever this one does; as far as that can be told from their terms.
fn implies(this: Option<&Condition>, other: &Condition) -> bool {
    let Some(this) = this else { return false };
    if this.negated || other.negated {
        return this == other;
    }
    let has_all = |terms: &[Term], of: &[Term]| of.iter().all(|term| terms.contains(term));
    this.any.iter().all(|terms| other.any.iter().any(|of| has_all(terms, of)))
}

/// Whether it says the same of the same.
fn is_steady(condition: &Condition) -> bool {
    condition.expressions().all(|expression| !matches!(expression.fetch, Fetch::Random(_)))
}
