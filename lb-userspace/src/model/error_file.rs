//! Error file: an answer of the operator's in place of one of ours. HAProxy's `errorfile`.

use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// By the status of the answer that each replaces; `None`: nothing is said there, the connection or stream just ends.
pub type ErrorFiles = BTreeMap<u16, Option<Arc<ErrorFile>>>;

/// The statuses of answers of ours that files may replace: HAProxy's `http_err_codes` (src/http.c).
pub const CODES: [u16; 21] =
    [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504];

/// A whole answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorFile {
    /// Its status, which need not be that of the answer that it replaces.
    pub status: u16,
    /// The text after the status.
    pub reason: Vec<u8>,
    /// Names and values of its fields, without those that say how it is carried.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its body.
    pub body: Bytes,
}
