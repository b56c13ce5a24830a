//! Error files: whole answers, read once.

use crate::{
    config::{
        bundle::Bundle,
        error::Diagnostic,
        read::{Knob, Named},
        source::At,
        suggest::listed,
        text::Text,
    },
    l7::http1::{
        Limits, hop,
        response::{Asked, Invalid, response},
    },
    l7::message::Length,
    model::{ErrorFile, ErrorFiles, error_file::CODES},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// Those of `[defaults]`, and `own` in place of them.
pub(super) fn error_files(
    own: &Knob<Named<Text>>,
    defaults: &Knob<Named<Text>>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> ErrorFiles {
    let mut files = BTreeMap::new();
    let typed = [defaults, own].into_iter().filter_map(Knob::value).flat_map(|Named(typed)| typed);
    for (status, file) in typed {
        match one(status, file, bundle) {
            Ok((status, file)) => _ = files.insert(status, file),
            // What is wrong in `[defaults]` is seen by everyone who inherits it.
            Err(error) if out.contains(&error) => {}
            Err(error) => out.push(error),
        }
    }
    files
}

fn one(status: &At<String>, file: &Text, bundle: &Bundle) -> Result<(u16, Option<Arc<ErrorFile>>), Diagnostic> {
    let code = CODES.into_iter().find(|code| code.to_string() == status.value).ok_or_else(|| {
        let error =
            Diagnostic::error(status.span, format!("there is no answer of ours with status `{}`", status.value));
        error
            .help(format!("those there are: {}", listed(CODES.map(|code| code.to_string()).iter().map(String::as_str))))
    })?;
    let bytes = match bundle.error_files.get(&file.value) {
        Some(Ok(bytes)) => bytes,
        Some(Err(why)) => return Err(Diagnostic::error(file.span, format!("cannot read `{file}`: {why}"))),
        None => return Err(Diagnostic::error(file.span, format!("the file `{file}` was not read"))),
    };
    if bytes.is_empty() {
        return Ok((code, None));
    }
    let answer = answer(bytes).map_err(|flaw| {
        let error = Diagnostic::error(file.span, format!("`{file}` is no answer: {flaw}"));
        error.help("it begins with a line such as `HTTP/1.1 503 Service Unavailable`; header fields and an empty line follow, then the body")
    })?;
    Ok((code, Some(Arc::new(answer))))
}

/// Why a file is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
enum Flaw {
    #[error(transparent)]
    Head(#[from] Invalid),
    #[error("its head has no end: the empty line after the header fields is missing")]
    Endless,
    #[error("{0} is no status from 200 to 599")]
    Status(u16),
    #[error("`content-length` is {said}, and the body has {has} bytes")]
    Length { said: u64, has: u64 },
    #[error("chunks are for transfer: the body stands as it is, without `transfer-encoding`")]
    Chunked,
    #[error("an answer with status {0} has no body")]
    Bodiless(u16),
}

/// The answer in a file. Lines of its head end with CRLF, or LF alone.
fn answer(bytes: &[u8]) -> Result<ErrorFile, Flaw> {
    let head = response(bytes, Asked::default(), &Limits::default())?.ok_or(Flaw::Endless)?;
    let (mut response, body) = (head.response, bytes.get(head.consumed..).unwrap_or_default());
    if !(200..=599).contains(&response.status) {
        return Err(Flaw::Status(response.status));
    }
    match head.length {
        _ if response.is_bodiless() && !body.is_empty() => return Err(Flaw::Bodiless(response.status)),
        Length::Exact(said) if said != body.len() as u64 => {
            return Err(Flaw::Length { said, has: body.len() as u64 });
        }
        Length::Chunked => return Err(Flaw::Chunked),
        Length::Exact(_) | Length::UntilClose => {}
    }
    hop::remove(&mut response.fields);
    let fields = response.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
    Ok(ErrorFile {
        status: response.status,
        fields: fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        reason: response.reason,
        body: Bytes::copy_from_slice(body),
    })
}
