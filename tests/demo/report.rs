//! How the demo is told: a line a step, a bar a server, or all of it as JSON.

use anyhow::{Error, Result};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write, stdout},
    process::ExitCode,
};
use tokio::time::Instant;

/// Columns that the text of a step takes before its time.
const WIDTH: usize = 96;

/// Columns of a bar that stands for the whole ring.
const BAR: f64 = 50.0;

/// Colours, as terminals number them.
const GREEN: &str = "32";
const RED: &str = "31";

/// What was told so far.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    terminal: bool,
    start: Instant,
    steps: Vec<Value>,
    facts: Map<String, Value>,
    failed: usize,
}

impl Report {
    /// An empty report, printed as text while it grows or as JSON at its end.
    pub(crate) fn new(json: bool) -> Self {
        let terminal = stdout().is_terminal();
        Self { json, terminal, start: Instant::now(), steps: Vec::new(), facts: Map::new(), failed: 0 }
    }

    /// Prints a line, unless the report is JSON.
    pub(crate) fn say(&self, line: &str) {
        if !self.json {
            println!("{line}");
        }
    }

    /// Keeps a number or a text for the JSON report.
    pub(crate) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Does a step. `work` returns what the next steps need, and what there is to say about it.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        let started = Instant::now();
        if self.terminal && !self.json {
            print!("  … {name}\r");
            drop(stdout().flush());
        }
        let (result, detail) = match work() {
            Ok((result, detail)) => (Ok(result), detail),
            Err(error) => (Err(error), String::new()),
        };
        let seconds = started.elapsed().as_secs_f64();
        match &result {
            Ok(_) => {
                let text = if detail.is_empty() { name.to_owned() } else { format!("{name}: {detail}") };
                self.say(&format!("  {} {text:<WIDTH$} {seconds:>5.1} s", self.paint(GREEN, "✓")));
            }
            Err(error) => self.complain(name, error),
        }
        let problem = result.as_ref().err().map(|error| format!("{error:#}"));
        self.steps.push(json!({
            "step": name, "held": problem.is_none(), "seconds": seconds, "detail": detail, "problem": problem,
        }));
        result
    }

    /// A step that only checks: the story goes on if it does not hold.
    pub(crate) fn check(&mut self, name: &str, work: impl FnOnce() -> Result<String>) {
        // A failure is counted and told by `step`.
        self.step(name, || Ok(((), work()?))).unwrap_or_default();
    }

    /// Shows how a ring is shared out.
    pub(crate) fn shares(&mut self, when: &str, shares: &BTreeMap<String, f64>) {
        self.say(&format!("\n    ring {when}"));
        for (server, share) in shares {
            self.say(&format!("    {server:<7} {:<27} {:>5.1} %", bar(*share), share * 100.0));
        }
        self.say("");
        self.fact(&format!("shares_{}", when.replace(' ', "_")), json!(shares));
    }

    /// Ends the report. An error that ended the story early is told here, unless the step that met it told already.
    pub(crate) fn end(mut self, told: Result<()>) -> ExitCode {
        if let Err(error) = told
            && self.failed == 0
        {
            self.step("the story came to its end", || Err::<((), String), _>(error)).unwrap_or_default();
        }
        let held = self.failed == 0;
        let seconds = self.start.elapsed().as_secs_f64();
        if self.json {
            let mut all = self.facts;
            all.insert("held".to_owned(), json!(held));
            all.insert("seconds".to_owned(), json!(seconds));
            all.insert("steps".to_owned(), Value::Array(self.steps));
            println!("{}", Value::Object(all));
        } else {
            let steps = self.steps.len();
            let verdict =
                if held { self.paint(GREEN, "Everything held") } else { self.paint(RED, "Not everything held") };
            println!("\n  {verdict}: {} of {steps} steps, {seconds:.1} s.\n", steps - self.failed);
        }
        if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Colours a text, where there is a terminal to show it.
    fn paint(&self, colour: &str, text: &str) -> String {
        if self.terminal { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn complain(&mut self, name: &str, error: &Error) {
        self.failed += 1;
        self.say(&format!("  {} {name}", self.paint(RED, "✗")));
        for line in format!("{error:#}").lines() {
            self.say(&format!("      {line}"));
        }
    }
}

/// A share from 0 to 1 as a bar, exact to an eighth of a column.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8 × BAR")]
    let eighths = (share.clamp(0.0, 1.0) * BAR * 8.0) as usize;
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_share() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1.0).chars().count(), 50);
        assert_eq!(bar(0.5), "█".repeat(25));
        assert_eq!(bar(0.5 / BAR), "▌");
    }

    #[test]
    fn an_early_end_fails_the_report() {
        assert_eq!(Report::new(true).end(Err(anyhow::anyhow!("because"))), ExitCode::FAILURE);
        assert_eq!(Report::new(true).end(Ok(())), ExitCode::SUCCESS);
    }

    #[test]
    fn a_failed_check_fails_the_report_and_the_story_goes_on() {
        let mut report = Report::new(true);
        report.check("fails", || anyhow::bail!("because"));
        report.check("holds", || Ok(String::new()));
        assert_eq!((report.steps.len(), report.failed), (2, 1));
        assert_eq!(report.end(Ok(())), ExitCode::FAILURE);
    }
}
