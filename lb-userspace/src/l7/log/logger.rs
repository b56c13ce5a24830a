//! Logger: what a frontend logs, how, and where to.

use super::{
    CUT, Pen, Sinks,
    captured::Captures,
    frame::header,
    line::{Around, line},
    object::object,
    record::Record,
    sinks::Handle,
};
use crate::model::log::{Format, Log, Logging};
use std::sync::Arc;

/// The access log of a frontend. There is none for one that logs nothing.
#[derive(Debug)]
pub(crate) struct Logger {
    outputs: Vec<Output>,
    /// Fields of requests to be captured for [`Record::request_fields`].
    pub(crate) request: Captures,
    /// Fields of responses to be captured for [`Record::response_fields`].
    pub(crate) response: Captures,
    skip_null: bool,
    skip_normal: bool,
}

#[derive(Debug)]
struct Output {
    log: Log,
    sink: Arc<Handle>,
}

impl Logger {
    /// As configured, into `sinks`, which were made for the same configuration.
    pub(crate) fn new(logging: &Logging, sinks: &Sinks) -> Option<Self> {
        let output = |log: &Log| Some(Output { log: log.clone(), sink: Arc::clone(sinks.get(&log.target)?) });
        let outputs: Vec<_> = logging.targets.iter().filter_map(output).collect();
        (!outputs.is_empty()).then(|| Self {
            outputs,
            request: Captures::new(&logging.capture_request),
            response: Captures::new(&logging.capture_response),
            skip_null: logging.skip_null,
            skip_normal: logging.skip_normal,
        })
    }

    /// Logs it, unless the frontend skips such. Never waits, never fails: what cannot be kept is counted.
    pub(crate) fn log(&self, pen: &mut Pen, record: &Record<'_>) {
        let normal = record.is_normal();
        if self.skip_normal && normal || self.skip_null && record.is_null() {
            return;
        }
        for Output { log, sink } in &self.outputs {
            self.message(log, pen, record, !normal);
            sink.push(pen.thread, &pen.line);
        }
    }

    /// One complete message, in the pen's line.
    pub(crate) fn message(&self, log: &Log, pen: &mut Pen, record: &Record<'_>, failed: bool) {
        let Pen { line: message, clock, process, .. } = pen;
        message.clear();
        header(message, log.framing, failed, record.date + record.times.total(), process, clock);
        let room = log.length.saturating_sub(message.len());
        match &log.format {
            Format::Json => object(message, record, [&self.request, &self.response], clock, room),
            Format::Items(items) => {
                let captures = [self.request.len(), self.response.len()];
                line(message, items, record, Around { process, captures }, clock);
                if message.len() > log.length {
                    message.truncate(log.length.saturating_sub(CUT.len()));
                    message.extend_from_slice(CUT);
                }
            }
        }
        if log.target.is_stream() {
            message.push(b'\n');
        }
    }
}
