//! How a backend picks servers, and what it does when they are full or fail.

use super::{Use, range};
use crate::{
    config::{
        balance::Balancing,
        error::Diagnostic,
        file::{Backend as Typed, Defaults, Mode, RetryWord, Server as TypedServer},
        read::{Knob, OneOrMany},
        source::At,
    },
    model::{Affinity, Balance, Keeping, Limits, Pressure, Retry, balance::Keyed},
};
use std::ops::RangeInclusive;

/// The way to balance. In the kernel half: by maglev, whatever else was said, for that is an error.
pub(super) fn balance(typed: &Typed, uses: &[&Use<'_>], out: &mut Vec<Diagnostic>) -> (Balance, Affinity) {
    let in_kernel = uses.iter().any(|used| used.mode == Some(Mode::L4));
    check_hash_type(typed, in_kernel, out);
    let Some(At { value, span }) = typed.balance.given() else {
        return (if in_kernel { Balance::Maglev } else { Balance::RoundRobin }, Affinity::None);
    };
    if let Balancing::Keyed(Keyed::Expression(_)) = value {
        let error = Diagnostic::error(*span, "`hash` is not supported yet");
        out.push(error.help("use `uri`, `url_param` or `hdr`"));
    }
    let relayed = uses.iter().find(|used| used.mode == Some(Mode::Tcp));
    if let Balancing::Keyed(by) = value
        && by.needs_request()
        && let Some(used) = relayed
    {
        let message = format!("frontend `{}` of mode `tcp` has no requests to hash", used.frontend);
        let error = Diagnostic::error(*span, message).related(used.span, "used here");
        out.push(error.help("balance connections by their client's address: balance = \"source\""));
    }
    value.with(typed.hash_type.value().copied().filter(|_| !in_kernel))
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
        Some(At { value: Balancing::Keyed(_), .. }) => {}
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

const KEYS: &str = "`source`, `uri`, `url_param` and `hdr` have keys";
const MOST: u32 = 1_000_000;
const CONNECTIONS: RangeInclusive<u32> = 1..=100_000_000;
