//! Captured: the header fields that a frontend wants in its log, copied when they pass.

use crate::{l7::message::Fields, model::log::Capture};
use std::ops::Range;

/// Which fields of a request, or of a response, are captured. In the order of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captures(Vec<Capture>);

/// What was captured of one message: a place for every field asked for, filled or not. Cheap while empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    text: Vec<u8>,
    parts: Vec<Option<Range<usize>>>,
}

impl Captures {
    /// These.
    pub(crate) fn new(captures: &[Capture]) -> Self {
        Self(captures.to_vec())
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name of each.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|capture| capture.name.as_str())
    }

    /// Copies them from a message: from a request as it came, from a response as it goes to the client. Of several fields of
    /// a name the last counts, as with HAProxy; what is longer than its bound is cut.
    pub(crate) fn take(&self, fields: &Fields) -> Captured {
        let mut captured = Captured::default();
        for Capture { name, length } in &self.0 {
            captured.push(fields.all(name).last().map(|value| value.get(..*length).unwrap_or(value)));
        }
        captured
    }
}

impl Captured {
    /// Of a message that there was not.
    pub(crate) const NONE: &'static Self = &Self { text: Vec::new(), parts: Vec::new() };

    fn push(&mut self, value: Option<&[u8]>) {
        let part = value.map(|value| {
            let start = self.text.len();
            self.text.extend_from_slice(value);
            start..self.text.len()
        });
        self.parts.push(part);
    }

    /// The value at each place.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.parts.iter().map(|part| self.text.get(part.clone()?))
    }
}
