//! What heads of requests and of responses have in common: the fields are copied, and those that decide how long the message
//! and the connection last are noted on the way.

use super::super::message::{Fields, Length, Version};
use httparse::Header;
use std::{borrow::Cow, mem::MaybeUninit, ops::Range};

/// So many fields need no allocation to be found.
const FEW: usize = 128;

/// What is wrong with the fields of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Flaw {
    /// A line is no field.
    #[error("a header field is malformed")]
    Malformed,
    /// More than allowed.
    #[error("there are too many header fields")]
    TooMany,
    /// `Content-Length` is no number, or it is several.
    #[error("Content-Length is not one number")]
    Length,
    /// `Transfer-Encoding` does not end in one `chunked`.
    #[error("Transfer-Encoding does not end in chunked")]
    Coding,
    /// `Transfer-Encoding` has something before `chunked`.
    #[error("Transfer-Encoding has an unknown coding")]
    UnknownCoding,
}

/// Where httparse puts the fields that it finds.
pub(super) struct Room<'input> {
    few: [MaybeUninit<Header<'input>>; FEW],
    many: Vec<MaybeUninit<Header<'input>>>,
}

impl<'input> Room<'input> {
    pub(super) const fn new() -> Self {
        Self { few: [const { MaybeUninit::uninit() }; FEW], many: Vec::new() }
    }

    /// For so many fields.
    pub(super) fn of(&mut self, fields: usize) -> &mut [MaybeUninit<Header<'input>>] {
        if fields > FEW {
            self.many.resize_with(fields, MaybeUninit::uninit);
            return &mut self.many;
        }
        self.few.get_mut(..fields).unwrap_or_default()
    }
}

/// Fields, and what they say of the message and the connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that a head may or may not say")]
#[derive(Default)]
pub(super) struct Head {
    pub(super) fields: Fields,
    /// `Content-Length`; of a message that has no body also.
    pub(super) length: Option<u64>,
    /// Whether it is chunked, if there is `Transfer-Encoding`.
    pub(super) coding: Option<Result<(), Flaw>>,
    /// Whether there are different `Host`s.
    pub(super) hosts_differ: bool,
    /// Whether `Connection` lists `upgrade`.
    pub(super) upgrade: bool,
    /// Whether a coding was `chunked`, and one that servers may know.
    had_chunked: bool,
    had_known: bool,
    close: bool,
    keep_alive: bool,
}

impl Head {
    /// Of fields that httparse found in `text`.
    pub(super) fn new(text: &[u8], found: &[Header<'_>]) -> Result<Self, Flaw> {
        let mut head = Self { fields: Fields::of_text(text, found.len()), ..Self::default() };
        let mut length_is_list = false;
        for Header { name, value } in found {
            let value = unfolded(value);
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                4 if is("host") => {
                    if let Some(first) = head.fields.get("host") {
                        head.hosts_differ |= *first != *value;
                        continue;
                    }
                }
                10 if is("connection") => head.connection(&value),
                14 if is("content-length") => {
                    let known = head.length.is_some();
                    length_is_list |= value.contains(&b',');
                    head.length = Some(length(head.length, &value)?);
                    if known {
                        continue;
                    }
                }
                17 if is("transfer-encoding") => head.coding(&value),
                _ => {}
            }
            match (place(text, name.as_bytes()), place(text, &value)) {
                (Some(name), Some(value)) => head.fields.push_part(name, value),
                _ => head.fields.push(name, &value),
            }
        }
        if let (true, Some(length)) = (length_is_list, head.length) {
            head.fields.set("content-length", length.to_string());
        }
        if matches!(head.coding, Some(Ok(()))) {
            // It is a lie (RFC 9112 §6.3).
            head.fields.remove("content-length");
        }
        Ok(head)
    }

    fn connection(&mut self, value: &[u8]) {
        for word in elements(value) {
            self.close |= word.eq_ignore_ascii_case(b"close");
            self.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= word.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// `chunked` is the last coding, there once, and nothing is before it that we would have to undo.
    fn coding(&mut self, value: &[u8]) {
        for word in elements(value) {
            let is_chunked = word.eq_ignore_ascii_case(b"chunked");
            self.coding = Some(match self.coding {
                None if is_chunked => Ok(()),
                Some(Err(Flaw::Coding)) if is_chunked && !self.had_chunked && self.had_known => {
                    Err(Flaw::UnknownCoding)
                }
                // Not `chunked`, which would have to follow, or what would have to be undone after it.
                None | Some(_) => Err(Flaw::Coding),
            });
            self.had_chunked |= is_chunked;
            self.had_known |= [&b"gzip"[..], b"x-gzip", b"deflate", b"compress", b"x-compress"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known));
        }
    }

    /// Whether both of the fields that say how long a message is are there.
    pub(super) const fn is_ambiguous(&self) -> bool {
        self.length.is_some() && self.coding.is_some()
    }

    /// How long the message is by its fields; `None` if they do not say.
    pub(super) fn framing(&self) -> Result<Option<Length>, Flaw> {
        match self.coding {
            Some(coding) => coding.map(|()| Some(Length::Chunked)),
            None => Ok(self.length.map(Length::Exact)),
        }
    }

    /// Whether another message may follow on the connection.
    pub(super) fn is_persistent(&self, version: Version) -> bool {
        !self.close && !self.is_ambiguous() && (version > Version::Http10 || self.keep_alive)
    }
}

/// Where in `text` a part of it is; `None` if it is none, as what was unfolded.
fn place(text: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start + part.len();
    (end <= text.len()).then_some(start..end)
}

/// Elements of a list of words, without quotes.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The one number of all lines and elements (RFC 9110 §8.6: equal ones are one).
fn length(mut known: Option<u64>, value: &[u8]) -> Result<u64, Flaw> {
    for element in elements(value) {
        // What else `parse` takes is a sign.
        let digits = str::from_utf8(element).ok().filter(|text| !text.starts_with('+'));
        let number = digits.and_then(|digits| digits.parse().ok()).ok_or(Flaw::Length)?;
        if known.is_some_and(|known| known != number) {
            return Err(Flaw::Length);
        }
        known = Some(number);
    }
    known.ok_or(Flaw::Length)
}

/// A folded value in one line (RFC 9112 §5.2). httparse takes folded ones in responses only.
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\n') {
        return Cow::Borrowed(value);
    }
    let in_one_line: Vec<u8> =
        value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect();
    Cow::Owned(in_one_line.trim_ascii().to_vec())
}
