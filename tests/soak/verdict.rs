//! Whether a figure grew. Load and reloads move all of them up and down; what leaks lifts the floor. So the least of the last third
//! of the samples is compared with the least of the first third.

use crate::sample::Sample;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

/// What one figure did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    name: &'static str,
    /// Least of the first third of the samples.
    first: u64,
    /// Least of the last third.
    last: u64,
    /// Most of all.
    most: u64,
    /// By the least squares, a minute.
    slope: f64,
    /// Whether it did not grow beyond what is allowed.
    pub(crate) flat: bool,
}

/// What the floor of memory may rise in a whole run, bytes or share of it: caches and allocators settle late.
const MEMORY: (u64, f64) = (2 << 20, 0.03);
/// The floor of descriptors moves by as many as connections that are open all the time happen to be kept.
const DESCRIPTORS: (u64, f64) = (8, 0.05);
const NONE: (u64, f64) = (0, 0.0);

/// A figure, and what it may grow by.
type Figure = (&'static str, fn(&Sample) -> u64, (u64, f64));

const FIGURES: [Figure; 7] = [
    ("worker, bytes", |sample| sample.worker_memory, MEMORY),
    ("supervisor, bytes", |sample| sample.supervisor_memory, MEMORY),
    ("worker, descriptors", |sample| sample.worker_descriptors, DESCRIPTORS),
    ("supervisor, descriptors", |sample| sample.supervisor_descriptors, NONE),
    ("threads", |sample| sample.threads, NONE),
    ("maps", |sample| sample.maps, NONE),
    ("pins", |sample| sample.pins, NONE),
];

/// The verdicts on all figures of the samples after the warm-up.
pub(crate) fn all(samples: &[Sample]) -> Vec<Verdict> {
    FIGURES.iter().map(|figure| one(figure, samples)).collect()
}

fn one((name, of, (amount, share)): &Figure, samples: &[Sample]) -> Verdict {
    let third = samples.len().div_ceil(3);
    let first = samples.iter().take(third).map(of).min().unwrap_or_default();
    let last = samples.iter().rev().take(third).map(of).min().unwrap_or_default();
    let points: Vec<(f64, f64)> =
        samples.iter().map(|sample| (sample.at.as_secs_f64() / 60.0, float(of(sample)))).collect();
    Verdict {
        name,
        first,
        last,
        most: samples.iter().map(of).max().unwrap_or_default(),
        slope: slope(&points),
        flat: !samples.is_empty() && float(last) <= float(first) + float(*amount).max(float(first) * share),
    }
}

/// By the least squares; 0 of a single point.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = float(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (both, square) = points.iter().fold((0.0, 0.0), |(both, square), point| {
        (both + (point.0 - x) * (point.1 - y), square + (point.0 - x).powi(2))
    });
    if square > 0.0 { both / square } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn float(number: u64) -> f64 {
    number as f64
}

/// For people.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["", "first third", "last third", "most", "a minute", ""]);
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for verdict in verdicts {
        table.add_row([
            verdict.name.to_owned(),
            verdict.first.to_string(),
            verdict.last.to_string(),
            verdict.most.to_string(),
            format!("{:+.2}", verdict.slope),
            if verdict.flat { "flat" } else { "GREW" }.to_owned(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn samples(of: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |minute| Sample {
            at: Duration::from_secs(minute * 60),
            worker_memory: of(minute),
            worker_descriptors: 50,
            ..Sample::default()
        };
        (0..90).map(sample).collect()
    }

    fn worker(samples: &[Sample]) -> Verdict {
        all(samples).remove(0)
    }

    #[test]
    fn ups_and_downs_are_no_growth_and_a_floor_that_rises_is() {
        let swing = worker(&samples(|minute| (50 << 20) + (minute % 7) * (10 << 20)));
        assert!(swing.flat, "{swing:?}");
        let leak = worker(&samples(|minute| (50 << 20) + (minute % 7) * (10 << 20) + minute * (100 << 10)));
        assert!(!leak.flat, "{leak:?}");
        assert_eq!((leak.first, leak.last), (50 << 20, (50 << 20) + 63 * (100 << 10)));
    }

    #[test]
    fn the_slope_is_that_of_the_line() {
        let line = worker(&samples(|minute| 1_000 + 30 * minute));
        assert!((line.slope - 30.0).abs() < 1e-6, "{line:?}");
        assert!(worker(&samples(|_| 5)).slope.abs() < 1e-9);
    }

    #[test]
    fn one_map_more_is_one_too_many_and_nothing_at_all_is_no_verdict() {
        let mut samples = samples(|_| 1);
        samples.iter_mut().skip(60).for_each(|sample| sample.maps = 1);
        let grown: Vec<_> = all(&samples).into_iter().filter(|verdict| !verdict.flat).collect();
        assert_eq!(grown.iter().map(|verdict| verdict.name).collect::<Vec<_>>(), ["maps"]);
        assert!(all(&[]).iter().all(|verdict| !verdict.flat));
    }
}
