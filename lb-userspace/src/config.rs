//! CONTROL PATH 1: from a file to a valid [`Model`], or to all its errors at once.
//!
//! In two steps, because a privileged supervisor reads files and an unprivileged worker loads them again:
//! [`collect`] does all reading, [`load`] none. Inside `load`:
//!
//! 1. `document`: text → spanned TOML tree (all errors of syntax);
//! 2. `read`: tree → structs of [`file`](mod@file), by hand instead of by serde, which stops at the first error;
//! 3. `validate`: structs → model, where the nouns meet each other.
//!
//! Each step reports into the same list and goes on with what is left, so that one run shows everything.

pub mod error;
pub mod bundle;
pub mod file;
pub mod outline;
pub mod schema;
pub mod shape;
pub mod units;

mod disk;
mod source;
mod alone;
mod suggest;
mod text;
mod address;
mod balance;
mod read;
mod knob;
mod document;
mod acl;
mod validate;
#[cfg(test)]
mod tests;

pub(crate) use acl::lists;
pub(crate) use alone::refusals;
pub use bundle::{Bundle, CollectError, ConfigFile, PemFile, collect};
pub(crate) use bundle::{certificate_paths, collect_certificates, collect_files};
pub use error::{Diagnostic, Diagnostics, Format, Severity};
pub use read::KnobDoc;
pub use source::{Position, Span};

use crate::model::Model;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub model: Model,
    /// What to look at all the same.
    pub warnings: Diagnostics,
    /// What could be better, for whoever asks: `sluice check` does.
    pub notes: Diagnostics,
}

/// From what [`collect`] read to the model. Pure: no files, no environment, no clock.
///
/// # Errors
/// Every error of every file, in their order; no warnings then, many of which would be mere consequences.
pub fn load(bundle: &Bundle) -> Result<Loaded, Diagnostics> {
    let (file, mut found) = document::read(bundle).map_err(|errors| Diagnostics::new(bundle, errors))?;
    let model = validate::validate(&file, bundle, &mut found);
    if found.iter().any(Diagnostic::is_error) {
        found.retain(Diagnostic::is_error);
        return Err(Diagnostics::new(bundle, found));
    }
    let (notes, warnings) = found.into_iter().partition(|found| found.severity == Severity::Note);
    let [warnings, notes] = [warnings, notes].map(|list| Diagnostics::new(bundle, list));
    Ok(Loaded { model, warnings, notes })
}

/// [`load`] of one text with an empty environment, one CPU and no certificate.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str) -> Result<Loaded, Diagnostics> {
    let file = ConfigFile { path: "sluice.toml".to_owned(), text: text.to_owned() };
    load(&Bundle { files: vec![file], cpus: 1, ..Bundle::default() })
}

/// The words of an ACL or a condition.
#[cfg(test)]
pub(crate) fn words_of(text: &str) -> Option<Vec<String>> {
    acl::words_of(text)
}
