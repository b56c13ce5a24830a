//! Where events go.

use super::{
    log::{Around, target},
    range,
};
use crate::{
    config::{
        error::Diagnostic,
        file::{EventLog as Typed, EventLogForm},
        read::{Knob, OneOrMany},
        source::{At, Span},
    },
    model::log::{EventFormat, EventLog},
};
use std::ops::RangeInclusive;

pub(super) fn event_logs(knob: &Knob<OneOrMany<EventLogForm>>, out: &mut Vec<Diagnostic>) -> Vec<EventLog> {
    let mut logs: Vec<(EventLog, Span)> = Vec::new();
    for At { value: EventLogForm(typed), span } in knob.value().map_or(&[][..], |OneOrMany(logs)| logs) {
        let Some(log) = one(typed, *span, out) else { continue };
        match logs.iter().find(|(other, _)| other.target == log.target) {
            Some((_, first)) => {
                let error = Diagnostic::error(*span, format!("events go to `{}` twice", log.target));
                out.push(error.related(*first, "first here"));
            }
            None => logs.push((log, *span)),
        }
    }
    logs.into_iter().map(|(log, _)| log).collect()
}

fn one(typed: &Typed, span: Span, out: &mut Vec<Diagnostic>) -> Option<EventLog> {
    if typed.to.is_absent() {
        let error = Diagnostic::error(span, "an event log needs `to`: where lines go");
        out.push(error.help("such as to = \"file:/var/log/sluice/events.log\""));
    }
    let target = typed.to.value().and_then(|to| target(to, out))?;
    let Typed { framing, facility, level, error_level, .. } = typed;
    let around = Around { framing, facility, level, error_level, levels: (NOTICE, Some(WARNING)) };
    let framing = around.framing(&target, out);
    let length = range::number(&typed.length, "length", LENGTHS, LENGTH, out).into();
    Some(EventLog { target, format: typed.format.or(EventFormat::Json), framing, length })
}

const NOTICE: u8 = 5;
const WARNING: u8 = 4;
const LENGTH: u16 = 4_096;
/// Room for all names of ours.
const LENGTHS: RangeInclusive<u16> = 512..=u16::MAX;
