//! Id: what tells one request from all others, for servers and for the log.

use super::{
    Pen,
    line::{Around, line},
    record::Record,
    write::hex,
};
use crate::model::log::UniqueId;

/// How a frontend's requests get their ids.
#[derive(Debug)]
pub(crate) struct Ids(UniqueId);

impl Ids {
    /// As configured.
    pub(crate) fn new(unique_id: &UniqueId) -> Self {
        Self(unique_id.clone())
    }

    /// The field that carries it to servers. What the client sent there is to be replaced.
    pub(crate) fn header(&self) -> &str {
        &self.0.header
    }

    /// A new one. Of `record` only what is known when a request begins is looked at: the addresses, the date, the number.
    pub(crate) fn make(&self, pen: &mut Pen, record: &Record<'_>) -> Vec<u8> {
        let mut id = Vec::with_capacity(64);
        match &self.0.format {
            None => {
                hex(&mut id, pen.random.u64(..), 16);
                hex(&mut id, pen.random.u64(..), 16);
                id.make_ascii_lowercase();
            }
            Some(items) => {
                let around = Around { process: &pen.process, captures: [0, 0] };
                line(&mut id, items, record, around, &mut pen.clock);
            }
        }
        id
    }
}
