//! How a backend picks servers, and what it does when they are full or fail.

use super::{Use, range};
use crate::{
    config::{
        acl::{Known, expression::noun, format},
        balance::Balancing,
        error::Diagnostic,
        file::{Backend as Typed, Defaults, Mode, RetryWord, Server as TypedServer},
        read::{Knob, OneOrMany},
        source::{At, Span},
        text::Text,
    },
    model::{
        Affinity, Balance, Keeping, Limits, Pressure, Retry,
        acl::{Expression, Fetch, Kind, expression::Moment},
        balance::Keyed,
    },
};
use std::ops::RangeInclusive;

/// The way to balance. In the kernel half: by maglev, whatever else was said, for that is an error.
pub(super) fn balance(
    typed: &Typed,
    uses: &[&Use<'_>],
    known: &Known<'_>,
    out: &mut Vec<Diagnostic>,
) -> (Balance, Affinity) {
    let in_kernel = uses.iter().any(|used| used.mode == Some(Mode::L4));
    check_hash_type(typed, in_kernel, out);
    let Some(At { value, span }) = typed.balance.given() else {
        return (if in_kernel { Balance::Maglev } else { Balance::RoundRobin }, Affinity::None);
    };
    let used_by = |mode| uses.iter().find(|used| used.mode == Some(mode));
    let hash_type = typed.hash_type.value().copied().filter(|_| !in_kernel);
    match value {
        Balancing::Keyed(by) if by.needs_request() => {
            out.extend(used_by(Mode::Tcp).map(|used| no_requests(*span, used)));
            value.with(hash_type)
        }
        Balancing::Expression(text) => {
            let expression = expression(text, used_by(Mode::Tcp), used_by(Mode::Http), known);
            let keyed = expression.map(|expression| Balancing::Keyed(Keyed::Expression(Box::new(expression))));
            keyed.map_err(|error| out.push(error)).as_ref().unwrap_or(value).with(hash_type)
        }
        Balancing::Keyed(_) | Balancing::Plain(_) => value.with(hash_type),
    }
}

fn no_requests(span: Span, used: &Use<'_>) -> Diagnostic {
    let message = format!("frontend `{}` of mode `tcp` has no requests to hash", used.frontend);
    let error = Diagnostic::error(span, message).related(used.span, "used here");
    error.help("balance connections by their client's address: balance = \"source\"")
}

/// What is hashed: it must be there when a server is picked, whichever frontend it is that asks, and have bytes.
fn expression(
    text: &Text,
    tcp: Option<&&Use<'_>>,
    http: Option<&&Use<'_>>,
    known: &Known<'_>,
) -> Result<Expression, Diagnostic> {
    let (expression, span) = format::argument(text, known)?;
    let needs_request = matches!(expression.fetch, Fetch::Variable(_) | Fetch::UniqueId);
    match expression.fetch.moment() {
        Moment::Response => return Err(Diagnostic::error(span, "a server is picked before there is a response")),
        Moment::Request => tcp.map_or(Ok(()), |used| Err(no_requests(span, used)))?,
        Moment::Connection if needs_request => tcp.map_or(Ok(()), |used| Err(no_requests(span, used)))?,
        Moment::Connection => {}
        Moment::Content => {
            if let Some(used) = http {
                let message = format!("frontend `{}` of mode `http` does not relay what it could hash", used.frontend);
                return Err(Diagnostic::error(span, message).related(used.span, "used here"));
            }
        }
    }
    let kind = expression.kind();
    if !kind.casts_to(Kind::Binary) {
        return Err(Diagnostic::error(span, format!("`hash` takes bytes, and here comes {}", noun(kind))));
    }
    Ok(expression)
}

fn check_hash_type(typed: &Typed, in_kernel: bool, out: &mut Vec<Diagnostic>) {
    let Some(At { span, .. }) = typed.hash_type.given() else { return };
    let error = |message: &str| Diagnostic::error(*span, message);
    match typed.balance.given() {
        _ if in_kernel => {
            let error = error("`hash_type` has no meaning for l4 frontends");
            out.push(
                error.help("the kernel half has one hash, so that every balancer of a group picks the same server"),
            );
        }
        Some(At { value: Balancing::Keyed(_) | Balancing::Expression(_), .. }) => {}
        _ if matches!(typed.balance, Knob::Faulty) => {}
        Some(At { span: balance, .. }) => {
            let error =
                error("`hash_type` has no meaning without a key to hash").related(*balance, "the way to balance");
            out.push(error.help(KEYS));
        }
        None => out.push(error("`hash_type` has no meaning without a key to hash").help(KEYS)),
    }
}

/// Queues and retries.
pub(super) fn pressure(typed: &Typed, defaults: &Defaults, out: &mut Vec<Diagnostic>) -> Pressure {
    let queue = [&typed.timeout_queue, &defaults.timeout_queue];
    let retry = Retry::default();
    Pressure {
        fullconn: typed.fullconn.given().map(|_| range::number(&typed.fullconn, "fullconn", CONNECTIONS, 1, out)),
        timeout_queue: range::optional(queue, "timeout_queue", range::TIMEOUT, out),
        retry: Retry {
            retries: range::number(&typed.retries, "retries", 0_u32..=100, retry.retries, out),
            redispatch: typed.redispatch.or(retry.redispatch),
            on: typed.retry_on.value().map_or(retry.on, |OneOrMany(words)| {
                words.iter().flat_map(|At { value: RetryWord(failures), .. }| *failures).copied().collect()
            }),
        },
        // Known once all expressions were read.
        is_asked_for_load: false,
    }
}

/// How much a server takes.
pub(super) fn limits(typed: &TypedServer, out: &mut Vec<Diagnostic>) -> Limits {
    let number = |knob, key, out: &mut Vec<_>| range::number(knob, key, 0..=MOST, 0, out);
    let limits = Limits {
        maxconn: number(&typed.maxconn, "maxconn", out),
        minconn: number(&typed.minconn, "minconn", out),
        maxqueue: number(&typed.maxqueue, "maxqueue", out),
    };
    if let Some(At { span, .. }) = typed.minconn.given().filter(|_| limits.minconn > limits.maxconn) {
        let error = Diagnostic::error(*span, "`minconn` is more than `maxconn`");
        out.push(error.help("the limit rises from `minconn` to `maxconn` as the load rises"));
    }
    if let Some(At { span, .. }) = typed.maxqueue.given().filter(|_| limits.maxqueue > 0 && limits.maxconn == 0) {
        let error = Diagnostic::error(*span, "`maxqueue` has no meaning without `maxconn`");
        out.push(error.help("nobody waits for a server that takes any number"));
    }
    limits
}

/// How many connections to a server are kept, and how long.
pub(super) fn keeping(typed: &TypedServer, out: &mut Vec<Diagnostic>) -> Keeping {
    let default = Keeping::default();
    let delay = [&typed.pool_purge_delay, &Knob::Absent];
    Keeping {
        most: range::number(&typed.pool_max_conn, "pool_max_conn", 0..=MOST, default.most, out),
        delay: range::duration(delay, "pool_purge_delay", range::TIMEOUT, default.delay, out),
    }
}

const KEYS: &str = "`source`, `uri`, `url_param`, `hdr` and `hash` have keys";
const MOST: u32 = 1_000_000;
const CONNECTIONS: RangeInclusive<u32> = 1..=100_000_000;
