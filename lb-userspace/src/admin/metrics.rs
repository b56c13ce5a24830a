//! Metrics: each is declared once, with its help text, and collected when somebody asks.
//!
//! Names say the unit. A server is named by `backend` and `server`, a VIP by `frontend`, `address` and `protocol`. No label holds
//! what clients choose, and what has one of a few states is one series, not one a state, but for the names of HAProxy.

mod backends;
mod daemon;
mod frontends;
mod haproxy;
mod kernel;
mod plain;
mod scrape;
mod servers;
#[cfg(test)]
mod tests;

pub use scrape::serve;
#[cfg(test)]
pub(crate) use tests::exported;

use super::{kernel::KernelReport, status::Status};
use crate::{model::MetricNames, servers::totals::CLASSES};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use std::fmt;

/// All that is exported by these names, as the text format of OpenMetrics.
pub fn text(
    (status, rows): (Status, super::rows::Rows),
    kernel: Option<KernelReport>,
    probe_to_map: &Histogram,
    names: &[MetricNames],
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail; what is missing would tell if it did.
    let mut add = |registry: &Registry| text::encode_registry(&mut text, registry).unwrap_or_default();
    if names.contains(&MetricNames::Haproxy) {
        let mut registry = Registry::with_prefix("haproxy");
        registry.register_collector(Box::new(haproxy::Snapshot { status: status.clone(), rows }));
        add(&registry);
    }
    if names.contains(&MetricNames::Sluice) {
        let mut registry = Registry::with_prefix("sluice");
        let help = "From the end of the probe that decided until both halves had the verdict, in seconds";
        registry.register("probe_to_map_seconds", help, probe_to_map.clone());
        registry.register_collector(Box::new(Snapshot { status, kernel }));
        add(&registry);
    }
    text::encode_eof(&mut text).unwrap_or_default();
    text
}

/// An empty histogram of latencies inside this machine.
pub fn latencies() -> Histogram {
    Histogram::new([0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0])
}

/// One moment of the daemon.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    kernel: Option<KernelReport>,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        daemon::encode(&self.status, &mut encoder)?;
        frontends::encode(&self.status, &mut encoder)?;
        backends::encode(&self.status, &mut encoder)?;
        servers::encode(&self.status, &mut encoder)?;
        self.kernel.as_ref().map_or(Ok(()), |kernel| kernel::encode(kernel, &mut encoder))
    }
}

/// A metric's name and help text.
type Name<'a> = (&'a str, &'a str);
/// Its rows: labels and value.
type Rows<const N: usize, T = u64> = Vec<([(&'static str, String); N], T)>;

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Name<'_>,
    rows: Vec<(L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in rows {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Name<'_>,
    rows: Vec<(L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Of what is no whole number.
fn parts<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Name<'_>,
    rows: Rows<N, f64>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A row for each class of responses.
fn by_class<const N: usize>(
    responses: [u64; CLASSES.len()],
    labels: impl Fn(&'static str) -> [(&'static str, String); N],
    rows: &mut Rows<N>,
) {
    rows.extend(CLASSES.into_iter().zip(responses).map(|(class, count)| (labels(class), count)));
}

/// Microseconds as seconds.
fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
