//! What the rules make of a request, of its frontend and then of its backend, and of the server's response.

use crate::{
    l7::{
        acl::{Facts, Scene, Variables},
        client::{Client, Held, Seen},
        message::{Request, Response},
        rules::{self, Outcome},
        snapshot::BackendRoute,
    },
    model::{BackendIndex, FrontendKind, HttpFrontend},
};
use bytes::Bytes;
use std::time::Duration;

/// How long a tarpit holds a client where no default backend says it.
const TARPIT: Duration = Duration::from_secs(5);

/// What the rules make of a request.
pub(super) enum Placed<'a> {
    /// It goes to a server.
    At(Place<'a>),
    /// Rules have answered it.
    Answered(Box<Answered<'a>>),
    /// No rule says where to go.
    Nowhere,
}

/// What rules have answered.
pub(super) struct Answered<'a> {
    pub(super) response: Response,
    pub(super) body: Bytes,
    pub(super) how: How,
    /// The backend that the request had, if any.
    pub(super) backend: Option<&'a BackendRoute>,
}

/// How rules have answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// With what was asked for, or where that is.
    Answered,
    /// By refusing it.
    Denied,
    /// The same, once the client has waited for so long.
    Tarpitted(Duration),
}

/// What rules have put in the place of a server's answer.
#[derive(Debug)]
pub(super) struct Instead {
    pub(super) response: Response,
    pub(super) body: Bytes,
    /// The server's answer was refused.
    pub(super) denied: bool,
}

impl Instead {
    fn of(outcome: Outcome) -> Option<Self> {
        let (response, body, denied) = match outcome {
            Outcome::Continue => return None,
            Outcome::Answer(response, body) => (response, body, false),
            Outcome::Deny(response, body) | Outcome::Tarpit(response, body) => (response, body, true),
        };
        Some(Self { response, body, denied })
    }
}

/// Where a request goes.
pub(super) struct Place<'a> {
    pub(super) http: &'a HttpFrontend,
    pub(super) backend: &'a BackendRoute,
    index: BackendIndex,
    /// What rules have kept.
    variables: Variables,
}

/// Applies the rules to a request, which may have an identity.
pub(super) fn place<'a>(client: &Client, held: &'a Held, request: &mut Request, id: Option<&[u8]>) -> Placed<'a> {
    let Some(frontend) = held.frontend() else { return Placed::Nowhere };
    let http = match &frontend.kind {
        FrontendKind::Http(http) => http,
        FrontendKind::L4(_) | FrontendKind::Tcp(_) => return Placed::Nowhere,
    };
    let mut variables = Variables::default();
    let default = http.default_backend.and_then(|backend| held.snapshot.backend(backend));
    let tarpit = http.timeout_tarpit.unwrap_or_else(|| default.map_or(TARPIT, |backend| backend.timeout_connect));
    let chosen = with_scene(client, held, None, id, |scene| {
        if let Some(answer) = rules::monitor(http, scene, request) {
            let (response, body) = answer.response();
            return Err(Box::new(Answered { response, body, how: How::Answered, backend: None }));
        }
        answered(rules::request(&http.rules.request, scene, request, &mut variables), tarpit, None)?;
        let facts = Facts { scene, request: Some(request), response: None, variables: &variables };
        Ok(rules::route(http, &facts))
    });
    let index = match chosen {
        None | Some(Ok(None)) => return Placed::Nowhere,
        Some(Ok(Some(index))) => index,
        Some(Err(answered)) => return Placed::Answered(answered),
    };
    let Some((index, backend)) = held.snapshot.taker(index) else { return Placed::Nowhere };
    if !backend.rules.request.is_empty() {
        let outcome = with_scene(client, held, Some(index), id, |scene| {
            rules::request(&backend.rules.request, scene, request, &mut variables)
        });
        if let Err(answered) = answered(outcome.unwrap_or(Outcome::Continue), tarpit, Some(backend)) {
            return Placed::Answered(answered);
        }
    }
    Placed::At(Place { http, backend, index, variables })
}

impl Place<'_> {
    /// What the server of a request is picked by, if by a hash.
    pub(super) fn key(&self, client: &Client, held: &Held, request: &Request, id: Option<&[u8]>) -> Option<u32> {
        let order = &self.backend.order;
        if !order.wants_facts() {
            return order.key(&client.flow, Some(request), None);
        }
        with_scene(client, held, Some(self.index), id, |scene| {
            let facts = Facts { scene, request: Some(request), response: None, variables: &self.variables };
            order.key(&client.flow, Some(request), Some(&facts))
        })?
    }

    /// Applies the rules to a server's response. `Some`: what goes to the client in its place.
    pub(super) fn respond(
        &mut self,
        client: &Client,
        held: &Held,
        response: &mut Response,
        id: Option<&[u8]>,
    ) -> Option<Instead> {
        let all = [&self.backend.rules.response, &self.http.rules.response];
        if all.iter().all(|rules| rules.is_empty()) {
            return None;
        }
        let variables = &mut self.variables;
        with_scene(client, held, Some(self.index), id, |scene| {
            all.into_iter().find_map(|rules| Instead::of(rules::response(rules, scene, response, variables)))
        })?
    }
}

/// `Err`: rules have answered.
fn answered(outcome: Outcome, tarpit: Duration, backend: Option<&BackendRoute>) -> Result<(), Box<Answered<'_>>> {
    let (response, body, how) = match outcome {
        Outcome::Continue => return Ok(()),
        Outcome::Answer(response, body) => (response, body, How::Answered),
        Outcome::Deny(response, body) => (response, body, How::Denied),
        Outcome::Tarpit(response, body) => (response, body, How::Tarpitted(tarpit)),
    };
    Err(Box::new(Answered { response, body, how, backend }))
}

/// What rules look at beside the message.
fn with_scene<T>(
    client: &Client,
    held: &Held,
    backend: Option<BackendIndex>,
    unique_id: Option<&[u8]>,
    look: impl FnOnce(&Scene<'_>) -> T,
) -> Option<T> {
    let seen = Seen { payload: None, backend, unique_id };
    held.with_scene((client.flow, client.tls.as_ref()), seen, look)
}
