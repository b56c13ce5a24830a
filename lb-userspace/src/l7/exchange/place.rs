//! Where a request goes by the rules of its frontend, or what they answer.

use crate::{
    l7::{
        accept::{Client, Held},
        acl::{Connection, Facts, Scene, Variables},
        message::{Request, Response},
        numbers::Counted,
        rules::{self, Outcome},
        snapshot::BackendRoute,
    },
    model::{FrontendKind, HttpFrontend},
};
use bytes::Bytes;
use std::time::Duration;

/// How long a tarpit holds a client where no default backend says it.
const TARPIT: Duration = Duration::from_secs(5);

/// What the rules make of a request.
pub(super) enum Placed<'a> {
    /// It goes to a server.
    At(&'a HttpFrontend, &'a BackendRoute),
    /// It has this answer, after a wait.
    Answered { response: Response, body: Bytes, wait: Option<Duration> },
    /// No rule says where to go.
    Nowhere,
}

/// Applies the rules.
pub(super) fn place<'a>(client: &Client, held: &'a Held, request: &mut Request) -> Placed<'a> {
    let Some(frontend) = held.frontend() else { return Placed::Nowhere };
    let http = match &frontend.kind {
        FrontendKind::Http(http) => http,
        FrontendKind::L4(_) | FrontendKind::Tcp { .. } => return Placed::Nowhere,
    };
    let (source, destination) = (client.flow.client, client.flow.local);
    let connection = Connection { source, destination, tls: client.tls_seen(), hello: None };
    let numbers = Counted { snapshot: &held.snapshot, frontend };
    let scene = Scene { connection: &connection, payload: None, backend: None, numbers: &numbers, unique_id: None };
    let mut variables = Variables::default();
    if let Some(answer) = rules::monitor(http, &scene, request) {
        let (response, body) = answer.response();
        return Placed::Answered { response, body, wait: None };
    }
    match rules::request(&http.rules.request, &scene, request, &mut variables) {
        Outcome::Continue => {}
        Outcome::Answer(response, body) => return Placed::Answered { response, body, wait: None },
        Outcome::Tarpit(response, body) => {
            let default = http.default_backend.and_then(|backend| held.snapshot.backend(backend));
            return Placed::Answered {
                response,
                body,
                wait: Some(default.map_or(TARPIT, |backend| backend.timeout_connect)),
            };
        }
    }
    let facts = Facts { scene: &scene, request: Some(request), response: None, variables: &variables };
    let backend = rules::route(http, &facts).and_then(|backend| held.snapshot.backend(backend));
    backend.map_or(Placed::Nowhere, |backend| Placed::At(http, backend))
}
