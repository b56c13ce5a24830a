//! Agents of servers: what a server does not say of its own, the backend says.

use super::range;
use crate::{
    config::{
        error::Diagnostic,
        file::{Agent as Typed, Server as TypedServer},
        read::Knob,
        units::show_duration,
    },
    model::Agent,
};
use std::{ops::RangeInclusive, time::Duration};

/// The agent of that server, in a backend with `of_backend`.
pub(super) fn agent(server: &TypedServer, of_backend: &Knob<Typed>, out: &mut Vec<Diagnostic>) -> Option<Agent> {
    let own = server.agent.given();
    if let Some(own) = own.filter(|_| !server.track.is_absent()) {
        let error = Diagnostic::error(own.span, "`agent` has no meaning for a server with `track`");
        out.push(error.help("it becomes what the other one is, also by that one's agent"));
    }
    let span = own.or_else(|| of_backend.given())?.span;
    let (none, mut found) = (Typed::default(), Vec::new());
    let (own, shared) = (server.agent.value().unwrap_or(&none), of_backend.value().unwrap_or(&none));
    let port = if own.port.is_absent() { &shared.port } else { &own.port };
    if port.is_absent() {
        found.push(Diagnostic::error(span, "an agent needs a `port`").help("HAProxy's `agent-port`: where it listens"));
    }
    let interval = range::duration([&own.interval, &shared.interval], "interval", INTERVALS, INTERVAL, &mut found);
    let timeouts = [&own.timeout, &shared.timeout];
    let timeout = range::duration(timeouts, "timeout", range::TIMEOUT, interval, &mut found);
    if let Some(longer) = timeouts.into_iter().find_map(Knob::given).filter(|_| timeout > interval) {
        let (takes, every) = (show_duration(timeout), show_duration(interval));
        let message = format!("a question may take {takes}, but the next is due after {every}");
        found.push(Diagnostic::warning(longer.span, message));
    }
    let agent = Agent {
        port: range::number(port, "port", 1_u16..=u16::MAX, 1, &mut found),
        address: own.address.value().or_else(|| shared.address.value()).copied(),
        interval,
        timeout,
        send: own.send.value().or_else(|| shared.send.value()).map_or_else(String::new, |send| send.value.clone()),
    };
    // What the backend says is said once, not for each server.
    for problem in found {
        if !out.contains(&problem) {
            out.push(problem);
        }
    }
    Some(agent)
}

const INTERVAL: Duration = Duration::from_secs(2);
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=range::LONGEST;
