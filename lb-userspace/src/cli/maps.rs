//! `sluice maps`: what the kernel holds, read from the pins; the names come from the daemon, if one runs.

use super::{Daemon, client::ask, print, status::table};
use crate::{
    admin::{
        kernel::{CountersReport, KernelReport},
        protocol::Request,
        status::Status,
    },
    dataplane::{counters::KernelCounters, maps::KernelMaps, pins::Pins, writer::MapWriter},
};
use anyhow::{Context, bail};
use std::{fmt::Write, path::Path, process::ExitCode};

/// Columns of a bar that stands for a whole ring.
const BAR: usize = 40;

pub(super) fn run(daemon: &Daemon, pins: &Path) -> anyhow::Result<ExitCode> {
    let pins = Pins::new(pins);
    if !pins.maps().try_exists().with_context(|| format!("cannot look below {}; try as root", pins.root().display()))? {
        bail!("nothing is loaded: no maps of this version are pinned below {}", pins.root().display());
    }
    let tables = KernelMaps::from_pins(&pins)?.read()?;
    let totals = KernelCounters::from_pins(&pins)?.totals(&tables)?;
    let status: Option<Status> = ask(&daemon.socket, &Request::Status).ok();
    let report = KernelReport::new(&tables, &totals, status.as_ref());
    print(&if daemon.json { serde_json::to_string_pretty(&report)? } else { render(&report, status.is_some()) })?;
    Ok(ExitCode::SUCCESS)
}

fn render(report: &KernelReport, named: bool) -> String {
    let mut text = if named {
        String::new()
    } else {
        "no daemon runs that knows the names; the kernel forwards by itself\n\n".to_owned()
    };
    let unknown = || "?".to_owned();
    let mut rows = table(&[
        "VIP",
        "FRONTEND",
        "FORWARD",
        "BACKEND",
        "CONNECTIONS",
        "PACKETS",
        "BYTES",
        "BACK PACKETS",
        "BACK BYTES",
    ]);
    for vip in &report.vips {
        let mut row = vec![
            format!("{}/{}", vip.address, vip.protocol),
            vip.frontend.clone().unwrap_or_else(unknown),
            vip.forward.to_owned(),
            vip.backend.clone().unwrap_or_else(|| format!("#{}", vip.ring)),
        ];
        row.extend(columns(vip.counters));
        rows.add_row(row);
    }
    _ = writeln!(text, "{rows}\n");
    let mut rows =
        table(&["#", "SERVER", "ADDRESS", "STATE", "CONNECTIONS", "PACKETS", "BYTES", "BACK PACKETS", "BACK BYTES"]);
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
    _ = writeln!(text, "{rows}\n");
    for ring in &report.rings {
        _ = writeln!(text, "RING {}", ring.backend.clone().unwrap_or_else(|| format!("#{}", ring.id)));
        for share in &ring.shares {
            let bar = "█".repeat((share.slots * BAR).div_ceil(lb_common::SLOTS));
            _ = writeln!(
                text,
                "  {:<16} {bar:<BAR$} {:6.2} %  {} slots",
                share.server,
                share.share * 100.0,
                share.slots
            );
        }
    }
    let mut rows = table(&["REASON", "PACKETS", "MEANING"]);
    for stop in report.stops.iter().filter(|stop| stop.packets > 0) {
        rows.add_row([stop.name, &stop.packets.to_string(), stop.help]);
    }
    _ = write!(text, "\n{rows}");
    text
}

fn columns(counters: CountersReport) -> [String; 5] {
    let CountersReport { packets, bytes, connections, return_packets, return_bytes } = counters;
    [connections, packets, bytes, return_packets, return_bytes].map(|number| number.to_string())
}
