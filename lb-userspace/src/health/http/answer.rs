//! Answer: what a server says to a request, as far as it came, and whether it is what is expected.

use crate::{
    health::{
        Code, Finding,
        finding::{Step, quote},
        wire::LIMIT,
    },
    l7::message::{Fields, fields::elements},
    model::check::{Expect, Expected, ExpectedHeader, Matching},
};
use bytes::BytesMut;
use std::borrow::Cow;

/// An answer, from when its head is there.
#[derive(Debug)]
pub(in crate::health) struct Answer {
    pub(in crate::health) status: u16,
    /// Empty in HTTP/2.
    pub(in crate::health) reason: Vec<u8>,
    pub(in crate::health) fields: Fields,
    /// The first of it, at most [`LIMIT`] bytes.
    pub(in crate::health) body: BytesMut,
    /// No more of the body will be looked at: it is whole, cut off, or as long as is looked at.
    pub(in crate::health) ended: bool,
    /// What came after the body.
    pub(in crate::health) trailers: Fields,
}

impl Answer {
    /// One whose body is still to come.
    pub(in crate::health) fn new(status: u16, reason: Vec<u8>, fields: Fields) -> Self {
        Self { status, reason, fields, body: BytesMut::new(), ended: false, trailers: Fields::default() }
    }

    /// Takes more of the body, as much as is looked at.
    pub(in crate::health) fn add(&mut self, data: &[u8]) {
        let room = LIMIT.saturating_sub(self.body.len());
        self.body.extend_from_slice(data.get(..room).unwrap_or(data));
        self.ended |= self.body.len() >= LIMIT;
    }

    /// Its status, in words.
    pub(in crate::health) fn status(&self) -> String {
        format!("status {}", self.status)
    }

    /// What is wrong with its status.
    fn wrong_status(&self) -> Finding {
        if self.reason.is_empty() {
            Finding::new(Code::L7Status, self.status())
        } else {
            Finding::refused(&self.status(), &self.reason)
        }
    }

    /// Whether it is as expected; `None`: that cannot be told yet. What is found first stands, however the answer is cut: so a
    /// regular expression looks at a body that has ended, for what follows may change what it finds.
    ///
    /// In so many bytes of the body, `looked`, a text was not found before.
    fn is_as(&self, expected: &Expect, looked: usize) -> Option<Step<()>> {
        let Expect { not, what } = expected;
        let holds = match what {
            Expected::Status(statuses) => statuses.contains(&self.status),
            Expected::StatusRegex(regex) => regex.0.is_match(format!("{:03}", self.status).as_bytes()),
            Expected::Header(wanted) => {
                let found = find(&self.fields, wanted);
                return Some(if found.holds == *not { Err(self.wrong_header(wanted, &found, *not)) } else { Ok(()) });
            }
            Expected::Body(_) | Expected::BodyRegex(_) if self.body.is_empty() => {
                return self.ended.then(|| Err(Finding::strange(format!("{}, no body", self.status()))));
            }
            Expected::Body(text) => {
                let new = looked.saturating_sub(text.len());
                let holds = contains(self.body.get(new..).unwrap_or_default(), text.as_bytes());
                if !holds && !self.ended {
                    return None;
                }
                holds
            }
            Expected::BodyRegex(_) if !self.ended => return None,
            Expected::BodyRegex(regex) => regex.0.is_match(&self.body),
        };
        Some(match what {
            _ if holds != *not => Ok(()),
            Expected::Body(_) | Expected::BodyRegex(_) => {
                let which = if *not { "unwanted body" } else { "other body" };
                Err(Finding::strange(format!("{}, {which}: {}", self.status(), quote(&self.body))))
            }
            Expected::Status(_) | Expected::StatusRegex(_) | Expected::Header(_) => Err(self.wrong_status()),
        })
    }

    fn wrong_header(&self, wanted: &ExpectedHeader, found: &Found<'_>, not: bool) -> Finding {
        let status = self.status();
        let detail = match found.last {
            None => format!("{status}, no header {}", quote(wanted.name.text().as_bytes())),
            Some((name, value)) => {
                let which = if not { "unwanted header" } else { "other header" };
                format!("{status}, {which} {}: {}", quote(name), quote(value))
            }
        };
        Finding::new(Code::L7Status, detail)
    }
}

/// What was found in the headers.
struct Found<'a> {
    holds: bool,
    /// The last header of a name that fits, up to the one that holds.
    last: Option<(&'a [u8], &'a [u8])>,
}

fn find<'a>(fields: &'a Fields, wanted: &ExpectedHeader) -> Found<'a> {
    let mut last = None;
    for (name, value) in fields.iter().filter(|(name, _)| wanted.name.fits(name, true)) {
        last = Some((name, value));
        let holds = match &wanted.value {
            None => true,
            Some(matching) if wanted.whole => matching.fits(value, false),
            Some(matching) => elements(value).any(|element| matching.fits(element, false)),
        };
        if holds {
            return Found { holds, last };
        }
    }
    Found { holds: false, last }
}

impl Matching {
    /// Whether these bytes are so; `folds`: regardless of case, of which a regular expression knows by itself.
    fn fits(&self, bytes: &[u8], folds: bool) -> bool {
        let (bytes, text) = match self {
            Self::Regex(pattern) => return pattern.0.is_match(bytes),
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) if folds => {
                (Cow::Owned(bytes.to_ascii_lowercase()), Cow::Owned(text.to_ascii_lowercase()))
            }
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) => {
                (Cow::Borrowed(bytes), Cow::Borrowed(text.as_str()))
            }
        };
        match self {
            Self::Exact(_) => *bytes == *text.as_bytes(),
            Self::Prefix(_) => bytes.starts_with(text.as_bytes()),
            Self::Suffix(_) => bytes.ends_with(text.as_bytes()),
            Self::Contains(_) => contains(&bytes, text.as_bytes()),
            Self::Regex(_) => false,
        }
    }

    /// As written.
    fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) => text,
            Self::Regex(pattern) => pattern.0.as_str(),
        }
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}

/// Looks at an answer while it comes.
#[derive(Debug)]
pub(in crate::health) struct Judge<'a> {
    /// What still has to hold.
    expected: &'a [Expect],
    /// A 404 is not looked at any further.
    disable_on_404: bool,
    /// Bytes of the body in which the first of it was not found.
    looked: usize,
}

impl<'a> Judge<'a> {
    pub(in crate::health) fn new(expected: &'a [Expect], disable_on_404: bool) -> Self {
        Self { expected, disable_on_404, looked: 0 }
    }

    /// Whether all holds; `None`: that cannot be told yet.
    pub(in crate::health) fn look(&mut self, answer: &Answer) -> Option<Step<()>> {
        if self.disable_on_404 && answer.status == 404 {
            return Some(Err(Finding::new(Code::L7OkConditionally, answer.status())));
        }
        while let [next, rest @ ..] = self.expected {
            match answer.is_as(next, self.looked) {
                Some(Ok(())) => (self.expected, self.looked) = (rest, 0),
                Some(Err(found)) => return Some(Err(found)),
                None => {
                    self.looked = answer.body.len();
                    return None;
                }
            }
        }
        Some(Ok(()))
    }
}
