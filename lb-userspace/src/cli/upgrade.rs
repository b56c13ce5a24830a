//! `sluice upgrade`: another binary takes over.

use super::{Daemon, client::ask, complain, print};
use crate::{
    admin::protocol::{NO_REQUEST, Request},
    channel::message::UpgradeReport,
    exit::Exit,
};
use std::{path::PathBuf, process::ExitCode};

pub(super) fn run(daemon: &Daemon, binary: Option<PathBuf>, drop_flows: bool) -> anyhow::Result<ExitCode> {
    let report = match ask(&daemon.socket, &Request::Upgrade { binary, drop_flows }) {
        Err(error) if knows_no_upgrade(&error) => UpgradeReport {
            done: false,
            report: format!("error: the running daemon knows no upgrade: {error}"),
            never: true,
        },
        answered => answered?,
    };
    if daemon.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        complain(&report.report);
        print(if report.done { "upgraded" } else { "not upgraded: the running daemon goes on" })?;
    }
    Ok(exit(&report).into())
}

/// Whether that is what a daemon of an older version says to the request.
fn knows_no_upgrade(error: &anyhow::Error) -> bool {
    error.to_string().starts_with(NO_REQUEST)
}

fn exit(report: &UpgradeReport) -> Exit {
    match report {
        UpgradeReport { done: true, .. } => Exit::HandedOver,
        UpgradeReport { never: true, .. } => Exit::Never,
        UpgradeReport { .. } => Exit::GoesOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn only_a_version_that_cannot_hand_over_has_a_status_of_its_own() {
        assert!(knows_no_upgrade(&anyhow!("{NO_REQUEST}: unknown variant `upgrade`")));
        assert!(!knows_no_upgrade(&anyhow!("no daemon is running")));
        let code = |text: &str| exit(&serde_json::from_str(text).expect("a report"));
        assert_eq!(code(r#"{"done": true, "report": ""}"#), Exit::HandedOver);
        assert_eq!(code(r#"{"done": false, "report": ""}"#), Exit::GoesOn);
        assert_eq!(code(r#"{"done": false, "report": "", "never": true}"#), Exit::Never);
    }
}
