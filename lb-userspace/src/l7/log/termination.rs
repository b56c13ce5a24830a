//! How a request or connection ended, as HAProxy writes it (manual, §8.5): who ended it, where it then was, and for
//! `http` what became of the persistence cookie.

use crate::servers::counts::ServerCounts;

/// The four letters. [`Termination::DONE`] is `--` or `----`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Termination {
    /// Who or what ended it.
    pub(crate) cause: Cause,
    /// Where it was when it ended.
    pub(crate) phase: Phase,
    /// The persistence cookie of the request.
    pub(crate) cookie: Cookie,
    /// What was done to the persistence cookie of the response.
    pub(crate) set_cookie: SetCookie,
}

impl Termination {
    /// As it should end, without cookies.
    pub(crate) const DONE: Self =
        Self { cause: Cause::None, phase: Phase::None, cookie: Cookie::None, set_cookie: SetCookie::None };

    /// Ended by `cause` while in `phase`, without cookies.
    pub(crate) const fn new(cause: Cause, phase: Phase) -> Self {
        Self { cause, phase, cookie: Cookie::None, set_cookie: SetCookie::None }
    }

    /// Whether nothing went wrong: it went through, or was answered here as it should be.
    pub(crate) fn is_normal(self) -> bool {
        matches!(self.cause, Cause::None | Cause::Local)
    }

    /// `%tsc`; its first two letters are `%ts`.
    pub(crate) const fn letters(self) -> [u8; 4] {
        [self.cause as u8, self.phase as u8, self.cookie as u8, self.set_cookie as u8]
    }
}

impl Cause {
    /// Counts whose fault it was that an exchange with a server was broken off.
    pub(crate) fn count(self, counts: &ServerCounts) {
        match self {
            Self::Client => counts.client_aborts.increment(),
            Self::Server => counts.server_aborts.increment(),
            Self::None
            | Self::Proxy
            | Self::Local
            | Self::Resource
            | Self::Internal
            | Self::Down
            | Self::Killed
            | Self::ClientTimeout
            | Self::ServerTimeout => {}
        }
    }
}

/// Who or what ended it first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Cause {
    /// Both sides, normally.
    None = b'-',
    /// The client closed or broke the connection.
    Client = b'C',
    /// The server broke it, refused it, or answered what is no HTTP.
    Server = b'S',
    /// We did: a rule denied it, it was no valid HTTP, a limit was reached.
    Proxy = b'P',
    /// It was answered here, without a server (a redirect, `return`, the monitor).
    Local = b'L',
    /// Something ran out: memory, sockets, ports.
    Resource = b'R',
    /// An error of our own, such as a panic.
    Internal = b'I',
    /// The server went down (`on-marked-down shutdown-sessions`), and its connections were cut.
    Down = b'D',
    /// The operator or a stop cut it.
    Killed = b'K',
    /// A silence of the client became too long.
    ClientTimeout = b'c',
    /// A silence of the server, or the wait for it, became too long.
    ServerTimeout = b's',
}

/// Where it was then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Complete.
    None = b'-',
    /// Waiting for a complete request.
    Request = b'R',
    /// Waiting in a queue for a place at a server.
    Queue = b'Q',
    /// Connecting to a server.
    Connect = b'C',
    /// Waiting for the head of the response.
    Headers = b'H',
    /// Passing data.
    Data = b'D',
    /// The last of the response was still to be sent to the client; the server was done.
    Last = b'L',
    /// Held in a tarpit.
    Tarpit = b'T',
}

/// The persistence cookie of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Cookie {
    /// Does not matter: the backend has no such cookie.
    None = b'-',
    /// The client had none.
    Absent = b'N',
    /// It names no server that there is.
    Invalid = b'I',
    /// It names a server that is down.
    Down = b'D',
    /// It names the server that was used.
    Valid = b'V',
    /// It was too old for `maxidle`, or unset by a rule.
    Expired = b'E',
    /// It was too old for `maxlife`.
    Old = b'O',
    /// The server was chosen by something else (`use-server`, a persistence rule).
    Unused = b'U',
}

/// What became of the cookie in the response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum SetCookie {
    /// Does not matter: the backend has no such cookie.
    None = b'-',
    /// The server set none, and none was added.
    Nothing = b'N',
    /// The server set one, and it passed as it was.
    Provided = b'P',
    /// One was inserted.
    Inserted = b'I',
    /// One that the client had was renewed.
    Updated = b'U',
    /// The server's was rewritten.
    Rewritten = b'R',
    /// The server's was removed.
    Deleted = b'D',
}
impl SetCookie {
    /// By its letter, where the backend has a cookie.
    pub(crate) const fn of(letter: char) -> Self {
        match letter {
            'P' => Self::Provided,
            'I' => Self::Inserted,
            'U' => Self::Updated,
            'R' => Self::Rewritten,
            'D' => Self::Deleted,
            _ => Self::Nothing,
        }
    }
}
