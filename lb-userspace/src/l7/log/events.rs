//! Events as lines of a log, beside those of requests: the same targets and queues.

use super::{
    CUT, Sinks,
    clock::Clock,
    frame::{Process, header},
    sinks::Handle,
    write::{json, number},
};
use crate::{
    events::{Event, Level},
    model::log::{EventFormat, EventLog, Framing},
};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Bytes that are kept of each text, tried in this order until the line is short enough.
const KEPT: [usize; 4] = [usize::MAX, 256, 32, 0];

/// Where events go, and how.
#[derive(Debug)]
pub(crate) struct EventLogger {
    log: EventLog,
    sink: Arc<Handle>,
    process: Process,
    clock: Mutex<Clock>,
}

impl EventLogger {
    /// Of these logs, into `sinks`, which were made for them.
    pub(crate) fn all(logs: &[EventLog], sinks: &Sinks) -> Vec<Self> {
        let logger = |log: &EventLog| {
            let sink = Arc::clone(sinks.get(&log.target)?);
            Some(Self { log: log.clone(), sink, process: Process::this(), clock: Mutex::default() })
        };
        logs.iter().filter_map(logger).collect()
    }

    /// Logs it. Never waits, never fails: what cannot be kept is counted.
    pub(crate) fn log(&self, event: &Event) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let line = message(&self.log, event, &self.process, &mut clock);
        self.sink.push(0, &line);
    }
}

/// One complete message.
fn message(log: &EventLog, event: &Event, process: &Process, clock: &mut Clock) -> Vec<u8> {
    let mut message = Vec::with_capacity(512);
    let at = UNIX_EPOCH + Duration::from_micros(event.at_us);
    header(&mut message, log.framing, event.level != Level::Info, at, process, clock);
    let room = log.length.saturating_sub(message.len());
    match log.format {
        EventFormat::Json => object(&mut message, event, at, clock, room),
        EventFormat::Text => {
            if log.framing == Framing::Raw {
                clock.rfc3339(&mut message, at);
                message.push(b' ');
            }
            text(&mut message, event);
            if message.len() > log.length {
                message.truncate(log.length.saturating_sub(CUT.len()));
                message.extend_from_slice(CUT);
            }
        }
    }
    if log.target.is_stream() {
        message.push(b'\n');
    }
    message
}

/// An event as a line of words, with its time.
pub(crate) fn line(line: &mut Vec<u8>, event: &Event) {
    Clock::default().rfc3339(line, UNIX_EPOCH + Duration::from_micros(event.at_us));
    line.push(b' ');
    text(line, event);
    line.push(b'\n');
}

/// `warning server: server changed backend=web server=web1 to=down reason="L4CON in 1ms"`: what could be taken for something
/// else is quoted as in JSON, and only ASCII is not.
fn text(line: &mut Vec<u8>, event: &Event) {
    line.extend_from_slice(event.level.word().as_bytes());
    line.push(b' ');
    line.extend_from_slice(event.event.as_bytes());
    line.extend_from_slice(b": ");
    line.extend(event.message.bytes().filter(|byte| (32..127).contains(byte)));
    for (name, value) in &event.fields {
        line.push(b' ');
        line.extend_from_slice(name.as_bytes());
        line.push(b'=');
        match value {
            Value::String(text) if is_plain(text) => line.extend_from_slice(text.as_bytes()),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                json_value(line, value, usize::MAX);
            }
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'))
}

/// The same as one JSON object, of at most `length` bytes, if its names leave room for that.
fn object(line: &mut Vec<u8>, event: &Event, at: SystemTime, clock: &mut Clock, length: usize) {
    let start = line.len();
    for kept in KEPT {
        line.truncate(start);
        line.extend_from_slice(b"{\"time\":\"");
        clock.rfc3339(line, at);
        line.push(b'"');
        let words = [("level", event.level.word()), ("event", &event.event), ("message", &event.message)];
        for (key, word) in words.into_iter().chain([("process", event.process.as_str())]) {
            name(line, key);
            json(line, word.as_bytes(), usize::MAX);
        }
        name(line, "process_id");
        number(line, event.pid.into());
        for (key, value) in &event.fields {
            name(line, key);
            json_value(line, value, kept);
        }
        name(line, "truncated");
        line.extend_from_slice(if kept == usize::MAX { b"false" } else { b"true" });
        line.push(b'}');
        if line.len() - start <= length {
            return;
        }
    }
}

fn name(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

fn json_value(line: &mut Vec<u8>, value: &Value, kept: usize) {
    match value {
        Value::String(text) => json(line, text.as_bytes(), kept),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            line.extend_from_slice(value.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::Journal,
        model::log::{Dialect, Target},
    };
    use serde_json::json;
    use std::collections::BTreeMap;

    fn event() -> Event {
        Event {
            number: 1,
            at_us: 1_796_025_600_123_456,
            level: Level::Warning,
            event: "server".to_owned(),
            message: "server changed".to_owned(),
            process: "worker".to_owned(),
            pid: 7,
            fields: vec![
                ("backend".to_owned(), json!("web")),
                ("reason".to_owned(), json!("L7STS: \"no\"\n\u{1b}[31m é")),
                ("lasted_ms".to_owned(), json!(12)),
                ("up".to_owned(), json!(false)),
                ("empty".to_owned(), json!("")),
            ],
        }
    }

    fn log(format: EventFormat, framing: Framing, length: usize) -> EventLog {
        EventLog { target: Target::Stdout, format, framing, length }
    }

    fn written(log: &EventLog) -> String {
        let process = Process { host: "host".into(), pid: 9 };
        String::from_utf8(message(log, &event(), &process, &mut Clock::default())).expect("text")
    }

    #[test]
    fn an_event_is_an_object_and_nothing_in_it_ends_the_line() {
        let line = written(&log(EventFormat::Json, Framing::Raw, 4_096));
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1 && !line.contains('\u{1b}'), "{line}");
        let object: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            (&object["event"], &object["level"], &object["process_id"]),
            (&json!("server"), &json!("warning"), &json!(7))
        );
        assert_eq!(object["reason"], json!("L7STS: \"no\"\n\u{1b}[31m é"));
        assert_eq!(
            (&object["lasted_ms"], &object["up"], &object["truncated"]),
            (&json!(12), &json!(false), &json!(false))
        );
        let short = written(&log(EventFormat::Json, Framing::Raw, 100));
        let object: Value = serde_json::from_str(&short).expect("JSON");
        assert_eq!((&object["truncated"], &object["reason"]), (&json!(true), &json!("")));
    }

    #[test]
    fn an_event_is_a_line_of_words() {
        let line = written(&log(EventFormat::Text, Framing::Raw, 4_096));
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.contains('T') && time.contains(".123"), "{time}");
        let words = "warning server: server changed backend=web reason=\"L7STS: \\\"no\\\"\\u000A\\u001B[31m é\" lasted_ms=12 \
                     up=false empty=\"\"\n";
        assert_eq!(rest, words);
        let framing = Framing::Syslog { dialect: Dialect::Rfc5424, facility: 3, level: 6, error_level: 4 };
        let line = written(&log(EventFormat::Text, framing, 4_096));
        assert!(line.starts_with("<28>1 ") && line.contains(" host sluice 9 - - warning server: "), "{line}");
        let line = written(&log(EventFormat::Text, framing, 80));
        assert!(line.len() == 81 && line.ends_with("...\n"), "{line}");
    }

    #[tokio::test]
    async fn what_happened_before_it_was_known_where_events_go_is_written_too_and_nothing_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events.log");
        let log = EventLog { target: Target::File(path.clone()), ..log(EventFormat::Text, Framing::Raw, 4_096) };
        let opened = super::super::outlet::open(&path).expect("a file");
        let files = BTreeMap::from([(path.clone(), opened)]);
        let sinks = Sinks::default().update(std::iter::empty(), std::slice::from_ref(&log), files, 1).expect("sinks");
        let named = |name: &str| Event { message: name.to_owned(), ..event() };
        let journal = Journal::default();
        journal.note(named("written by the worker before"), true);
        journal.note(named("at the start"), false);
        journal.note(named("written by the binary before"), true);
        journal.log_to(EventLogger::all(std::slice::from_ref(&log), &sinks));
        journal.note(named("later"), false);
        journal.note(named("again"), true);
        journal.log_to(EventLogger::all(std::slice::from_ref(&log), &sinks));
        let report = sinks.report();
        sinks.close(Duration::from_secs(5)).await;
        let text = std::fs::read_to_string(&path).expect("a file");
        let lines: Vec<_> = text.lines().filter_map(|line| line.split_once(": ")?.1.split_once(" backend")).collect();
        assert_eq!(lines.iter().map(|(message, _)| *message).collect::<Vec<_>>(), ["at the start", "later"], "{text}");
        assert_eq!((report.len(), report[0].lost), (1, 0));
    }
}
