//! `sluice events`: what has changed, and why.

use super::{Daemon, client::ask};
use crate::{
    admin::protocol::{Events, Request},
    events::{Event, KEPT},
    l7::log::events::line,
};
use std::{
    io::{self, Write as _},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

/// How often it is looked for those that come.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) fn run(daemon: &Daemon, last: usize, kinds: &[String], follow: bool) -> anyhow::Result<ExitCode> {
    let is_asked = |event: &Event| kinds.is_empty() || kinds.contains(&event.event);
    // Which of them are asked for is decided here.
    let answer = |after| ask::<Events>(&daemon.socket, &Request::Events { after, most: KEPT });
    let Events { mut events, mut newest } = answer(0)?;
    events.retain(is_asked);
    let mut shown = show(events.split_off(events.len().saturating_sub(last)), daemon.json)?;
    while follow && shown {
        sleep(PAUSE);
        let next = answer(newest)?;
        newest = next.newest;
        shown = show(next.events.into_iter().filter(is_asked).collect(), daemon.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One line each. `false`: nobody reads them any more.
fn show(events: Vec<Event>, as_json: bool) -> anyhow::Result<bool> {
    let mut text = Vec::new();
    for event in events {
        if as_json {
            serde_json::to_writer(&mut text, &event)?;
            text.push(b'\n');
        } else {
            line(&mut text, &event);
        }
    }
    match io::stdout().write_all(&text).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => Ok(written.map(|()| true)?),
    }
}
