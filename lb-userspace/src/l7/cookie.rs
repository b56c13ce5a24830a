//! Cookie: which server a client had, by the cookie that it brings, and what answers say about it. Pure.
//!
//! As HAProxy (http_ana.c), so that its cookies are understood and ours are by it: also the dates, which follow the value in
//! base 64, in units of four seconds, as `value|last` or `value|last|first`.

mod dates;
mod pairs;

use super::{
    log::termination,
    message::{Method, Request, Response},
};
use crate::{
    model::{Backend, Cookie, cookie::CookieMode},
    servers::Available,
};
use dates::Dates;

/// A date further ahead than this is a clock gone wrong: it is not believed. In seconds.
const FUTURE: u64 = 86_400;

/// The cookie of a backend and its values.
#[derive(Debug)]
pub(super) struct Persistence {
    cookie: Cookie,
    /// Of each server.
    values: Vec<Option<String>>,
}

/// What a request's cookie says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Binding {
    /// The server that it is bound to.
    pub(super) server: Option<usize>,
    /// Third letter of the termination state.
    pub(super) letter: Letter,
    dates: Dates,
}

/// HAProxy's letter for the cookie of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Letter {
    /// There is none.
    None,
    /// It names no server.
    Invalid,
    /// Its server is down.
    Down,
    /// It names a server that is used.
    Valid,
    /// It was not used for too long.
    Expired,
    /// It is too old.
    Old,
}

impl From<Letter> for termination::Cookie {
    fn from(letter: Letter) -> Self {
        match letter {
            Letter::None => Self::Absent,
            Letter::Invalid => Self::Invalid,
            Letter::Down => Self::Down,
            Letter::Valid => Self::Valid,
            Letter::Expired => Self::Expired,
            Letter::Old => Self::Old,
        }
    }
}

impl Persistence {
    /// That of a backend, if it has one.
    pub(super) fn new(backend: &Backend) -> Option<Self> {
        let values = backend.servers.iter().map(|server| server.cookie.clone()).collect();
        Some(Self { cookie: backend.cookie.clone()?, values })
    }

    /// The server that the request's cookie names, and the request as that server is to see it. `now` in seconds of the Unix
    /// epoch.
    pub(super) fn read(&self, request: &mut Request, available: &Available, now: u64) -> Binding {
        let mut binding = Binding { server: None, letter: Letter::None, dates: Dates::default() };
        if let Some(value) = pairs::find(&request.fields, self.cookie.name.as_bytes()) {
            binding = self.binding(value, available, now);
        }
        let name = self.cookie.name.as_bytes();
        match self.cookie.mode {
            CookieMode::Insert if self.cookie.indirect => pairs::change(&mut request.fields, name, |_| None),
            CookieMode::Prefix => {
                let own = |value: &[u8]| {
                    let mark = value.iter().position(|byte| *byte == b'~');
                    Some(mark.and_then(|mark| value.get(mark + 1..)).unwrap_or(value).to_vec())
                };
                pairs::change(&mut request.fields, name, own);
            }
            CookieMode::Insert | CookieMode::Rewrite => {}
        }
        binding
    }

    fn binding(&self, value: &[u8], available: &Available, now: u64) -> Binding {
        let ends_at = if self.cookie.mode == CookieMode::Prefix { b'~' } else { b'|' };
        let end = value.iter().position(|byte| *byte == ends_at);
        let binding = |server, letter, dates| Binding { server, letter, dates };
        let (name, dates) = match (self.cookie.mode, end) {
            // Without the mark, all of it is the server's.
            (CookieMode::Prefix, None) => return binding(None, Letter::Invalid, Dates::default()),
            (CookieMode::Prefix, Some(end)) => (value.get(..end), Dates::default()),
            (CookieMode::Insert | CookieMode::Rewrite, Some(end)) => (value.get(..end), Dates::read(value.get(end..))),
            (CookieMode::Insert | CookieMode::Rewrite, None) => (Some(value), Dates::default()),
        };
        let is_past = |date: Option<u64>, limit: Option<std::time::Duration>| {
            let pair = date.zip(limit);
            pair.is_some_and(|(date, limit)| {
                now.saturating_sub(date) > limit.as_secs() || date.saturating_sub(now) > FUTURE
            })
        };
        if is_past(dates.first, self.cookie.maxlife) {
            return binding(None, Letter::Old, Dates::default());
        }
        if is_past(dates.last, self.cookie.maxidle) {
            return binding(None, Letter::Expired, Dates::default());
        }
        let named = |value: &Option<String>| value.as_ref().map(String::as_bytes) == name;
        let mut servers = self.values.iter().enumerate().filter(|(_, value)| named(value)).map(|(server, _)| server);
        let mut alive = servers.clone().filter(|server| available.keeps(*server));
        match (alive.next(), servers.next()) {
            (Some(server), _) => binding(Some(server), Letter::Valid, dates),
            (None, Some(server)) => binding(self.cookie.persist.then_some(server), Letter::Down, dates),
            (None, None) => binding(None, Letter::Invalid, dates),
        }
    }

    /// The answer as the client is to see it. `server` is the one that answered. Returns the fourth letter of the termination
    /// state: `N` nothing, `I` inserted, `U` updated, `P` the server's was left alone, `R` rewritten, `D` deleted.
    pub(super) fn write(
        &self,
        response: &mut Response,
        binding: &Binding,
        server: usize,
        method: &Method,
        now: u64,
    ) -> char {
        let value = self.values.get(server).and_then(Option::as_deref);
        let is_direct = binding.server == Some(server);
        let name = self.cookie.name.as_bytes();
        let found = pairs::is_set(&response.fields, name);
        let mut letter = if found { 'P' } else { 'N' };
        match (self.cookie.mode, value) {
            _ if !found => {}
            (CookieMode::Insert, _) if !self.cookie.preserve => {
                response.fields.retain(|field, set| !pairs::sets(field, set, name));
                letter = 'D';
            }
            (CookieMode::Rewrite, Some(value)) => {
                pairs::change_set(&mut response.fields, name, |_| value.as_bytes().to_vec());
                letter = 'R';
            }
            (CookieMode::Prefix, Some(value)) => {
                pairs::change_set(&mut response.fields, name, |own| [value.as_bytes(), b"~", own].concat());
                letter = 'R';
            }
            (CookieMode::Insert | CookieMode::Rewrite | CookieMode::Prefix, _) => {}
        }
        let is_left = found && self.cookie.preserve;
        let is_needed = !is_direct || self.is_refresh_due(binding.dates, now);
        let may = !self.cookie.postonly || *method == Method::Post;
        if self.cookie.mode != CookieMode::Insert || is_left || !is_needed || !may {
            if letter == 'R' {
                self.keep_from_caches(response);
            }
            return letter;
        }
        response.fields.push("set-cookie", self.line(value, binding.dates, now));
        self.keep_from_caches(response);
        if is_direct && value.is_some() { 'U' } else { 'I' }
    }

    /// Whether the right server is named, but the dates are not as they should be.
    fn is_refresh_due(&self, dates: Dates, now: u64) -> bool {
        let ages = self.cookie.maxidle.is_some() || dates.last.is_some();
        let last = ages && dates.last.is_none_or(|last| last < now);
        last || self.cookie.maxlife.is_some() != dates.first.is_some()
    }

    fn line(&self, value: Option<&str>, dates: Dates, now: u64) -> String {
        let Cookie { name, attributes, maxidle, maxlife, .. } = &self.cookie;
        let Some(value) = value else {
            // This server has none: whatever the client has is of another.
            return format!("{name}=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/{attributes}");
        };
        let is_dated = maxidle.is_some() || maxlife.is_some();
        let first = maxlife.map(|_| dates.first.unwrap_or_else(|| dates::rounded(now)));
        let dates = Dates { last: is_dated.then(|| dates::rounded(now)), first };
        format!("{name}={value}{dates}; path=/{attributes}")
    }

    fn keep_from_caches(&self, response: &mut Response) {
        if self.cookie.nocache {
            response.fields.push("cache-control", "private");
        }
    }
}

#[cfg(test)]
mod tests;
