//! Every metric, by what `/metrics` says of a daemon that has some of everything.

use super::markdown::{code, codes, table};
use crate::{admin::metrics::exported, model::MetricNames};
use std::collections::BTreeSet;

/// One metric.
struct Metric {
    name: String,
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    has_rows: bool,
}

/// The page.
pub(super) fn page() -> String {
    let rows = |names| {
        metrics(&exported(&[names])).into_iter().map(|Metric { name, kind, help, labels, .. }| {
            [code(&name), kind, codes(labels.iter().map(String::as_str)), help]
        })
    };
    let heads = ["Metric", "Type", "Labels", "Meaning"];
    format!(
        "# Metrics\n\nServed at `/metrics` of `[global] metrics`, in the text format of Prometheus. Names say the unit. No label \
         holds what clients choose.\n\n{}## By HAProxy's names\n\nWith `metrics_names = \"haproxy\"`, or both in an array: what the \
         proxy half has, by the names, types and labels of HAProxy's own exporter.\n\n{}",
        table(heads, rows(MetricNames::Sluice)),
        table(heads, rows(MetricNames::Haproxy))
    )
    .trim_end()
    .to_owned()
        + "\n"
}

fn metrics(text: &str) -> Vec<Metric> {
    let (mut found, mut help) = (Vec::<Metric>::new(), "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help).trim_end_matches('.');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (name, kind, help) = (name.to_owned(), kind.to_owned(), help.to_owned());
            found.push(Metric { name, kind, help, labels: BTreeSet::new(), has_rows: false });
        } else if let Some(metric) = found.last_mut() {
            // Rows follow the metric that they are of; a histogram's have more behind its name.
            assert!(line.starts_with(metric.name.as_str()), "{line}");
            metric.has_rows = true;
            metric.labels.extend(labels(line).into_iter().filter(|label| label != "le"));
        }
    }
    found
}

/// The names of the labels of a row, whose values may have anything in them.
fn labels(row: &str) -> Vec<String> {
    let Some((_, mut rest)) = row.split_once('{') else { return Vec::new() };
    let mut found = Vec::new();
    while let Some((name, value)) = rest.split_once("=\"") {
        found.push(name.trim_start_matches(',').to_owned());
        let mut is_escaped = false;
        let end = value.find(|letter: char| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        });
        rest = value.get(end.unwrap() + 1..).unwrap();
    }
    found
}

#[test]
fn every_metric_has_its_labels_on_the_page() {
    for names in [MetricNames::Sluice, MetricNames::Haproxy] {
        let metrics = metrics(&exported(&[names]));
        let without: Vec<_> = metrics.iter().filter(|metric| !metric.has_rows).map(|metric| &metric.name).collect();
        assert!(metrics.len() > 40 && without.is_empty(), "nothing shows the labels of {without:?}");
    }
    assert_eq!(labels(r#"a{b="x\"}=\"",c="y\\"} 1"#), ["b", "c"]);
}
