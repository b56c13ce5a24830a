//! What was measured, as a table and as JSON.

use super::{
    Options, Turn,
    ways::{By, Way},
};
use crate::{
    bars::{Bar, mark, met},
    statistics::{Summary, differences, ratios, share},
};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The turns of every round, by way.
pub(super) struct Measured<'a> {
    ways: &'a [Way],
    options: &'a Options,
    /// The share of the CPUs that was in use before the first turn.
    busy_before: f64,
    turns: BTreeMap<&'static str, Vec<Turn>>,
}

/// How a way compares.
struct Compared {
    requests_per_second: Summary,
    p99: Summary,
    cpu_per_request: Summary,
    /// Microseconds of CPU that the balancer adds to a request.
    added: Option<Summary>,
    shares: [Share; 3],
}

/// A share of what another way costs, and the most that it may be.
struct Share {
    name: &'static str,
    ratio: Option<Summary>,
    bar: Option<Bar>,
}

impl<'a> Measured<'a> {
    pub(super) fn new(ways: &'a [Way], options: &'a Options, busy_before: f64) -> Self {
        Self { ways, options, busy_before, turns: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, way: &Way, turn: Turn) {
        self.turns.entry(way.name).or_default().push(turn);
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        let heads = ["", "requests/s", "p99 ms", "CPU µs", "added µs", "of nftables", "of HAProxy", "p99 of none"];
        table.load_style(NOTHING).set_header(heads);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for way in self.ways {
            let Some(compared) = self.compared(way) else { continue };
            let added = compared.added.map(|added| format!("{:.1} ±{:.1}", added.median, added.spread()));
            let mut cells = vec![
                way.name.to_owned(),
                format!("{:.0}", compared.requests_per_second.median),
                format!("{:.2}", compared.p99.median),
                format!("{:.1} ±{:.1}", compared.cpu_per_request.median, compared.cpu_per_request.spread()),
                added.unwrap_or_else(|| "–".to_owned()),
            ];
            cells.extend(compared.shares.iter().map(|Share { ratio, bar, .. }| match ratio {
                Some(ratio) => format!("{:.2}× {}", ratio.median, mark(Some(*ratio), *bar)),
                None => "–".to_owned(),
            }));
            table.add_row(cells);
        }
        format!(
            "{table}\n\nmedians of {} rounds of {} s, {} connections; CPU of the whole machine a request, ± half of what the \
             middle half spans; ✓ and ✗ say whether a share passes its bar; – where the machine is too noisy to tell\n",
            self.options.rounds, self.options.seconds, self.options.connections
        )
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let ways = self.ways.iter().filter_map(|way| {
            let compared = self.compared(way)?;
            let shares = compared.shares.iter().map(|Share { name, ratio, bar }| {
                ((*name).to_owned(), json!({ "ratio": ratio, "bar": bar, "met": met(*ratio, *bar) }))
            });
            Some(json!({
                "name": way.name,
                "requests_per_second": compared.requests_per_second,
                "p99_milliseconds": compared.p99,
                "cpu_microseconds_per_request": compared.cpu_per_request,
                "added_microseconds_per_request": compared.added,
                "shares": shares.collect::<serde_json::Map<_, _>>(),
            }))
        });
        json!({
            "bench": "e2e",
            "machine": crate::machine(),
            "haproxy": crate::version("haproxy"),
            "nftables": crate::version("nft"),
            "rounds": self.options.rounds,
            "seconds": self.options.seconds,
            "connections": self.options.connections,
            "busy_before": self.busy_before,
            "ways": ways.collect::<Vec<_>>(),
        })
    }

    fn compared(&self, way: &Way) -> Option<Compared> {
        let cpu = |way: &Way| self.of(way, |turn| turn.cpu_per_request);
        let p99 = |way: &Way| self.of(way, |turn| turn.p99);
        let nobody = self.by(By::Nobody)?;
        let added = |way: &Way| (way.by != By::Nobody).then(|| differences(&cpu(way), &cpu(nobody))).flatten();
        let share_of = |by| {
            let other = self.by(by).filter(|other| other.by != way.by)?;
            share(added(way)?, added(other)?)
        };
        let slower = (way.by != By::Nobody).then(|| ratios(&p99(way), &p99(nobody))).flatten();
        let bars = way.bars;
        Some(Compared {
            requests_per_second: Summary::of(self.of(way, |turn| turn.requests_per_second))?,
            p99: Summary::of(p99(way))?,
            cpu_per_request: Summary::of(cpu(way))?,
            added: added(way),
            shares: [
                Share { name: "of_nftables", ratio: share_of(By::Nftables), bar: bars.map(|bars| bars.of_nftables) },
                Share { name: "of_haproxy", ratio: share_of(By::Haproxy), bar: bars.map(|bars| bars.of_haproxy) },
                Share { name: "p99_of_no_balancer", ratio: slower, bar: bars.map(|bars| bars.p99) },
            ],
        })
    }

    fn by(&self, by: By) -> Option<&Way> {
        self.ways.iter().find(|way| way.by == by)
    }

    fn of(&self, way: &Way, figure: impl Fn(&Turn) -> f64) -> Vec<f64> {
        self.turns.get(way.name).into_iter().flatten().map(figure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2e::ways::Bars;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn way(name: &'static str, by: By, bars: Option<Bars>) -> Way {
        Way { name, by, targets: Vec::new(), bars }
    }

    #[test]
    fn what_a_balancer_adds_is_compared_with_what_others_add_in_the_same_round() {
        let options = Line::parse_from(["bench", "--rounds=2"]).options;
        let bars = Bars { of_nftables: 0.5, of_haproxy: 0.1, p99: 1.5 };
        let ways = [
            way("none", By::Nobody, None),
            way("ours", By::Sluice("nat"), Some(bars)),
            way("nft", By::Nftables, None),
            way("haproxy", By::Haproxy, None),
        ];
        let mut measured = Measured::new(&ways, &options, 0.0);
        // The second round is disturbed, for all of them.
        for disturbed in [0.0, 30.0] {
            for (way, cost) in ways.iter().zip([10.0, 12.0, 15.0, 20.0]) {
                let turn = Turn { requests_per_second: 1e5, cpu_per_request: cost + disturbed, p99: cost / 10.0 };
                measured.add(way, turn);
            }
        }
        let json = measured.json();
        let ours = &json["ways"][1];
        assert_eq!(ours["added_microseconds_per_request"]["median"], 2.0);
        assert_eq!(
            ours["shares"]["of_nftables"],
            json!({ "ratio": { "median": 0.4, "low": 0.4, "high": 0.4 }, "bar": 0.5, "met": true })
        );
        assert_eq!(ours["shares"]["of_haproxy"]["met"], false);
        assert_eq!(ours["shares"]["p99_of_no_balancer"]["met"], true);
        assert_eq!(json["ways"][0]["shares"]["of_nftables"]["ratio"], Value::Null);
        let table = measured.table();
        assert!(
            table.lines().any(|line| line.contains("ours") && line.contains("0.40× ✓") && line.contains("0.20× ✗")),
            "{table}"
        );
    }
}
