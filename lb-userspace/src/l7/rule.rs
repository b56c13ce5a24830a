//! Which backend takes a request: rules in order, then the default. Pure.

use super::acl::{Facts, holds};
use crate::model::{BackendIndex, HttpFrontend};

/// The backend of the first rule whose condition holds, else the default one.
pub(super) fn route(frontend: &HttpFrontend, facts: &Facts<'_>) -> Option<BackendIndex> {
    let rule = frontend.rules.iter().find(|rule| holds(&rule.condition, facts));
    rule.map(|rule| rule.backend).or(frontend.default_backend)
}
