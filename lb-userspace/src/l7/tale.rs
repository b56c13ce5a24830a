//! Tale: what the access log will tell of one request or connection, gathered while it is served. Where nothing is logged it
//! is empty and costs nothing.

use super::{
    client::{Client, Held},
    log::{
        captured::Captured,
        record::{Open, Queue, Record, RequestLine, Times, Tls},
        termination::{Cause, Phase, Termination},
    },
    message::{Request, Response, Version},
    snapshot::{BackendRoute, Destination},
};
use std::{cell::RefCell, time::SystemTime};
use tokio::time::Instant;

/// What is told of one request or connection.
pub(super) struct Tale(Option<RefCell<Box<Told>>>);

/// Method, target and version of a request.
type Line = (Box<[u8]>, Box<[u8]>, Version);

/// All of it.
pub(super) struct Told {
    held: Held,
    pub(super) times: Times,
    date: SystemTime,
    request: Option<Line>,
    request_fields: Captured,
    response_fields: Captured,
    backend: Option<String>,
    /// The last that was chosen: index, name and where it is.
    server: Option<(usize, String, Destination)>,
    pub(super) status: Option<u16>,
    pub(super) termination: Termination,
    pub(super) queue: Queue,
    retries: u32,
    redispatched: bool,
    pub(super) id: Option<Vec<u8>>,
}

impl Tale {
    /// Of what began then. `first_byte`: of the request, if it is another moment.
    pub(super) fn begin(client: &Client, held: &Held, start: Instant, first_byte: Instant) -> Self {
        if held.frontend().is_none_or(|frontend| frontend.logger.is_none()) {
            return Self(None);
        }
        let handshake = if client.is_first() { client.ready.max(start) } else { start };
        let times =
            Times { handshake: Some(handshake), first_byte: Some(first_byte.max(handshake)), ..Times::at(start) };
        let now = SystemTime::now();
        Self(Some(RefCell::new(Box::new(Told {
            held: held.clone(),
            times,
            date: now.checked_sub(start.elapsed()).unwrap_or(now),
            request: None,
            request_fields: Captured::default(),
            response_fields: Captured::default(),
            backend: None,
            server: None,
            status: None,
            termination: Termination::DONE,
            queue: Queue::default(),
            retries: 0,
            redispatched: false,
            id: None,
        }))))
    }

    /// Adds something to it, if it is told at all.
    pub(super) fn note(&self, add: impl FnOnce(&mut Told)) {
        if let Some(told) = &self.0 {
            add(&mut told.borrow_mut());
        }
    }

    /// Something ended it.
    pub(super) fn ended_by(&self, cause: Cause, phase: Phase) {
        self.note(|told| (told.termination.cause, told.termination.phase) = (cause, phase));
    }

    /// It is over, after so many bytes each way: a line of the log.
    pub(super) fn finish(self, client: &Client, bytes_to_client: u64, bytes_from_client: u64) {
        let Some(told) = self.0 else { return };
        let told = *told.into_inner();
        let Some(frontend) = told.held.frontend() else { return };
        let Some(logger) = &frontend.logger else { return };
        let mut times = told.times;
        times.end = Instant::now();
        let backend = told.backend.as_ref().and_then(|name| told.held.snapshot.live().backend(name));
        let server = told.server.as_ref().and_then(|(index, ..)| backend?.servers.get(*index));
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let line = told.request.as_ref();
        let request = line.map(|(method, target, version)| RequestLine { method, target, version: *version });
        let tls = client.tls.as_ref();
        let record = Record {
            times,
            tls: tls.map(|facts| Tls { version: facts.version, cipher: facts.cipher, sni: facts.sni.as_deref() }),
            backend: told.backend.as_deref(),
            server: told.server.as_ref().map(|(_, name, _)| name.as_str()),
            server_peer: told.server.as_ref().map(|(.., at)| at.reached(&client.flow)),
            request,
            status: told.status,
            bytes_to_client,
            bytes_from_client,
            termination: told.termination,
            open: Open {
                process: small(told.held.snapshot.live().connections()),
                frontend: small(frontend.live.connections()),
                backend: small(backend.map_or(0, |backend| backend.load() as u64)),
                server: small(server.map_or(0, |server| server.load.0.all() as u64)),
            },
            queue: told.queue,
            retries: told.retries,
            redispatched: told.redispatched,
            request_fields: &told.request_fields,
            response_fields: &told.response_fields,
            id: told.id.as_deref(),
            number: client.number(),
            ..Record::new(times.start, told.date, client.flow.client, client.flow.local, &frontend.name)
        };
        logger.log(&mut client.thread.pen.borrow_mut(), &record);
    }
}

impl Told {
    /// The head of the request is complete.
    pub(super) fn request(&mut self, request: &Request) {
        self.times.request = Some(Instant::now());
        self.request = Some((request.method.name().into(), request.target.as_slice().into(), request.version));
        if let Some(logger) = self.held.frontend().and_then(|frontend| frontend.logger.as_ref()) {
            self.request_fields = logger.request.take(&request.fields);
        }
    }

    /// The head of the answer, as it goes to the client.
    pub(super) fn response(&mut self, response: &Response) {
        self.status = Some(response.status);
        if let Some(logger) = self.held.frontend().and_then(|frontend| frontend.logger.as_ref()) {
            self.response_fields = logger.response.take(&response.fields);
        }
    }

    /// Where it goes.
    pub(super) fn backend(&mut self, backend: &BackendRoute) {
        self.backend = Some(backend.name.clone());
    }

    /// A place at a server was given; what came before has failed.
    pub(super) fn server(&mut self, backend: &BackendRoute, index: usize) {
        let (name, at) = (backend.names.get(index), backend.destinations.get(index));
        if let Some((before, ..)) = &self.server {
            self.retries += 1;
            self.redispatched |= *before != index;
        } else {
            self.times.queue = Some(Instant::now());
        }
        self.server = name.zip(at).map(|(name, at)| (index, name.clone(), *at));
    }
}
