//! What was measured, as a table and as JSON.

use super::{
    Options, Turn,
    balancers::{Kind, Program, SLUICE_LOGS},
    origin::BODY,
    tls::CERTIFICATE,
    work::{IDLE_BAR, STREAMS, Work},
};
use crate::{
    bars::{Bar, mark, met},
    statistics::{Summary, ratios},
};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The turns of every round.
pub(super) struct Measured<'a> {
    options: &'a Options,
    kinds: &'a [Kind],
    busy_before: f64,
    turns: BTreeMap<(&'static str, Work), Vec<Turn>>,
    /// Bytes for 1,000 idle connections over TLS.
    idle: BTreeMap<&'static str, Vec<f64>>,
}

/// The name of the HAProxy that the bars are of.
const PEER: &str = "HAProxy";

impl<'a> Measured<'a> {
    pub(super) fn new(options: &'a Options, kinds: &'a [Kind], busy_before: f64) -> Self {
        Self { options, kinds, busy_before, turns: BTreeMap::new(), idle: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, kind: &Kind, work: Work, turn: Turn) {
        self.turns.entry((kind.name, work)).or_default().push(turn);
    }

    pub(super) fn add_idle(&mut self, kind: &Kind, bytes: f64) {
        self.idle.entry(kind.name).or_default().push(bytes);
    }

    /// For people.
    pub(super) fn table(&self, cipher: &str) -> String {
        let mut table = Table::new();
        let heads = ["", "", "CPU µs a request", "of HAProxy", "bar", "", "requests/s", "p50 ms", "p99 ms"];
        table.load_style(NOTHING).set_header(heads);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for work in Work::ALL {
            for kind in self.kinds {
                let Some(cost) = self.figure(kind.name, work, |turn| turn.cpu_per_request) else { continue };
                let ratio = self.of_haproxy(kind, work);
                let mut cells = vec![work.name().to_owned(), kind.name.to_owned(), shown(cost)];
                cells.extend(compared(kind, ratio, work.bar()));
                let median = |figure| self.figure(kind.name, work, figure).map_or(f64::NAN, |summary| summary.median);
                cells.push(format!("{:.0}", median(|turn| turn.requests_per_second)));
                cells.push(format!("{:.2}", median(|turn| turn.p50)));
                cells.push(format!("{:.2}", median(|turn| turn.p99)));
                table.add_row(cells);
            }
        }
        let mut memory = Table::new();
        memory.load_style(NOTHING).set_header(["", "", "KiB an idle TLS connection", "of HAProxy", "bar", ""]);
        for kind in self.kinds {
            let Some(idle) = self.idle(kind.name) else { continue };
            let each = idle.median / 1_000.0 / 1_024.0;
            let mut cells = vec!["idle".to_owned(), kind.name.to_owned(), format!("{each:.1}")];
            cells.extend(compared(kind, self.idle_of_haproxy(kind), Some(IDLE_BAR)));
            memory.add_row(cells);
        }
        let Options { rounds, seconds, connections, .. } = self.options;
        let log = if SLUICE_LOGS { "" } else { "Sluice writes no access log here, all others do\n" };
        format!(
            "{table}\n\n{memory}\n\nmedians of {rounds} rounds of {seconds} s, ± half of what the middle half spans; one thread \
             each on a CPU of its own, {connections} connections, {STREAMS} stream at a time on each of HTTP/2, answers of {BODY} bytes\n\
             user and system time of the balancer's processes; ✓ and ✗ say whether Sluice passes its bar\n\
             certificate: {CERTIFICATE}; {cipher}\n{log}"
        )
    }

    /// For machines.
    pub(super) fn json(&self, cipher: &str) -> Value {
        let rows = Work::ALL.into_iter().flat_map(|work| {
            self.kinds.iter().filter_map(move |kind| {
                let figure = |figure: fn(&Turn) -> f64| self.figure(kind.name, work, figure);
                let ratio = self.of_haproxy(kind, work);
                let bar = work.bar().filter(|_| kind.program == Program::Sluice);
                Some(json!({
                    "work": work.name(),
                    "balancer": kind.name,
                    "cpu_microseconds_per_request": figure(|turn| turn.cpu_per_request)?,
                    "requests_per_second": figure(|turn| turn.requests_per_second),
                    "p50_milliseconds": figure(|turn| turn.p50),
                    "p99_milliseconds": figure(|turn| turn.p99),
                    "of_haproxy": ratio,
                    "bar": bar,
                    "met": met(ratio, bar),
                }))
            })
        });
        let idle = self.kinds.iter().filter_map(|kind| {
            let ratio = self.idle_of_haproxy(kind);
            let bar = (kind.program == Program::Sluice).then_some(IDLE_BAR);
            Some(json!({
                "balancer": kind.name,
                "bytes_per_1000_connections": self.idle(kind.name)?,
                "of_haproxy": ratio,
                "bar": bar,
                "met": met(ratio, bar),
            }))
        });
        let versions = self.kinds.iter().map(|kind| (kind.name.to_owned(), json!(kind.version())));
        json!({
            "bench": "proxy",
            "machine": crate::machine(),
            "versions": versions.collect::<serde_json::Map<_, _>>(),
            "certificate": CERTIFICATE,
            "tls": cipher,
            "access_log_of_sluice": SLUICE_LOGS,
            "rounds": self.options.rounds,
            "seconds": self.options.seconds,
            "connections": self.options.connections,
            "http2_streams_per_connection": STREAMS,
            "body_bytes": BODY,
            "busy_before": self.busy_before,
            "rows": rows.collect::<Vec<_>>(),
            "idle_tls": idle.collect::<Vec<_>>(),
        })
    }

    fn turns(&self, name: &'static str, work: Work, figure: fn(&Turn) -> f64) -> Vec<f64> {
        self.turns.get(&(name, work)).into_iter().flatten().map(figure).collect()
    }

    fn figure(&self, name: &'static str, work: Work, figure: fn(&Turn) -> f64) -> Option<Summary> {
        Summary::of(self.turns(name, work, figure))
    }

    fn idle(&self, name: &str) -> Option<Summary> {
        Summary::of(self.idle.get(name)?.iter().copied())
    }

    /// `None` of HAProxy itself.
    fn of_haproxy(&self, kind: &Kind, work: Work) -> Option<Summary> {
        let cost = |name| self.turns(name, work, |turn| turn.cpu_per_request);
        (kind.name != PEER).then(|| ratios(&cost(kind.name), &cost(PEER))).flatten()
    }

    fn idle_of_haproxy(&self, kind: &Kind) -> Option<Summary> {
        (kind.name != PEER).then(|| ratios(self.idle.get(kind.name)?, self.idle.get(PEER)?)).flatten()
    }
}

/// Share, bar and mark; bars are Sluice's alone.
fn compared(kind: &Kind, ratio: Option<Summary>, bar: Option<Bar>) -> [String; 3] {
    let bar = bar.filter(|_| kind.program == Program::Sluice);
    [
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.2}×", ratio.median)),
        bar.map(|bar| format!("{bar:.2}")).unwrap_or_default(),
        mark(ratio, bar).to_owned(),
    ]
}

fn shown(cost: Summary) -> String {
    format!("{:.1} ±{:.1}", cost.median, cost.spread())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured<'a>(options: &'a Options, kinds: &'a [Kind]) -> Measured<'a> {
        let mut measured = Measured::new(options, kinds, 0.0);
        for kind in kinds {
            for work in Work::ALL.into_iter().filter(|work| kind.does(*work)) {
                let cpu_per_request = if kind.program == Program::Sluice { 9.0 } else { 10.0 };
                measured.add(kind, work, Turn { cpu_per_request, requests_per_second: 1e5, p50: 0.5, p99: 1.5 });
            }
            measured.add_idle(kind, 14.0 * 1_024.0 * 1_000.0);
        }
        measured
    }

    #[test]
    fn sluice_is_held_to_the_bars_and_the_others_are_not() {
        let options = Options { rounds: 1, seconds: 1, connections: 64, json: None, haproxy: None };
        let kinds = Kind::all(None);
        let measured = measured(&options, &kinds);
        let text = measured.table("a cipher");
        let line = |work: &str, name: &str| {
            text.lines().find(|line| line.trim_start().starts_with(work) && line.contains(name)).unwrap()
        };
        assert!(line("HTTP/1.1", "Sluice").contains('✗') && line("TCP", "Sluice").contains('✓'), "{text}");
        assert!(line("HTTP/1.1", "Sluice").contains("0.90×"), "{text}");
        assert!(!line("new connection", "Sluice").contains(['✓', '✗']), "{text}");
        assert!(!line("HTTP/1.1", "nginx").contains(['✓', '✗']), "{text}");
        assert!(line("idle", "Sluice").contains("14.0") && line("idle", "Sluice").contains('✓'), "{text}");
        assert!(text.contains("P-256") && text.contains("a cipher"), "{text}");
    }

    #[test]
    fn the_json_names_certificate_and_cipher_and_has_a_row_for_each_turn() {
        let options = Options { rounds: 1, seconds: 1, connections: 64, json: None, haproxy: None };
        let kinds = Kind::all(Some("/opt/haproxy".as_ref()));
        let json = measured(&options, &kinds).json("a cipher");
        assert_eq!(json["rows"].as_array().unwrap().len(), Work::ALL.len() * kinds.len() - 1);
        assert_eq!((&json["rows"][0]["met"], &json["rows"][1]["met"]), (&json!(false), &Value::Null));
        assert_eq!((&json["tls"], &json["certificate"]), (&json!("a cipher"), &json!(CERTIFICATE)));
    }
}
