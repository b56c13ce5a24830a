//! Frame: what stands before a line: nothing, or the header of a syslog message.

use super::{clock::Clock, write::number};
use crate::model::log::{Dialect, Framing, Target};
use std::{sync::Arc, time::SystemTime};

/// Stands before the number of lines that were lost.
pub(super) const LOST: &[u8] = b"access log lines lost: ";

/// The name by which syslog sorts our lines.
const TAG: &[u8] = b"sluice";

/// The process, as lines name it.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Name of the host.
    pub(super) host: Arc<str>,
    /// The process.
    pub(super) pid: u32,
}

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // It stands between spaces, and in the log itself.
        let name: String = name.chars().filter(char::is_ascii_graphic).collect();
        Self { host: if name.is_empty() { "-".into() } else { name.into() }, pid: std::process::id() }
    }
}

/// How a target's lines look, for lines that tell of no request.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) process: Process,
    pub(super) framing: Framing,
    pub(super) json: bool,
}

impl Style {
    /// The message that so many lines were lost.
    pub(super) fn lost(&self, lines: u64, target: &Target) -> Vec<u8> {
        let (mut message, mut clock, now) = (Vec::new(), Clock::default(), SystemTime::now());
        header(&mut message, self.framing, true, now, &self.process, &mut clock);
        if self.json {
            message.extend_from_slice(b"{\"time\":\"");
            clock.rfc3339(&mut message, now);
            message.extend_from_slice(b"\",\"lost_lines\":");
            number(&mut message, lines);
            message.push(b'}');
        } else {
            message.extend_from_slice(LOST);
            number(&mut message, lines);
        }
        if target.is_stream() {
            message.push(b'\n');
        }
        message
    }
}

/// Appends the header of a message. `failed`: what it tells of did not go as it should.
pub(super) fn header(
    line: &mut Vec<u8>,
    framing: Framing,
    failed: bool,
    now: SystemTime,
    process: &Process,
    clock: &mut Clock,
) {
    let Framing::Syslog { dialect, facility, level, error_level } = framing else { return };
    let severity = if failed { error_level } else { level };
    line.push(b'<');
    number(line, u64::from(facility) * 8 + u64::from(severity));
    line.push(b'>');
    match dialect {
        Dialect::Local | Dialect::Rfc3164 => {
            clock.syslog(line, now);
            line.push(b' ');
            if dialect == Dialect::Rfc3164 {
                line.extend_from_slice(process.host.as_bytes());
                line.push(b' ');
            }
            line.extend_from_slice(TAG);
            line.push(b'[');
            number(line, process.pid.into());
            line.extend_from_slice(b"]: ");
        }
        Dialect::Rfc5424 => {
            line.extend_from_slice(b"1 ");
            clock.rfc3339(line, now);
            line.push(b' ');
            line.extend_from_slice(process.host.as_bytes());
            line.push(b' ');
            line.extend_from_slice(TAG);
            line.push(b' ');
            number(line, process.pid.into());
            line.extend_from_slice(b" - - "); // Neither a message id nor structured data.
        }
    }
}
