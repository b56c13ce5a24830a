//! Line: a [`Record`] by the items of HAProxy's `log-format`, byte for byte what HAProxy writes.

use super::{
    clock::{Clock, since_1970},
    frame::Process,
    record::{Record, RequestLine, Tls},
    write::{Escape, escaped, hex, ip, number, padded},
};
use crate::model::log::{Field, Flags, Item};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What stands where there was no request that could be understood.
const BAD_REQUEST: &[u8] = b"<BADREQ>";
const NO_SERVER: &str = "<NOSRV>";

/// What is the same for all lines of a process or of a frontend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) process: &'a Process,
    /// How many fields of requests, and of responses, are captured.
    pub(super) captures: [usize; 2],
}

/// Appends the line, without an end.
pub(super) fn line(line: &mut Vec<u8>, items: &[Item], record: &Record<'_>, around: Around<'_>, clock: &mut Clock) {
    let mut separated = true; // Nothing is separated from what is before the line.
    for item in items {
        let before = line.len();
        match item {
            Item::Text(text) => line.extend_from_slice(text.as_bytes()),
            Item::Separator if separated => {}
            Item::Separator => {
                line.push(b' ');
                separated = true;
                continue;
            }
            Item::Field(field, flags) => {
                Writer { line, record, around, clock, flags: *flags }.field(*field);
            }
        }
        separated &= line.len() == before;
    }
}

struct Writer<'a, 'r> {
    line: &'a mut Vec<u8>,
    record: &'a Record<'r>,
    around: Around<'a>,
    clock: &'a mut Clock,
    flags: Flags,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "each takes its fields and leaves the others to the next")]
impl Writer<'_, '_> {
    fn field(&mut self, field: Field) {
        let record = self.record;
        match field {
            Field::BytesToClient => number(self.line, record.bytes_to_client),
            Field::BytesFromClient => number(self.line, record.bytes_from_client),
            Field::RequestCookie | Field::ResponseCookie => self.text(None),
            Field::Host => self.text(Some(self.around.process.host.as_bytes())),
            Field::Id => self.text(record.id),
            Field::Status => self.number_or_none(record.status.map(u64::from)),
            Field::Backend => self.text(Some(record.backend.unwrap_or(record.frontend).as_bytes())),
            Field::Server => self.text(Some(record.server.unwrap_or(NO_SERVER).as_bytes())),
            Field::Frontend => self.text(Some(record.frontend.as_bytes())),
            Field::FrontendTransport => self.transport(),
            Field::TlsCipher => self.text(record.tls.map(|Tls { cipher, .. }| cipher.as_bytes())),
            Field::TlsVersion => self.text(record.tls.map(|Tls { version, .. }| version.as_bytes())),
            Field::Termination => {
                let [cause, phase, ..] = record.termination.letters();
                self.line.extend([cause, phase]);
            }
            Field::TerminationCookies => self.line.extend(record.termination.letters()),
            Field::Pid => self.hexadecimal_or_not(self.around.process.pid.into(), 4),
            Field::Number => self.hexadecimal_or_not(record.number, 4),
            Field::OpenProcess => number(self.line, record.open.process.into()),
            Field::OpenFrontend => number(self.line, record.open.frontend.into()),
            Field::OpenBackend => number(self.line, record.open.backend.into()),
            Field::OpenServer => number(self.line, record.open.server.into()),
            Field::QueueServer => number(self.line, record.queue.server.into()),
            Field::QueueBackend => number(self.line, record.queue.backend.into()),
            Field::Retries => {
                self.line.extend(record.redispatched.then_some(b'+'));
                number(self.line, record.retries.into());
            }
            other => self.address(other),
        }
    }

    fn address(&mut self, field: Field) {
        let record = self.record;
        match field {
            Field::ClientAddress => self.ip(Some(record.client)),
            Field::ClientPort => self.port(Some(record.client)),
            Field::LocalAddress => self.ip(Some(record.local)),
            Field::LocalPort => self.port(Some(record.local)),
            Field::ServerLocalAddress => self.ip(record.server_local),
            Field::ServerLocalPort => self.port(record.server_local),
            Field::ServerAddress => self.ip(record.server_peer),
            Field::ServerPort => self.port(record.server_peer),
            other => self.time(other),
        }
    }

    fn time(&mut self, field: Field) {
        let Record { times, date, .. } = self.record;
        match field {
            Field::TimeActive => self.millis(Some(times.active())),
            Field::TimeConnect => self.millis(times.connect()),
            Field::TimeData => self.millis(times.data()),
            Field::TimeHandshake => self.millis(times.handshake()),
            Field::TimeIdle => self.millis(times.idle()),
            Field::TimeUntilRequest => self.millis(times.until_request()),
            Field::TimeRequest => self.millis(times.request()),
            Field::TimeResponse => self.millis(times.response()),
            Field::TimeTotal => self.millis(Some(times.total())),
            Field::TimeUser => self.millis(Some(times.user())),
            Field::TimeQueue => self.millis(times.queue()),
            Field::Date => self.clock.precise(self.line, *date),
            Field::DateRequest => self.clock.precise(self.line, *date + times.before_request()),
            Field::DateUtc => self.clock.zoned(self.line, *date, false),
            Field::DateLocal => self.clock.zoned(self.line, *date, true),
            Field::DateRequestUtc => self.clock.zoned(self.line, *date + times.before_request(), false),
            Field::DateRequestLocal => self.clock.zoned(self.line, *date + times.before_request(), true),
            Field::Seconds => self.hexadecimal_or_not(since_1970(*date).as_secs(), 4),
            Field::Millis => {
                let millis = since_1970(*date).subsec_millis().into();
                if self.flags.hexadecimal { hex(self.line, millis, 2) } else { padded(self.line, millis, 3) }
            }
            other => self.request(other),
        }
    }

    fn request(&mut self, field: Field) {
        let Record { request, request_fields, response_fields, .. } = self.record;
        let [of_request, of_response] = self.around.captures;
        match field {
            Field::RequestFields => self.braces(of_request, request_fields.values()),
            Field::ResponseFields => self.braces(of_response, response_fields.values()),
            Field::RequestFieldList => self.list(of_request, request_fields.values()),
            Field::ResponseFieldList => self.list(of_response, response_fields.values()),
            part => {
                let quote = self.flags.quoted.then_some(b'"');
                self.line.extend(quote);
                match request {
                    None => self.line.extend_from_slice(BAD_REQUEST),
                    Some(request) => self.part(part, *request),
                }
                self.line.extend(quote);
            }
        }
    }

    fn part(&mut self, field: Field, RequestLine { method, target, version }: RequestLine<'_>) {
        let query = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(query);
        match field {
            Field::Method => escaped(self.line, method, Escape::Text),
            Field::Uri => escaped(self.line, target, Escape::Text),
            Field::Path => escaped(self.line, path, Escape::Text),
            Field::PathOnly => escaped(self.line, after_authority(path), Escape::Text),
            Field::Query => escaped(self.line, query, Escape::Text),
            Field::Version => self.line.extend_from_slice(version.shown().as_bytes()),
            _ => {
                escaped(self.line, method, Escape::Text);
                self.line.push(b' ');
                escaped(self.line, target, Escape::Text);
                self.line.push(b' ');
                self.line.extend_from_slice(version.shown().as_bytes());
            }
        }
    }

    /// Nothing without a request, as the places for what is captured come with it.
    fn braces<'v>(&mut self, captures: usize, mut values: impl Iterator<Item = Option<&'v [u8]>>) {
        if captures == 0 || self.record.request.is_none() {
            return;
        }
        for place in 0..captures {
            self.line.push(if place == 0 { b'{' } else { b'|' });
            escaped(self.line, values.next().flatten().unwrap_or_default(), Escape::Field);
        }
        self.line.push(b'}');
    }

    fn list<'v>(&mut self, captures: usize, mut values: impl Iterator<Item = Option<&'v [u8]>>) {
        if self.record.request.is_none() {
            return;
        }
        for place in 0..captures {
            if place > 0 {
                self.line.push(b' ');
            }
            let value = values.next().flatten();
            self.escaped_text(value, Escape::Field);
        }
    }

    fn text(&mut self, text: Option<&[u8]>) {
        self.escaped_text(text, Escape::Text);
    }

    fn escaped_text(&mut self, text: Option<&[u8]>, escape: Escape) {
        let text = text.filter(|text| !text.is_empty());
        if self.flags.quoted {
            self.line.push(b'"');
            escaped(self.line, text.unwrap_or_default(), escape);
            self.line.push(b'"');
        } else {
            escaped(self.line, text.unwrap_or(b"-"), escape);
        }
    }

    fn transport(&mut self) {
        let quote = self.flags.quoted.then_some(b'"');
        self.line.extend(quote);
        self.line.extend_from_slice(self.record.frontend.as_bytes());
        self.line.extend(self.record.tls.map(|_| b'~'));
        self.line.extend(quote);
    }

    fn ip(&mut self, address: Option<SocketAddr>) {
        let Some(address) = address else { return self.text(None) };
        let address = address.ip().to_canonical();
        if self.flags.hexadecimal {
            return match address {
                IpAddr::V4(ip) => hex(self.line, ip.to_bits().into(), 8),
                IpAddr::V6(ip) => ip.octets().iter().for_each(|byte| hex(self.line, u64::from(*byte), 2)),
            };
        }
        let quote = self.flags.quoted.then_some(b'"');
        self.line.extend(quote);
        ip(self.line, address);
        self.line.extend(quote);
    }

    fn port(&mut self, address: Option<SocketAddr>) {
        match address {
            Some(address) => self.hexadecimal_or_not(address.port().into(), 4),
            None => self.text(None),
        }
    }

    fn hexadecimal_or_not(&mut self, value: u64, width: usize) {
        if self.flags.hexadecimal { hex(self.line, value, width) } else { number(self.line, value) }
    }

    fn millis(&mut self, time: Option<Duration>) {
        self.number_or_none(time.map(millis));
    }

    fn number_or_none(&mut self, value: Option<u64>) {
        match value {
            Some(value) => number(self.line, value),
            None => self.line.extend_from_slice(b"-1"),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn after_authority(path: &[u8]) -> &[u8] {
    let Some(scheme) = path.windows(3).position(|three| three == b"://") else { return path };
    if path.first() == Some(&b'/') {
        return path;
    }
    let rest = path.get(scheme + 3..).unwrap_or_default();
    let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    rest.get(slash..).unwrap_or_default()
}
