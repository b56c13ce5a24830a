//! Quorums: what is typed, against the servers that there are. A quorum that could never be had is an error.

use super::Entry;
use crate::{
    config::{
        error::Diagnostic,
        file::{Amount, Frontend as Typed},
        read::Knob,
        source::{At, Span},
    },
    model::{Backend, Frontend, Model, Quorum, QuorumDown},
};

/// Gives every frontend its quorum. The model's frontends are in the order of those typed.
pub(super) fn quorums(typed: &[&Entry<Typed>], model: &mut Model, out: &mut Vec<Diagnostic>) {
    let quorums: Vec<_> =
        model.frontends.iter().zip(typed).map(|(frontend, (_, typed))| quorum(frontend, typed, model, out)).collect();
    for (frontend, quorum) in model.frontends.iter_mut().zip(quorums) {
        frontend.quorum = quorum;
    }
}

fn quorum(frontend: &Frontend, typed: &Typed, model: &Model, out: &mut Vec<Diagnostic>) -> Quorum {
    let default = Quorum::default();
    // The backend of a name that does not exist is reported as that.
    if let Some((key, span)) = given(typed).filter(|_| typed.default_backend.is_absent()) {
        let error = Diagnostic::error(span, format!("`{key}` needs a `default_backend`, whose servers are counted"));
        out.push(error);
        return default;
    }
    let Some(backend) = frontend.default_backend().and_then(|index| model.backends.get(index)) else { return default };
    if let Some(At { value: QuorumDown::Withdraw, span }) = typed.quorum_down.given()
        && backend.failover.fallback.is_some()
    {
        let message =
            format!("without its quorum the VIP is withdrawn: the `fallback` of `{}` never serves it", backend.name);
        out.push(Diagnostic::warning(*span, message).help("quorum_down = \"serve\" leaves it to the fallback"));
    }
    let all = everyday(backend);
    let most = all.max(backend.most_takers()).max(1);
    let servers = number(&typed.quorum, "quorum", 1, most, all, out).unwrap_or(default.servers);
    let hysteresis = number(&typed.hysteresis, "hysteresis", 0, most, all, out).unwrap_or(default.hysteresis);
    let (wide, up) = (hysteresis >= servers, servers.saturating_add(hysteresis) as usize > most);
    if let Some(At { span, .. }) = typed.hysteresis.given().filter(|_| hysteresis > 0 && (wide || up)) {
        let message = if wide {
            format!("with a `hysteresis` of {hysteresis} a quorum of {servers} would never be lost")
        } else {
            format!("with a `hysteresis` of {hysteresis} a quorum of {servers} that is lost would never be had again")
        };
        let error = Diagnostic::error(*span, message);
        out.push(error.help(format!(
            "it is lost below `quorum` - `hysteresis`, and had again from `quorum` + `hysteresis` on, which {most} allow"
        )));
        return default;
    }
    Quorum { servers, hysteresis, down: typed.quorum_down.value().copied().unwrap_or(QuorumDown::Serve) }
}

/// The first of the keys that is given.
fn given(typed: &Typed) -> Option<(&'static str, Span)> {
    let keys = [
        ("quorum", typed.quorum.given().map(|at| at.span)),
        ("hysteresis", typed.hysteresis.given().map(|at| at.span)),
        ("quorum_down", typed.quorum_down.given().map(|at| at.span)),
    ];
    keys.into_iter().find_map(|(key, span)| Some((key, span?)))
}

/// How many servers are none of the backups; where there are no others, how many these are.
fn everyday(backend: &Backend) -> usize {
    let others = backend.servers.iter().filter(|server| !server.backup).count();
    if others == 0 { backend.servers.len() } else { others }
}

fn number(
    knob: &Knob<Amount>,
    key: &str,
    least: i64,
    most: usize,
    all: usize,
    out: &mut Vec<Diagnostic>,
) -> Option<u32> {
    let typed = knob.given()?;
    let number = typed.value.of(all);
    let fits = u32::try_from(number).ok().filter(|fits| number >= least && *fits as usize <= most);
    if fits.is_none() {
        let message = format!("`{key}` must be from {least} to {most}, the servers that can take traffic together");
        out.push(Diagnostic::error(typed.span, message));
    }
    fits
}
