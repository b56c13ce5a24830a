//! `sluice ready`: whether the daemon is ready to be sent traffic, for `vrrp_script` of keepalived and the like.

use super::{Daemon, client::ask_within, complain, print};
use crate::admin::{protocol::Request, ready::Ready};
use std::{process::ExitCode, time::Duration};

/// It is not.
const NOT_READY: u8 = 1;
/// Nobody knows: no daemon answers, or one that is stopping, or there is no such frontend. As of a wrong command line.
const CANNOT_ASK: u8 = 2;

pub(super) fn run(daemon: &Daemon, frontends: Vec<String>, timeout: Duration) -> ExitCode {
    let asked = ask_within(&daemon.socket, &Request::Ready { frontends }, timeout);
    asked.and_then(|ready| tell(daemon, &ready)).unwrap_or_else(|error| {
        complain(&format!("error: {error:#}"));
        ExitCode::from(CANNOT_ASK)
    })
}

fn tell(daemon: &Daemon, ready: &Ready) -> anyhow::Result<ExitCode> {
    if daemon.json {
        print(&serde_json::to_string_pretty(ready)?)?;
    }
    if !ready.unknown.is_empty() {
        complain(&format!("error: there is no frontend {}", ready.unknown.join(", ")));
        return Ok(ExitCode::from(CANNOT_ASK));
    }
    if !daemon.json {
        print(&if ready.ready { "ready".to_owned() } else { format!("not ready: {}", ready.reasons.join("; ")) })?;
    }
    Ok(if ready.ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}
