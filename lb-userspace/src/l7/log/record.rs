//! Record: all that a line of the access log tells of one request (`http`) or one connection (`tcp`). Borrowed from
//! whoever served it, filled once, at the end, and given to a [`Logger`](super::logger::Logger).
//!
//! Names and meanings are those of HAProxy 2.6 and later (configuration manual, §8), so that its formats can be written
//! from it without guessing.

use super::{captured::Captured, termination::Termination};
use crate::l7::message::Version;
use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// One request, or one connection that is relayed.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    /// When each step was taken.
    pub(crate) times: Times,
    /// The wall clock at [`Times::start`]: `%t`, and with the time before the first byte added `%tr`.
    pub(crate) date: SystemTime,

    /// The client as rules see it: what the PROXY protocol told, else the peer. `%ci:%cp`.
    pub(crate) client: SocketAddr,
    /// Where the client connected to: what the PROXY protocol told, else the socket's own address. `%fi:%fp`.
    pub(crate) local: SocketAddr,
    /// The frontend's name. `%f`; `%ft` has a `~` after it where there is `tls`.
    pub(crate) frontend: &'a str,
    /// What was agreed on with the client; `None`: clear text. `%sslv`, `%sslc`.
    pub(crate) tls: Option<Tls<'a>>,

    /// The backend's name, as soon as one was chosen, also if no server could be had. `%b`, which is the frontend's name
    /// where there is none.
    pub(crate) backend: Option<&'a str>,
    /// The last server that was chosen, also if it could not be reached; `None` is logged as `<NOSRV>`: denied, answered
    /// here, waiting in a queue until the end. `%s`.
    pub(crate) server: Option<&'a str>,
    /// Our address towards the server, once connected. `%bi:%bp`.
    pub(crate) server_local: Option<SocketAddr>,
    /// The server's address, once one was chosen. `%si:%sp`.
    pub(crate) server_peer: Option<SocketAddr>,

    /// The request as it came, before any rule changed it; `None` for connections, and for what was no request
    /// (`<BADREQ>`). `%r`, `%HM`, `%HP`, `%HQ`, `%HU`, `%HV`.
    pub(crate) request: Option<RequestLine<'a>>,
    /// Status that was sent to the client, by a server or by us; `None` (logged as -1): nothing was sent. `%ST`.
    pub(crate) status: Option<u16>,
    /// Bytes to the client: head and body as written in HTTP/1, without TLS and framing of HTTP/2. `%B`.
    pub(crate) bytes_to_client: u64,
    /// Bytes from the client, counted in the same way. `%U`.
    pub(crate) bytes_from_client: u64,
    /// How it ended. `%ts`, `%tsc`.
    pub(crate) termination: Termination,

    /// How many were open when it ended.
    pub(crate) open: Open,
    /// How many stood before it when it entered a queue; all 0 where it did not have to wait.
    pub(crate) queue: Queue,
    /// Attempts beyond the first to connect to a server. `%rc`.
    pub(crate) retries: u32,
    /// Whether the last attempt went to another server than the first (`+` before `%rc`).
    pub(crate) redispatched: bool,

    /// Fields of the request that the frontend captures; see [`Captures`](super::captured::Captures). `%hr`.
    pub(crate) request_fields: &'a Captured,
    /// Fields of the response to the client that the frontend captures. `%hs`.
    pub(crate) response_fields: &'a Captured,
    /// The id of the request: made by us, or taken from the field that the frontend trusts. `%ID`.
    pub(crate) id: Option<&'a [u8]>,
    /// Counts the requests (or connections) of the process, from 0. `%rt`.
    pub(crate) number: u64,
}

impl<'a> Record<'a> {
    /// Of a connection of which nothing more is known yet, to be filled.
    pub(crate) fn new(
        start: Instant,
        date: SystemTime,
        client: SocketAddr,
        local: SocketAddr,
        frontend: &'a str,
    ) -> Self {
        Self {
            times: Times::at(start),
            date,
            client,
            local,
            frontend,
            tls: None,
            backend: None,
            server: None,
            server_local: None,
            server_peer: None,
            request: None,
            status: None,
            bytes_to_client: 0,
            bytes_from_client: 0,
            termination: Termination::DONE,
            open: Open::default(),
            queue: Queue::default(),
            retries: 0,
            redispatched: false,
            request_fields: Captured::NONE,
            response_fields: Captured::NONE,
            id: None,
            number: 0,
        }
    }

    /// Whether nobody would look for this line: no error, no timeout, no retry and no status from 500 on, as HAProxy's
    /// `option dontlog-normal` has it.
    pub(crate) fn is_normal(&self) -> bool {
        self.termination.is_normal() && self.retries == 0 && !self.redispatched && self.status.unwrap_or(0) < 500
    }

    /// Whether the client said nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        self.request.is_none() && self.bytes_from_client == 0
    }
}

/// What was agreed on with a client by TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tls<'a> {
    /// As OpenSSL writes it: `TLSv1.3`.
    pub(crate) version: &'a str,
    /// As OpenSSL or IANA writes it: `TLS_AES_128_GCM_SHA256`.
    pub(crate) cipher: &'a str,
    /// The name that the client asked for.
    pub(crate) sni: Option<&'a str>,
}

/// The request line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RequestLine<'a> {
    /// The method.
    pub(crate) method: &'a [u8],
    /// The target as sent, with its query; of HTTP/2 the `:path`.
    pub(crate) target: &'a [u8],
    /// The version that it came in.
    pub(crate) version: Version,
}

/// Connections open at the end. As with HAProxy the one that is logged is among those of the process and the frontend, and
/// no longer among those of the backend and the server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Open {
    /// Of the process. `%ac`.
    pub(crate) process: u32,
    /// Of the frontend. `%fc`.
    pub(crate) frontend: u32,
    /// Of the backend, at all its servers and in its queues; 0 without one. `%bc`.
    pub(crate) backend: u32,
    /// Of the server; 0 without one. `%sc`.
    pub(crate) server: u32,
}

/// Places in the queues on entering them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Queue {
    /// In the server's. `%sq`.
    pub(crate) server: u32,
    /// In the backend's. `%bq`.
    pub(crate) backend: u32,
}

/// When each step was taken. What was not reached is `None`, and so are all after it; durations that need it are -1 in a
/// line. Monotonic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Times {
    /// The first request of a connection, and a `tcp` connection: when it was accepted. A later request: when the one before
    /// it ended (HTTP/1), when its stream was opened (HTTP/2).
    pub(crate) start: Instant,
    /// PROXY protocol and TLS are done. The same as `start` where there is nothing to do, and for a later request.
    pub(crate) handshake: Option<Instant>,
    /// The first byte of the request is here. `tcp`: as `handshake`.
    pub(crate) first_byte: Option<Instant>,
    /// The request's head is complete. `tcp`: as `handshake`, or once enough was seen to route it (SNI).
    pub(crate) request: Option<Instant>,
    /// A server may be used: the wait for a place is over. The same as `request` if there was none.
    pub(crate) queue: Option<Instant>,
    /// The connection to the server that was used in the end is there, TLS included; the same as `queue` if it was idle.
    pub(crate) connect: Option<Instant>,
    /// The head of the final response of the server is complete. `None` in `tcp`.
    pub(crate) response: Option<Instant>,
    /// The last byte went to the client, or the attempt was given up. Always there.
    pub(crate) end: Instant,
}

impl Times {
    /// Everything at `start`, nothing reached.
    pub(crate) fn at(start: Instant) -> Self {
        Self {
            start,
            handshake: None,
            first_byte: None,
            request: None,
            queue: None,
            connect: None,
            response: None,
            end: start,
        }
    }

    /// `%Th`: handshakes.
    pub(crate) fn handshake(&self) -> Option<Duration> {
        between(Some(self.start), self.handshake)
    }

    /// `%Ti`: idle, waiting for the first byte of the request.
    pub(crate) fn idle(&self) -> Option<Duration> {
        between(self.handshake, self.first_byte)
    }

    /// `%TR`: the request's head, from its first byte.
    pub(crate) fn request(&self) -> Option<Duration> {
        between(self.first_byte, self.request)
    }

    /// `%Tq`: from the start to the end of the request's head.
    pub(crate) fn until_request(&self) -> Option<Duration> {
        between(Some(self.start), self.request)
    }

    /// `%Tw`: in queues.
    pub(crate) fn queue(&self) -> Option<Duration> {
        between(self.request, self.queue)
    }

    /// `%Tc`: connecting, failed attempts included.
    pub(crate) fn connect(&self) -> Option<Duration> {
        between(self.queue, self.connect)
    }

    /// `%Tr`: the server's time until the head of its response is here.
    pub(crate) fn response(&self) -> Option<Duration> {
        between(self.connect, self.response)
    }

    /// `%Td`: data, from the response's head (`tcp`: from the connection) to the end.
    pub(crate) fn data(&self) -> Option<Duration> {
        between(self.response.or(self.connect), Some(self.end))
    }

    /// `%Ta`: active, from the first byte of the request to the end; from the start if there was none.
    pub(crate) fn active(&self) -> Duration {
        self.end.saturating_duration_since(self.first_byte.unwrap_or(self.start))
    }

    /// `%Tu`: as the user feels it: all but the idle time.
    pub(crate) fn user(&self) -> Duration {
        self.total().saturating_sub(self.idle().unwrap_or_default())
    }

    /// `%Tt`: from the start to the end.
    pub(crate) fn total(&self) -> Duration {
        self.end.saturating_duration_since(self.start)
    }

    /// From the start to the first byte of the request, or 0.
    pub(crate) fn before_request(&self) -> Duration {
        between(Some(self.start), self.first_byte).unwrap_or_default()
    }
}

fn between(from: Option<Instant>, to: Option<Instant>) -> Option<Duration> {
    Some(to?.saturating_duration_since(from?))
}
