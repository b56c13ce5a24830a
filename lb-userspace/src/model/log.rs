//! Access logs: what is logged, how it is written and where to.

/// A header field that goes into the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capture {
    /// Its name.
    pub name: String,
    /// Bytes of it that are kept, at most.
    pub length: usize,
}
