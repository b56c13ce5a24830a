//! `sluice ring`: whose the slots of a backend are, and which of them change hands. Read from the pins.

use super::{
    Daemon,
    client::ask,
    maps::{loaded, unless_named},
    print,
};
use crate::{
    admin::{names::Names, protocol::Request, ring::RingReport, status::Status},
    dataplane::{maps::KernelMaps, writer::MapWriter},
};
use anyhow::bail;
use std::{fmt::Write, path::Path, process::ExitCode};

/// Columns of a bar that stands for a whole ring.
pub(super) const BAR: usize = 40;

pub(super) fn run(daemon: &Daemon, pins: &Path, backend: Option<&str>) -> anyhow::Result<ExitCode> {
    let tables = KernelMaps::open(&loaded(pins)?)?.read()?;
    let status: Option<Status> = ask(&daemon.socket, &Request::Status).ok();
    let names = Names::new(status.as_ref());
    let all = tables.rings.keys().filter_map(|id| RingReport::new(&tables, *id, &names));
    let rings: Vec<_> = all.filter(|ring| is_wanted(ring, backend)).collect();
    if let Some(backend) = backend.filter(|_| rings.is_empty()) {
        bail!("no kernel frontend uses a backend `{backend}`, as far as is known");
    }
    print(&if daemon.json {
        serde_json::to_string_pretty(&rings)?
    } else {
        rings.iter().fold(unless_named(status.is_some()), |text, ring| text + &render(ring))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn is_wanted(ring: &RingReport, backend: Option<&str>) -> bool {
    backend.is_none_or(|backend| ring.backend.as_deref() == Some(backend) || backend == format!("#{}", ring.id))
}

/// A ring in words, and a bar for each server.
pub(super) fn render(ring: &RingReport) -> String {
    let RingReport { id, backend, digest, changing, tracked, shares } = ring;
    let name = backend.clone().unwrap_or_else(|| format!("#{id}"));
    let mut text = format!("RING {name}, digest {digest}");
    if *changing > 0 {
        _ = write!(text, ", {changing} slots change hands");
    }
    if *tracked > 0 {
        _ = write!(text, ", {tracked} tracked");
    }
    text.push('\n');
    let width = shares.iter().map(|share| share.server.chars().count()).max().unwrap_or_default();
    for share in shares {
        let bar = "█".repeat((share.slots * BAR).div_ceil(lb_common::SLOTS));
        let (part, slots) = (share.share * 100.0, share.slots);
        _ = write!(text, "  {:<width$} {bar:<BAR$} {part:6.2} % {slots:>5} slots", share.server);
        if share.leaving > 0 {
            _ = write!(text, ", and flows of {} more", share.leaving);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ring::ShareReport;

    #[test]
    fn a_ring_tells_its_digest_and_what_changes_hands() {
        let slots = lb_common::SLOTS;
        let share =
            |server: &str, slots, share, leaving| ShareReport { server: server.to_owned(), slots, share, leaving };
        let ring = RingReport {
            id: 1,
            backend: Some("web".to_owned()),
            digest: "0123456789abcdef".to_owned(),
            changing: 7,
            tracked: 9,
            shares: vec![share("web10", slots / 4 * 3, 0.75, 0), share("#9", slots / 4, 0.25, 7)],
        };
        let bar = |full: usize| "█".repeat(full) + &" ".repeat(BAR - full);
        let expected = format!(
            "RING web, digest 0123456789abcdef, 7 slots change hands, 9 tracked\n\
             \u{20} web10 {}  75.00 % {:>5} slots\n\u{20} #9    {}  25.00 % {:>5} slots, and flows of 7 more\n",
            bar(30),
            slots / 4 * 3,
            bar(10),
            slots / 4,
        );
        assert_eq!(render(&ring), expected);
        assert!(is_wanted(&ring, None) && is_wanted(&ring, Some("web")) && is_wanted(&ring, Some("#1")));
        assert!(!is_wanted(&ring, Some("api")));
    }
}
