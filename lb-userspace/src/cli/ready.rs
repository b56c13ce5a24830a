//! `sluice ready`: whether the daemon is ready to be sent traffic, for `vrrp_script` of keepalived and the like.

use super::{Daemon, client::ask_within, complain, print};
use crate::{
    admin::{protocol::Request, ready::Ready},
    exit::Exit,
};
use std::{process::ExitCode, time::Duration};

pub(super) fn run(daemon: &Daemon, frontends: Vec<String>, timeout: Duration) -> ExitCode {
    let asked = ask_within(&daemon.socket, &Request::Ready { frontends }, timeout);
    asked.and_then(|ready| tell(daemon, &ready)).unwrap_or_else(|error| {
        complain(&format!("error: {error:#}"));
        Exit::CannotAsk.into()
    })
}

fn tell(daemon: &Daemon, ready: &Ready) -> anyhow::Result<ExitCode> {
    if daemon.json {
        print(&serde_json::to_string_pretty(ready)?)?;
    }
    if !ready.unknown.is_empty() {
        complain(&format!("error: there is no frontend {}", ready.unknown.join(", ")));
        return Ok(Exit::CannotAsk.into());
    }
    if !daemon.json {
        print(&if ready.ready { "ready".to_owned() } else { format!("not ready: {}", ready.reasons.join("; ")) })?;
    }
    Ok(if ready.ready { Exit::Ready } else { Exit::NotReady }.into())
}
