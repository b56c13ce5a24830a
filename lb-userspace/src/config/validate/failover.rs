//! What becomes of the traffic of a backend that loses servers.

use super::{Entry, Use, names::Names, range};
use crate::{
    config::{
        error::Diagnostic,
        file::{Backend as Typed, Marked, MarkedUp, Mode},
        source::{At, Span},
    },
    model::{Backend, DownFlows, Failover, OnEmpty},
};

pub(super) fn failover(typed: &Typed, uses: &[&Use<'_>], names: &Names<'_>, out: &mut Vec<Diagnostic>) -> Failover {
    let min_up = range::number(&typed.min_up, "min_up", 1_u32..=65_535, 1, out);
    let proxied = [("on_marked_up", typed.on_marked_up.given().map(|at| at.span))];
    for (key, span) in proxied.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let uses = uses.iter().filter(|used| used.mode == Some(Mode::L4));
        out.extend(uses.map(|l4| without_meaning(key, span, l4)));
    }
    let on_empty = typed.on_empty.value().copied().unwrap_or_default();
    if let Some(At { span, .. }) = typed.on_empty.given().filter(|_| on_empty == OnEmpty::Reset) {
        let others = uses.iter().filter(|used| used.mode == Some(Mode::Http));
        out.extend(others.map(|other| without_meaning("on_empty = \"reset\"", *span, other)));
    }
    let marked = typed.on_marked_down.value().copied();
    if let Some(At { span, .. }) = typed.on_marked_down.given().filter(|_| marked == Some(Marked::Move)) {
        let others = uses.iter().filter(|used| used.mode.is_some_and(|mode| mode != Mode::L4));
        out.extend(others.map(|other| without_meaning("on_marked_down = \"move\"", *span, other)));
    }
    let fallback = typed.fallback.value().and_then(|text| {
        let found = names.find(&text.value);
        if found.is_none() {
            out.push(names.unknown_here(text));
        }
        found
    });
    Failover {
        min_up,
        on_empty,
        fallback,
        cut_down: marked == Some(Marked::Shutdown),
        flows: match marked {
            None | Some(Marked::Move) => DownFlows::Move,
            Some(Marked::Keep) => DownFlows::Keep,
            Some(Marked::Shutdown) => DownFlows::Reset,
        },
        cut_backups: typed.on_marked_up.value() == Some(&MarkedUp::ShutdownBackups),
    }
}

pub(super) fn without_meaning(key: &str, span: Span, used: &Use<'_>) -> Diagnostic {
    let mode = used.mode.map_or("", Mode::word);
    let message = format!("`{key}` has no meaning for frontend `{}` of mode `{mode}`", used.frontend);
    Diagnostic::error(span, message).related(used.span, "used here")
}

/// Who uses a backend uses its fallbacks.
pub(super) fn add_uses(typed: &[&Entry<Typed>], names: &Names<'_>, uses: &mut Vec<Use<'_>>) {
    let fallback = |index: usize| names.find(&typed.get(index)?.1.fallback.value()?.value);
    for mut used in uses.clone() {
        while let Some(next) = fallback(used.backend) {
            used.backend = next;
            if uses.iter().any(|known| (known.backend, known.span) == (used.backend, used.span)) {
                break;
            }
            uses.push(used);
        }
    }
}

/// What can be said once all backends are known: `min_up` must be reached, and fallbacks must end somewhere and take packets as
/// the VIP's row says.
pub(super) fn check(typed: &[&Entry<Typed>], uses: &[Use<'_>], model: &[Backend], out: &mut Vec<Diagnostic>) {
    for ((name, typed), backend) in typed.iter().zip(model) {
        let most = backend.most_takers();
        let never = |_: &&At<i64>| backend.failover.min_up as usize > most.max(1);
        if let Some(At { span, .. }) = typed.min_up.given().filter(never) {
            let message =
                format!("at most {most} servers of backend `{}` take traffic: `min_up` is never reached", name.value);
            out.push(Diagnostic::error(*span, message));
        }
    }
    for (start, (name, backend)) in typed.iter().enumerate() {
        let Some(text) = backend.fallback.value() else { continue };
        let next = |index: usize| model.get(index).and_then(|backend| backend.failover.fallback);
        let mut at = next(start);
        for _ in typed {
            match at {
                Some(index) if index == start => {
                    let message = format!("backend `{}` would fall back to itself", name.value);
                    out.push(Diagnostic::error(text.span, message));
                    break;
                }
                Some(index) => at = next(index),
                None => break,
            }
        }
        let in_kernel = uses.iter().any(|used| used.backend == start && used.mode == Some(Mode::L4));
        let one = model.get(start).filter(|_| in_kernel);
        if let Some((one, other)) = one.and_then(|one| Some((one, model.get(one.failover.fallback?)?)))
            && let Some(key) = difference(one, other)
        {
            let message =
                format!("backend `{}` cannot take the packets of `{}`: `{key}` differs", other.name, one.name);
            let error = Diagnostic::error(text.span, message);
            out.push(error.help("a VIP is forwarded in one way, whoever serves it: say the same in both backends"));
        }
    }
}

/// A key that says how packets of a VIP are forwarded, in which two backends differ.
fn difference(one: &Backend, other: &Backend) -> Option<&'static str> {
    let same = [
        ("forward", one.forward == other.forward),
        ("gue_port", one.gue_port == other.gue_port),
        ("source", one.sources == other.sources),
        ("track", one.track == other.track),
        ("balance", one.affinity == other.affinity),
    ];
    same.into_iter().find_map(|(key, is_same)| (!is_same).then_some(key))
}
