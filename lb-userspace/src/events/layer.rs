//! Layer: what of the daemon's own log is an event.

use super::{
    Event, Journal, Level,
    event::{ONE_TEXT, TEXT, cut},
};
use serde_json::Value;
use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::filter_fn, layer::Context, registry::LookupSpan};

/// The field that makes a line of the log an event, and says of which kind.
const EVENT: &str = "event";
const MESSAGE: &str = "message";

/// Takes events into `journal`, whatever else is logged. `process`: who we are.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(
    journal: &'static Journal,
    process: &'static str,
) -> impl Layer<S> {
    Noting { journal, process }.with_filter(filter_fn(is_event))
}

fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.fields().field(EVENT).is_some()
}

struct Noting {
    journal: &'static Journal,
    process: &'static str,
}

impl<S: Subscriber> Layer<S> for Noting {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut said = Said { left: TEXT, ..Said::default() };
        event.record(&mut said);
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            _ => Level::Info,
        };
        let event = Event {
            number: 0,
            at_us: micros(now),
            level,
            event: said.kind,
            message: said.message,
            process: self.process.to_owned(),
            pid: std::process::id(),
            fields: said.fields,
        };
        self.journal.note(event, false);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What the fields of a line say.
#[derive(Default)]
struct Said {
    kind: String,
    message: String,
    fields: Vec<(String, Value)>,
    /// Bytes of text that there is room for.
    left: usize,
}

impl Said {
    fn text(&mut self, field: &Field, text: &str) {
        let text = cut(text, ONE_TEXT.min(self.left));
        self.left = self.left.saturating_sub(text.len());
        match field.name() {
            EVENT => self.kind = text,
            MESSAGE => self.message = text,
            name => self.fields.push((name.to_owned(), Value::String(text))),
        }
    }

    fn value(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.push((field.name().to_owned(), value.into()));
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{debug, info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn what_has_a_kind_is_noted_with_all_that_it_says_and_nothing_else_is() {
        let journal: &'static Journal = Box::leak(Box::default());
        // Another layer that wants nothing changes nothing.
        let silent = tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(filter_fn(|_| false));
        let subscriber = tracing_subscriber::registry().with(silent).with(layer(journal, "worker"));
        tracing::subscriber::with_default(subscriber, || {
            info!(backend = "web", "no event");
            warn!(event = "server", backend = "web", to = %"down", lasted = 7_u64, ok = true, "server changed");
            debug!(event = "files", long = "x".repeat(3_000), "also at this level");
            info!(
                event = "reload",
                a = "a".repeat(2_000),
                b = "b".repeat(2_000),
                c = "c".repeat(2_000),
                d = "d".repeat(2_000),
                e = "e".repeat(2_000),
                "too much"
            );
        });
        let [server, files, reload] = &journal.after(0, 9)[..] else { panic!("three events") };
        assert_eq!(
            (server.event.as_str(), server.level, server.process.as_str()),
            ("server", Level::Warning, "worker")
        );
        assert_eq!(server.message, "server changed");
        let fields = serde_json::to_string(&server.fields).unwrap();
        assert_eq!(fields, r#"[["backend","web"],["to","down"],["lasted",7],["ok",true]]"#);
        assert!(files.fields[0].1.as_str().unwrap().len() <= ONE_TEXT);
        assert!(serde_json::to_string(reload).unwrap().len() < TEXT + 1_000);
    }
}
