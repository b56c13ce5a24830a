//! Records and lines.

mod delivery;
mod halog;
mod lines;

use super::{
    Pen, Sinks,
    logger::Logger,
    record::{Open, Queue, Record, RequestLine, Times, Tls},
    termination::{Cause, Phase, Termination},
};
use crate::{
    l7::message::Version,
    model::log::{Capture, Format, Framing, Item, Log, Logging, Target},
};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// The record of the example in HAProxy's manual, §8.2.3.
fn record() -> Record<'static> {
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let date = UNIX_EPOCH + Duration::from_millis(1_233_922_454_655);
    let address = |text: &str| text.parse().expect("an address");
    let times = Times {
        start,
        handshake: Some(start),
        first_byte: Some(start),
        request: Some(after(10)),
        queue: Some(after(10)),
        connect: Some(after(40)),
        response: Some(after(109)),
        end: after(109),
    };
    Record {
        times,
        backend: Some("static"),
        server: Some("srv1"),
        server_local: Some(address("10.0.0.1:40000")),
        server_peer: Some(address("10.0.0.2:80")),
        request: Some(RequestLine { method: b"GET", target: b"/index.html?a=b", version: Version::Http11 }),
        status: Some(200),
        bytes_to_client: 2_750,
        bytes_from_client: 120,
        open: Open { process: 1, frontend: 2, backend: 3, server: 4 },
        queue: Queue { server: 5, backend: 6 },
        number: 15,
        id: Some(b"an-id"),
        ..Record::new(start, date, address("10.0.1.2:33317"), address("10.0.0.9:8080"), "http-in")
    }
}

fn log(target: Target, format: &str) -> Log {
    let format = if format == "json" { Format::Json } else { Format::Items(Item::parse(format).expect("a format")) };
    Log { target, format, framing: Framing::Raw, length: 1_024 }
}

fn logging(logs: impl IntoIterator<Item = Log>) -> Logging {
    Logging { targets: logs.into_iter().collect(), ..Logging::default() }
}

fn capture(name: &str) -> Capture {
    Capture { name: name.to_owned(), length: 20 }
}

/// What a frontend logs of it, as one message. Times of day are in the zone of the host.
fn message(logging: &Logging, record: &Record<'_>) -> String {
    let sinks =
        Sinks::default().update([logging].into_iter(), &[], std::collections::BTreeMap::new(), 1).expect("sinks");
    let logger = Logger::new(logging, &sinks).expect("a logger");
    let mut pen = Pen::new(0);
    logger.message(&logging.targets[0], &mut pen, record, !record.is_normal());
    String::from_utf8(pen.line).expect("text")
}

fn line(format: &str, record: &Record<'_>) -> String {
    let target = Target::Udp("127.0.0.1:9".parse().expect("an address"));
    message(&logging([log(target, format)]), record)
}
