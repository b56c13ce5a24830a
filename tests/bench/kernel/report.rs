//! What was measured, as a table and as JSON.

use super::rows::{Load, Program, Row};
use crate::{
    bars::{mark, met},
    statistics::{Summary, differences, ratios},
};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Nanoseconds a packet, of every round.
pub(super) struct Measured<'a> {
    rows: &'a [Row],
    loads: &'a [Load],
    rounds: u32,
    packets: u32,
    /// Of the wrapper alone.
    wrapper: Vec<f64>,
    /// By row and load, without the wrapper.
    programs: BTreeMap<(String, Load), Vec<f64>>,
}

impl<'a> Measured<'a> {
    pub(super) fn new(rows: &'a [Row], loads: &'a [Load], rounds: u32, packets: u32) -> Self {
        Self { rows, loads, rounds, packets, wrapper: Vec::new(), programs: BTreeMap::new() }
    }

    /// Of the wrapper alone.
    pub(super) fn add_wrapper(&mut self, nanoseconds: f64) {
        self.wrapper.push(nanoseconds);
    }

    /// Of one row, without the wrapper.
    pub(super) fn add(&mut self, row: &Row, load: Load, nanoseconds: f64) {
        self.programs.entry((row.label(), load)).or_default().push(nanoseconds);
    }

    /// For people: what each costs, and what share of the reference that is.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["ns a packet".to_owned()].into_iter().chain(self.loads.iter().map(ToString::to_string)));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for row in self.rows {
            let cells = self.loads.iter().map(|load| self.cell(row, *load));
            table.add_row([row.label()].into_iter().chain(cells));
        }
        let wrapper = Summary::of(self.wrapper.iter().copied());
        let wrapper = wrapper.map(nanoseconds).unwrap_or_default();
        format!(
            "{table}\n\nmedians of {} rounds, ± half of what the middle half spans; × is the share of the reference, ✓ and ✗ \
             say whether that passes its bar\nthe wrapper itself, subtracted: {wrapper} ns\n",
            self.rounds
        )
    }

    fn cell(&self, row: &Row, load: Load) -> String {
        let Some(cost) = self.cost(row, load) else { return "–".to_owned() };
        if row.program == Program::Reference {
            return nanoseconds(cost);
        }
        if let Some(more) = self.more_than_ours(row, load) {
            return format!("{}  {:+.1} ns", nanoseconds(cost), more.median);
        }
        let share = self.share(row, load);
        let shown = share.map(|share| format!("  {:.2}×", share.median)).unwrap_or_default();
        format!("{}{shown} {}", nanoseconds(cost), mark(share, row.cost.bar(load)))
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().flat_map(|row| {
            self.loads.iter().filter_map(|load| {
                let share = self.share(row, *load);
                let bar = row.cost.bar(*load);
                Some(json!({
                    "name": row.label(),
                    "load": load.to_string(),
                    "nanoseconds": self.cost(row, *load)?,
                    "of_reference": share,
                    "more_than_ours": self.more_than_ours(row, *load),
                    "bar": bar,
                    "met": met(share, bar),
                }))
            })
        });
        json!({
            "bench": "kernel",
            "machine": crate::machine(),
            "rounds": self.rounds,
            "packets": self.packets,
            "wrapper_nanoseconds": Summary::of(self.wrapper.iter().copied()),
            "rows": rows.collect::<Vec<_>>(),
        })
    }

    fn of(&self, row: &Row, load: Load) -> &[f64] {
        self.programs.get(&(row.label(), load)).map_or(&[], Vec::as_slice)
    }

    fn cost(&self, row: &Row, load: Load) -> Option<Summary> {
        Summary::of(self.of(row, load).iter().copied())
    }

    /// What another build costs more than this one, in the same row.
    fn more_than_ours(&self, row: &Row, load: Load) -> Option<Summary> {
        let ours = self.rows.iter().find(|ours| ours.program == Program::Sluice && ours.is_like(row))?;
        if row.program != Program::Against {
            return None;
        }
        differences(self.of(row, load), self.of(ours, load))
    }

    /// The row's share of its family's reference; of replies, which the reference never sees, of its packets to servers.
    fn share(&self, row: &Row, load: Load) -> Option<Summary> {
        let reference = self.rows.iter().find(|other| other.program == Program::Reference && other.net == row.net)?;
        ratios(self.of(row, load), self.of(reference, load))
    }
}

fn nanoseconds(cost: Summary) -> String {
    format!("{:.1} ±{:.1}", cost.median, cost.spread())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::rows;

    /// Two rounds in which the reference costs 100 ns, the first way of ours 40 and the others 60.
    fn measured<'a>(rows: &'a [Row], loads: &'a [Load]) -> Measured<'a> {
        let mut measured = Measured::new(rows, loads, 2, 1_000);
        for _ in 0..2 {
            measured.add_wrapper(12.0);
            for row in rows {
                let cost = match (row.program, row.label().as_str()) {
                    (Program::Reference, _) => 100.0,
                    (_, "IPv4 direct") => 40.0,
                    _ => 60.0,
                };
                measured.add(row, Load::Known(100), cost);
            }
        }
        measured
    }

    #[test]
    fn the_table_marks_what_passes_and_what_does_not() {
        let rows = rows::all(None).unwrap();
        let text = measured(&rows, &[Load::Known(100)]).table();
        let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        assert!(line("IPv4 reference ").ends_with("100.0 ±0.0 "), "{text}");
        assert!(line("IPv4 direct ").contains("40.0 ±0.0  0.40× ✓"), "{text}");
        assert!(line("IPv4 nat ").contains("60.0 ±0.0  0.60× ✗"), "{text}");
        let reply = line("IPv4 nat, reply ");
        assert!(reply.contains("0.60×") && !reply.contains('✗'), "{text}");
    }

    #[test]
    fn the_json_has_a_row_for_what_was_measured_and_none_for_the_rest() {
        let rows = rows::all(None).unwrap();
        let json = measured(&rows, &[Load::Known(100), Load::New]).json();
        let found = json["rows"].as_array().unwrap();
        assert_eq!(found.len(), rows.len());
        assert_eq!(found[1]["of_reference"]["median"], 0.4);
        assert_eq!((&found[1]["bar"], &found[1]["met"]), (&json!(0.45), &json!(true)));
        assert_eq!(found[3]["met"], Value::Null);
    }

    #[test]
    fn another_build_is_told_by_what_it_costs_more() {
        let rows = rows::all(Some(rows::Rival::Sluice)).unwrap();
        let text = measured(&rows, &[Load::Known(100)]).table();
        let line = text.lines().find(|line| line.trim_start().starts_with("against: IPv4 direct ")).unwrap();
        assert!(line.contains("60.0 ±0.0  +20.0 ns"), "{text}");
    }
}
