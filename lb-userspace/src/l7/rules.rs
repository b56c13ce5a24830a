//! Rules: what the configuration does with connections, requests and responses, and which backend these go to. Pure.

mod change;
mod redirect;
#[cfg(test)]
pub(super) mod tests;

use super::{
    acl::{Facts, Scene, Variables, authenticated, decided, holds, value},
    answer::Answer,
    message::{Request, Response},
};
use crate::model::{
    BackendIndex, HttpFrontend, TcpFrontend,
    rule::{Action, Admission, Format, Part, Return, Route, Rule},
};
use bytes::Bytes;

/// What a request comes to by the rules.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It goes on.
    Continue,
    /// It has this answer, which is ours.
    Answer(Response, Bytes),
    /// It is refused by this answer.
    Deny(Response, Bytes),
    /// The same, once the client has waited.
    Tarpit(Response, Bytes),
}

/// Whether a rule's condition holds, or it has none.
pub(super) fn applies<A>(rule: &Rule<A>, facts: &Facts<'_>) -> bool {
    rule.condition.as_ref().is_none_or(|condition| holds(condition, facts))
}

/// What becomes of a connection before anything is read of it; `None`: no rule says it.
pub(super) fn admission(rules: &[Rule<Admission>], scene: &Scene<'_>) -> Option<Admission> {
    let facts = Facts { scene, request: None, response: None, variables: &Variables::default() };
    rules.iter().find(|rule| applies(rule, &facts)).map(|rule| rule.action)
}

/// Where a connection goes that is relayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// To that backend.
    To(BackendIndex),
    /// Nowhere, by a rule.
    Rejected,
    /// Nowhere, as no rule takes it.
    Nowhere,
}

/// Where a connection goes by its first bytes; `None`: that depends on what is still to come.
pub(super) fn content(frontend: &TcpFrontend, scene: &Scene<'_>) -> Option<Way> {
    let facts = Facts { scene, request: None, response: None, variables: &Variables::default() };
    if first(&frontend.content, &facts)? == Some(&Admission::Reject) {
        return Some(Way::Rejected);
    }
    let chosen = first(&frontend.routes, &facts)?.and_then(|route| backend(route, &facts));
    Some(chosen.or(frontend.default_backend).map_or(Way::Nowhere, Way::To))
}

/// The action of the first rule that holds; `None`: which that is depends on what is still to come.
#[expect(clippy::option_option, reason = "that none holds, and that nobody can tell yet, are not the same")]
fn first<'r, A>(rules: &'r [Rule<A>], facts: &Facts<'_>) -> Option<Option<&'r A>> {
    for rule in rules {
        if rule.condition.as_ref().map_or(Some(true), |condition| decided(condition, facts))? {
            return Some(Some(&rule.action));
        }
    }
    Some(None)
}

/// The answer to a request for the path that tells whether the frontend is of use.
pub(super) fn monitor(frontend: &HttpFrontend, scene: &Scene<'_>, request: &Request) -> Option<Answer> {
    let monitor = frontend.monitor.as_ref().filter(|monitor| request.path_and_query() == monitor.uri.as_bytes())?;
    let facts = Facts { scene, request: Some(request), response: None, variables: &Variables::default() };
    let fails = monitor.fail.as_ref().is_some_and(|condition| holds(condition, &facts));
    Some(if fails { Answer::UNAVAILABLE } else { Answer(200) })
}

/// Applies the rules of requests, in order, until one of them answers.
pub(super) fn request(
    rules: &[Rule<Action>],
    scene: &Scene<'_>,
    request: &mut Request,
    variables: &mut Variables,
) -> Outcome {
    for rule in rules {
        let facts = Facts { scene, request: Some(request), response: None, variables };
        if !applies(rule, &facts) {
            continue;
        }
        let outcome = act(&rule.action, scene, request, variables);
        if !matches!(outcome, Outcome::Continue) {
            return outcome;
        }
    }
    Outcome::Continue
}

/// What an action does with a request, or answers in place of what would come.
pub(super) fn act(action: &Action, scene: &Scene<'_>, request: &mut Request, variables: &mut Variables) -> Outcome {
    let outcome = answer(action, &Facts { scene, request: Some(request), response: None, variables });
    if matches!(outcome, Outcome::Continue) {
        change::apply(action, scene, request, variables);
    }
    outcome
}

/// The backend of the first rule that holds, else the default one.
pub(super) fn route(frontend: &HttpFrontend, facts: &Facts<'_>) -> Option<BackendIndex> {
    let chosen = frontend.routes.iter().find(|rule| applies(rule, facts)).and_then(|rule| backend(&rule.action, facts));
    chosen.or(frontend.default_backend)
}

/// The backend that a rule names.
pub(super) fn backend(route: &Route, facts: &Facts<'_>) -> Option<BackendIndex> {
    match route {
        Route::Backend(backend) => Some(*backend),
        Route::Named(format, names) => names.get(std::str::from_utf8(&formatted(format, facts)).ok()?).copied(),
    }
}

/// Applies the rules of responses, in order, until one answers in its place.
pub(super) fn response(
    rules: &[Rule<Action>],
    scene: &Scene<'_>,
    response: &mut Response,
    variables: &mut Variables,
) -> Outcome {
    for rule in rules {
        let facts = Facts { scene, request: None, response: Some(response), variables };
        if !applies(rule, &facts) {
            continue;
        }
        let outcome = answer(&rule.action, &facts);
        if !matches!(outcome, Outcome::Continue) {
            return outcome;
        }
        change::apply_to_response(&rule.action, scene, response, variables);
    }
    Outcome::Continue
}

/// What an action answers, if it does.
fn answer(action: &Action, facts: &Facts<'_>) -> Outcome {
    match action {
        Action::Deny(status) => {
            let (response, page) = Answer(*status).response();
            Outcome::Deny(response, page)
        }
        Action::Tarpit(status) => {
            let (response, page) = Answer(*status).response();
            Outcome::Tarpit(response, page)
        }
        Action::Return(what) => {
            let (response, body) = returned(what);
            Outcome::Answer(response, body)
        }
        Action::Redirect(what) => match redirect::response(what, facts) {
            Some(response) => Outcome::Answer(response, Bytes::new()),
            None => Outcome::Continue,
        },
        Action::Auth { realm, userlist } => {
            if facts.request.is_some_and(|request| authenticated(userlist, request)) {
                return Outcome::Continue;
            }
            let (mut response, page) = Answer(401).response();
            response.fields.push("www-authenticate", format!("Basic realm=\"{realm}\""));
            Outcome::Answer(response, page)
        }
        Action::SetHeader(..)
        | Action::AddHeader(..)
        | Action::DelHeader(_)
        | Action::ReplaceHeader { .. }
        | Action::SetPath(_)
        | Action::ReplacePath(..)
        | Action::SetQuery(_)
        | Action::SetUri(_)
        | Action::SetMethod(_)
        | Action::SetStatus(_)
        | Action::SetVariable(..) => Outcome::Continue,
    }
}

fn returned(what: &Return) -> (Response, Bytes) {
    let mut response = Response::new(what.status);
    if !response.is_bodiless() {
        response.fields.push("content-length", what.body.len().to_string());
    }
    if let Some(kind) = &what.content_type {
        response.fields.push("content-type", kind.as_bytes());
    }
    (response, Bytes::copy_from_slice(what.body.as_bytes()))
}

/// A format with its values. What would end a line or a message becomes a space: values come from clients.
fn formatted(format: &Format, facts: &Facts<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    for part in &format.0 {
        match part {
            Part::Text(plain) => text.extend_from_slice(plain.as_bytes()),
            Part::Value(expression) => {
                text.extend_from_slice(&value(expression, facts).map(super::acl::Value::into_text).unwrap_or_default());
            }
        }
    }
    for byte in &mut text {
        if matches!(byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
    text
}
