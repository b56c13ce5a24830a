//! ACLs as they are evaluated: [`facts`] are what can be looked at, an expression fetches a [`mod@value`] of them (`fetch`) and
//! converts it (`convert`), a condition compares. All of it was compiled when the configuration was loaded. Pure, but for
//! `rand` and the numbers of the balancer.

pub(crate) mod facts;
pub(crate) mod value;
mod fetch;
mod convert;
#[cfg(test)]
pub(super) mod tests;

pub(super) use convert::expanded;
pub(crate) use facts::{Certificate, Connection, Facts, Name, Numbers, Payload, Scene, Tls, Variables};
pub(crate) use value::Value;

use super::message::Request;
use crate::{
    authentication,
    model::{
        acl::{Acl, Condition, Expression, Term, Test},
        userlist::Userlist,
    },
};
use std::ops::ControlFlow::{Break, Continue};

/// Whether a request carries name and password of one of the users.
pub(super) fn authenticated(list: &Userlist, request: &Request) -> bool {
    request.fields.get("authorization").is_some_and(|field| authentication::user(list, field).is_some())
}

/// Whether a condition holds.
pub(crate) fn holds(condition: &Condition, facts: &Facts<'_>) -> bool {
    let term = |term: &Term| term.acl.iter().any(|acl| matches(acl, facts)) != term.negated;
    condition.any.iter().any(|all| all.iter().all(term)) != condition.negated
}

/// Whether a condition holds; `None`: that depends on what a connection is still to bring.
pub(crate) fn decided(condition: &Condition, facts: &Facts<'_>) -> Option<bool> {
    let acl = |acl: &Acl| {
        let matches = matches(acl, facts);
        let awaits = facts.scene.payload.is_some_and(Payload::takes_back_awaiting);
        (matches || !awaits).then_some(matches)
    };
    let term = |term: &Term| any(term.acl.iter().map(acl)).map(|matches| matches != term.negated);
    let all = |all: &Vec<Term>| any(all.iter().map(|one| term(one).map(|holds| !holds))).map(|fails| !fails);
    any(condition.any.iter().map(all)).map(|holds| holds != condition.negated)
}

/// Whether one of them is true; `None`: none is so far, and not all are known.
fn any(mut values: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let all_known = values.try_fold(true, |all_known, value| match value {
        Some(true) => Err(()),
        Some(false) => Ok(all_known),
        None => Ok(false),
    });
    match all_known {
        Err(()) => Some(true),
        Ok(true) => Some(false),
        Ok(false) => None,
    }
}

/// Whether any value of what an ACL looks at matches. A value that a converter cannot take ends the search, as in HAProxy.
pub(super) fn matches(acl: &Acl, facts: &Facts<'_>) -> bool {
    let found =
        fetch::each(&acl.expression.fetch, facts, &mut |value| match converted(&acl.expression, value, facts) {
            None => Break(false),
            Some(value) => {
                if test(&acl.test, value) {
                    Break(true)
                } else {
                    Continue(())
                }
            }
        });
    found == Break(true)
}

/// The value of an expression outside of ACLs; of several the last one, as in HAProxy.
pub(crate) fn value<'a>(expression: &'a Expression, facts: &Facts<'a>) -> Option<Value<'a>> {
    let mut last = None;
    let take_last = expression.fetch.takes_last();
    let mut take = |value| {
        last = Some(value);
        if take_last { Continue(()) } else { Break(true) }
    };
    match fetch::each(&expression.fetch, facts, &mut take) {
        Continue(()) | Break(_) => {}
    }
    converted(expression, last?, facts)
}

fn converted<'a>(expression: &'a Expression, value: Value<'a>, facts: &Facts<'a>) -> Option<Value<'a>> {
    expression.converters.iter().try_fold(value, |value, converter| convert::apply(converter, value, facts))
}

fn test(test: &Test, value: Value<'_>) -> bool {
    let lookup = match test {
        Test::Found => return true,
        Test::Bool => return value.into_int().is_some_and(|value| value != 0),
        Test::Any(lookup) => lookup,
    };
    match value.cast(lookup.kind()) {
        None => false,
        Some(Value::Int(value)) => lookup.find_int(value).is_some(),
        Some(Value::Bool(value)) => lookup.find_int(value.into()).is_some(),
        Some(Value::Ip(address)) => lookup.find_ip(address).is_some(),
        Some(Value::Text(bytes) | Value::Binary(bytes)) => lookup.matches_bytes(&bytes),
    }
}
