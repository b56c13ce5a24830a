//! Object: a [`Record`] as one JSON object. Keys are always there and always in this order; what there was not is `null`,
//! times are in microseconds.

use super::{
    captured::{Captured, Captures},
    clock::Clock,
    record::{Record, RequestLine, Times, Tls},
    write::{ip, json, number},
};
use std::{net::SocketAddr, time::Duration};

/// Bytes that are kept of each text, tried in this order until the object is short enough.
const KEPT: [usize; 4] = [usize::MAX, 256, 32, 0];

/// Appends the object, of at most `length` bytes if the configuration's own names leave room for that.
pub(super) fn object(
    line: &mut Vec<u8>,
    record: &Record<'_>,
    [of_request, of_response]: [&Captures; 2],
    clock: &mut Clock,
    length: usize,
) {
    let start = line.len();
    for kept in KEPT {
        line.truncate(start);
        line.push(b'{');
        let mut object = Object { line, kept, first: true };
        object.record(record, clock);
        object.fields("request_headers", of_request, record.request_fields);
        object.fields("response_headers", of_response, record.response_fields);
        object.word("truncated", if kept == usize::MAX { "false" } else { "true" });
        line.push(b'}');
        if line.len() - start <= length {
            return;
        }
    }
}

struct Object<'a> {
    line: &'a mut Vec<u8>,
    kept: usize,
    first: bool,
}

impl Object<'_> {
    fn record(&mut self, record: &Record<'_>, clock: &mut Clock) {
        self.key("time");
        self.line.push(b'"');
        clock.rfc3339(self.line, record.date + record.times.before_request());
        self.line.push(b'"');
        self.name("frontend", Some(record.frontend));
        self.name("backend", record.backend);
        self.name("server", record.server);
        self.address("client", Some(record.client));
        self.address("local", Some(record.local));
        self.address("server_local", record.server_local);
        self.address("server_peer", record.server_peer);
        let tls = record.tls.as_ref();
        self.name("tls_version", tls.map(|Tls { version, .. }| *version));
        self.name("tls_cipher", tls.map(|Tls { cipher, .. }| *cipher));
        self.text("tls_sni", tls.and_then(|tls| tls.sni).map(str::as_bytes));
        let request = record.request.as_ref();
        self.text("method", request.map(|RequestLine { method, .. }| *method));
        self.text("target", request.map(|RequestLine { target, .. }| *target));
        self.name("version", request.map(|request| request.version.shown()));
        self.number("status", record.status.map(u64::from));
        self.text("termination", Some(&record.termination.letters()));
        self.number("bytes_to_client", Some(record.bytes_to_client));
        self.number("bytes_from_client", Some(record.bytes_from_client));
        self.times(&record.times);
        self.number("connections_process", Some(record.open.process.into()));
        self.number("connections_frontend", Some(record.open.frontend.into()));
        self.number("connections_backend", Some(record.open.backend.into()));
        self.number("connections_server", Some(record.open.server.into()));
        self.number("queue_server", Some(record.queue.server.into()));
        self.number("queue_backend", Some(record.queue.backend.into()));
        self.number("retries", Some(record.retries.into()));
        self.word("redispatched", if record.redispatched { "true" } else { "false" });
        self.text("id", record.id);
    }

    fn times(&mut self, times: &Times) {
        self.time("handshake_us", times.handshake());
        self.time("idle_us", times.idle());
        self.time("request_us", times.request());
        self.time("queue_us", times.queue());
        self.time("connect_us", times.connect());
        self.time("response_us", times.response());
        self.time("data_us", times.data());
        self.time("active_us", Some(times.active()));
        self.time("total_us", Some(times.total()));
    }

    fn fields(&mut self, key: &str, captures: &Captures, captured: &Captured) {
        self.key(key);
        self.line.push(b'{');
        self.first = true;
        let mut values = captured.values();
        for name in captures.names() {
            self.text(name, values.next().flatten());
        }
        self.line.push(b'}');
        self.first = false;
    }

    /// Of our own choice, or the configuration's: nothing to escape.
    fn key(&mut self, key: &str) {
        self.keys([key, ""]);
    }

    /// A key of two parts.
    fn keys(&mut self, parts: [&str; 2]) {
        if !std::mem::take(&mut self.first) {
            self.line.push(b',');
        }
        self.line.push(b'"');
        for part in parts {
            self.line.extend_from_slice(part.as_bytes());
        }
        self.line.extend_from_slice(b"\":");
    }

    fn word(&mut self, key: &str, word: &str) {
        self.key(key);
        self.line.extend_from_slice(word.as_bytes());
    }

    fn number(&mut self, key: &str, value: Option<u64>) {
        match value {
            None => self.word(key, "null"),
            Some(value) => {
                self.key(key);
                number(self.line, value);
            }
        }
    }

    fn time(&mut self, key: &str, time: Option<Duration>) {
        self.number(key, time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)));
    }

    /// A text of the client's or the server's choice.
    fn text(&mut self, key: &str, text: Option<&[u8]>) {
        match text {
            None => self.word(key, "null"),
            Some(text) => {
                self.key(key);
                json(self.line, text, self.kept);
            }
        }
    }

    /// A text of ours: never cut.
    fn name(&mut self, key: &str, name: Option<&str>) {
        match name {
            None => self.word(key, "null"),
            Some(name) => {
                self.key(key);
                json(self.line, name.as_bytes(), usize::MAX);
            }
        }
    }

    /// Two keys: address and port.
    fn address(&mut self, key: &str, address: Option<SocketAddr>) {
        self.keys([key, "_address"]);
        match address {
            None => self.line.extend_from_slice(b"null"),
            Some(address) => {
                self.line.push(b'"');
                ip(self.line, address.ip().to_canonical());
                self.line.push(b'"');
            }
        }
        self.keys([key, "_port"]);
        match address {
            None => self.line.extend_from_slice(b"null"),
            Some(address) => number(self.line, address.port().into()),
        }
    }
}
