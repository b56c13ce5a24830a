//! From the texts of a bundle to one [`File`]: TOML first, then types, then the merging of several files.

use super::{
    bundle::Bundle,
    error::Diagnostic,
    file::File,
    read::{FromToml, Reader},
    source::{Sources, Span, line_of, line_starts},
};
use std::collections::BTreeSet;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

/// What was read, and what was wrong with it.
///
/// # Errors
/// If a file is not TOML, only the errors of syntax: what a recovering parser dropped would otherwise come up
/// again as keys and backends that are missing.
pub(crate) fn read(bundle: &Bundle) -> Result<(File, Vec<Diagnostic>), Vec<Diagnostic>> {
    let sources = Sources::new(&bundle.files);
    let mut out = Vec::new();
    let mut documents = Vec::new();
    for (file, base) in bundle.files.iter().zip(sources.bases()) {
        let (document, errors) = DeTable::parse_recoverable(&file.text);
        out.extend(syntax_errors(&errors, base, &file.text));
        documents.push((file, base, document));
    }
    if !out.is_empty() {
        return Err(out);
    }
    let mut merged = File::default();
    for (file, base, document) in documents {
        let mut reader =
            Reader { text: &file.text, base, environment: &bundle.environment, key: String::new(), out: Vec::new() };
        let whole = Spanned::new(document.span(), DeValue::Table(document.into_inner()));
        let read = File::from_toml(&whole, &mut reader).unwrap_or_default();
        out.append(&mut reader.out);
        merged.absorb(read, &mut out);
    }
    Ok((merged, out))
}

/// One error a line: what else the parser stumbles over there is a consequence.
fn syntax_errors(errors: &[Error], base: usize, text: &str) -> Vec<Diagnostic> {
    let (starts, mut lines) = (line_starts(text), BTreeSet::new());
    let mut found = Vec::new();
    for error in errors {
        let range = error.span().unwrap_or(text.len()..text.len());
        if lines.insert(line_of(&starts, range.start)) {
            let span = Span { start: base + range.start, end: base + range.end };
            found.push(Diagnostic::error(span, format!("not valid TOML: {}", error.message())));
        }
    }
    found
}
