//! `sluice maps`: what the kernel holds, read from the pins; the names come from the daemon, if one runs.

use super::{
    Daemon,
    client::ask,
    print, ring,
    status::{lines, table},
};
use crate::{
    admin::{
        kernel::{CountersReport, HeartbeatReport, KernelReport},
        protocol::Request,
        status::Status,
    },
    dataplane::{counters::KernelCounters, heartbeat::HeartbeatMap, maps::KernelMaps, pins::Pins, writer::MapWriter},
};
use anyhow::{Context, bail};
use std::{fmt::Write, path::Path, process::ExitCode, time::Duration};

/// Heads of columns that are numbers.
const COUNTERS: [&str; 5] = ["CONNECTIONS", "PACKETS", "BYTES", "BACK PACKETS", "BACK BYTES"];

pub(super) fn run(daemon: &Daemon, pins: &Path) -> anyhow::Result<ExitCode> {
    let pins = loaded(pins)?;
    let tables = KernelMaps::open(&pins)?.read()?;
    let totals = KernelCounters::open(&pins)?.totals(&tables)?;
    let status: Option<Status> = ask(&daemon.socket, &Request::Status).ok();
    let pulse = HeartbeatMap::open(&pins)?.read().context("cannot read the heartbeat")?;
    let report = KernelReport::new(&tables, &totals, pulse, status.as_ref());
    print(&if daemon.json { serde_json::to_string_pretty(&report)? } else { render(&report, status.is_some()) })?;
    Ok(ExitCode::SUCCESS)
}

/// The pins of what is loaded.
pub(super) fn loaded(pins: &Path) -> anyhow::Result<Pins> {
    let pins = Pins::new(pins);
    if !pins.maps().try_exists().with_context(|| format!("cannot look below {}; try as root", pins.root().display()))? {
        bail!("nothing is loaded: no maps of this version are pinned below {}", pins.root().display());
    }
    Ok(pins)
}

/// What to say first, where names are to be shown.
pub(super) fn unless_named(named: bool) -> String {
    if named {
        String::new()
    } else {
        "no daemon runs that knows the names; the kernel forwards by itself\n\n".to_owned()
    }
}

fn render(report: &KernelReport, named: bool) -> String {
    let mut text = unless_named(named);
    if let HeartbeatReport { age_ms: Some(age), timeout_ms, dead } = report.heartbeat {
        let dead = if dead { "; the daemon is dead" } else { "" };
        let seconds = |millis: u64| Duration::from_millis(millis).as_secs_f64();
        _ = writeln!(text, "heartbeat {:.1} s ago, of {} s allowed{dead}\n", seconds(age), seconds(timeout_ms));
    }
    let unknown = || "?".to_owned();
    let mut rows = table(
        ["VIP", "FRONTEND", "FORWARD", "BACKEND", "CONNECTIONS", "PACKETS", "BYTES", "BACK PACKETS", "BACK BYTES"],
        &COUNTERS,
    );
    for vip in &report.vips {
        let mut row = vec![
            format!("{}/{}{}", vip.address, vip.protocol, if vip.withdrawn { " (withdrawn)" } else { "" }),
            vip.frontend.clone().unwrap_or_else(unknown),
            vip.forward.to_owned(),
            vip.backend.clone().unwrap_or_else(|| format!("#{}", vip.ring)),
        ];
        row.extend(columns(vip.counters));
        rows.add_row(row);
    }
    _ = writeln!(text, "{}", lines(&rows));
    let mut rows = table(
        ["#", "SERVER", "ADDRESS", "STATE", "CONNECTIONS", "PACKETS", "BYTES", "BACK PACKETS", "BACK BYTES"],
        &["#", "CONNECTIONS", "PACKETS", "BYTES", "BACK PACKETS", "BACK BYTES"],
    );
    for server in &report.servers {
        let name = server
            .backend
            .as_ref()
            .zip(server.name.as_ref())
            .map_or_else(unknown, |(backend, name)| format!("{backend}/{name}"));
        let mut row = vec![server.id.to_string(), name, server.address.to_string(), server.state.to_owned()];
        row.extend(columns(server.counters));
        rows.add_row(row);
    }
    _ = writeln!(text, "{}", lines(&rows));
    report.rings.iter().for_each(|report| text.push_str(&ring::render(report)));
    for (head, counted) in [("REASON", &report.stops), ("ALSO", &report.notes)] {
        let mut rows = table([head, "PACKETS", "MEANING"], &COUNTERS);
        for row in counted.iter().filter(|row| row.packets > 0) {
            rows.add_row([row.name, &row.packets.to_string(), row.help]);
        }
        if !rows.is_empty() {
            _ = write!(text, "\n{}", lines(&rows));
        }
    }
    text
}

fn columns(counters: CountersReport) -> [String; 5] {
    let CountersReport { packets, bytes, connections, return_packets, return_bytes, .. } = counters;
    [connections, packets, bytes, return_packets, return_bytes].map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{
        kernel::{CountedReport, ServerReport, VipReport},
        ring::{RingReport, ShareReport},
    };

    fn report() -> KernelReport {
        let counters = CountersReport { packets: 1_234, bytes: 99_999, connections: 7, ..CountersReport::default() };
        let share = ShareReport { server: "web1".to_owned(), slots: 7, share: 0.5, leaving: 0 };
        KernelReport {
            heartbeat: HeartbeatReport { age_ms: Some(420), timeout_ms: 10_000, dead: false },
            vips: vec![VipReport {
                frontend: Some("shop".to_owned()),
                address: "192.0.2.10:80".to_owned(),
                protocol: "tcp".to_owned(),
                forward: "nat",
                backend: Some("web".to_owned()),
                ring: 1,
                withdrawn: false,
                counters,
            }],
            servers: vec![ServerReport {
                id: 12,
                backend: None,
                name: None,
                address: "10.0.0.1:80".parse().unwrap(),
                state: "up",
                next_hop: 1,
                counters,
            }],
            rings: vec![RingReport {
                id: 1,
                backend: Some("web".to_owned()),
                digest: "0123".to_owned(),
                shares: vec![share],
                ..RingReport::default()
            }],
            stops: vec![
                CountedReport { name: "no_ring", help: "nothing there", packets: 3 },
                CountedReport { name: "never_met", help: "and not shown", packets: 0 },
            ],
            notes: vec![CountedReport { name: "tracked", help: "remembered", packets: 12 }],
        }
    }

    #[test]
    fn maps_are_shown_in_columns_with_numbers_flush_right_and_no_blanks_at_the_ends() {
        let shown = render(&report(), true);
        assert!(shown.lines().all(|line| line == line.trim_end()), "blanks at the end of a line:\n{shown}");
        let heads: Vec<_> = shown.lines().filter(|line| line.contains("CONNECTIONS")).collect();
        for (head, row) in heads.into_iter().zip(["192.0.2.10:80/tcp", "10.0.0.1:80"]) {
            let row = shown.lines().find(|line| line.contains(row)).unwrap();
            let ends = |line: &str, word: &str| line.find(word).unwrap() + word.len();
            assert_eq!(ends(head, "CONNECTIONS"), ends(row, " 7"), "{shown}");
            assert_eq!(ends(head, "BYTES"), ends(row, "99999"), "{shown}");
        }
        assert!(shown.starts_with("heartbeat 0.4 s ago, of 10 s allowed\n\n"), "{shown}");
        assert!(shown.contains("\nRING web, digest 0123\n"), "{shown}");
        let counted = "\n REASON   PACKETS  MEANING\n no_ring        3  nothing there\n\
                       \n ALSO     PACKETS  MEANING\n tracked       12  remembered\n";
        assert!(shown.ends_with(counted), "{shown}");
    }

    #[test]
    fn without_a_daemon_numbers_stand_for_names() {
        let mut report = report();
        report.vips[0].backend = None;
        report.vips[0].withdrawn = true;
        report.heartbeat = HeartbeatReport { age_ms: Some(61_240), timeout_ms: 10_000, dead: true };
        let shown = render(&report, false);
        assert!(shown.starts_with("no daemon runs that knows the names"), "{shown}");
        assert!(shown.contains("\nheartbeat 61.2 s ago, of 10 s allowed; the daemon is dead\n"), "{shown}");
        assert!(shown.contains(" #1 ") && shown.contains(" ? "), "{shown}");
        assert!(shown.contains(" 192.0.2.10:80/tcp (withdrawn) "), "{shown}");
    }
}
