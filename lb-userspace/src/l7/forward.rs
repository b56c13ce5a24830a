//! Forward: one exchange, from a client's request to the answer, ours or a server's.

use super::{
    accept::{Client, Held},
    answer::Answer,
    balance::Tries,
    body::{Body, FromServer},
    connect, headers,
    meter::Exchange,
    rule,
    send::{Failure, Lease, ServerConnection},
    snapshot::BackendRoute,
    strict,
};
use crate::model::{FrontendKind, HttpFrontend};
use http::{HeaderValue, Request, Response, Version, header};
use std::{cell::Cell, rc::Rc};
use tokio::time::Instant;

/// Answers a request.
pub(super) async fn exchange(
    client: Rc<Client>,
    request: Request<Body>,
    request_done: Rc<Cell<bool>>,
) -> Response<Body> {
    let running = client.meter.begin();
    let version = request.version();
    let held = client.current();
    let counts = client.meter.counts();
    if let Some(counts) = counts {
        counts.requests.increment();
    }
    let mut response = match answer(&client, &held, request, request_done, running).await {
        Ok(response) => response,
        Err(answer) => {
            if let (true, Some(counts)) = (answer.closes(), counts) {
                counts.request_errors.increment();
            }
            answer.response()
        }
    };
    if let Some(counts) = counts {
        counts.responses(response.status().as_u16()).increment();
    }
    if version == Version::HTTP_2 {
        response.headers_mut().remove(header::CONNECTION);
    } else if client.should_close() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(
    client: &Rc<Client>,
    held: &Held,
    request: Request<Body>,
    request_done: Rc<Cell<bool>>,
    running: Exchange,
) -> Result<Response<Body>, Answer> {
    let frontend = http_frontend(held).ok_or(Answer::Unavailable)?;
    let (mut parts, body) = request.into_parts();
    strict::request(&mut parts)?;
    let backend =
        rule::route(frontend, &parts).and_then(|index| held.snapshot.backend(index)).ok_or(Answer::Unavailable)?;
    headers::prepare_request(&mut parts, frontend.forwarded_for.then(|| client.flow.client.ip()), client.secure);

    let waiting = client.meter.wait_for_server();
    let (response, connection) = ask(client, backend, Request::from_parts(parts, body)).await?;
    drop(waiting);
    #[cfg(test)]
    super::tests::panics::panic_if_told(response.headers());
    let (mut parts, body) = response.into_parts();
    headers::remove_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let lease = Lease { connection, thread: Rc::clone(&client.thread), request_done };
    let meter = Rc::clone(&client.meter);
    let body = FromServer::new(body, backend.timeout_server, meter, lease, running);
    Ok(Response::from_parts(parts, Body::stream(body)))
}

fn http_frontend(held: &Held) -> Option<&HttpFrontend> {
    match &held.frontend()?.kind {
        FrontendKind::Http(http) => Some(http),
        FrontendKind::L4(_) | FrontendKind::Tcp { .. } => None,
    }
}

/// An answer and the connection that its body still comes on.
type Answered = (Response<Body>, ServerConnection);

/// Asks servers until one answers. Only a request of which no server can have seen anything goes to another server.
async fn ask(client: &Client, backend: &BackendRoute, mut request: Request<Body>) -> Result<Answered, Answer> {
    for server in Tries::new(backend, client.flow) {
        let Some(live) = backend.live.servers.get(server) else { continue };
        let counts = live.counts.of(client.thread.index);
        let asked = ask_one(client, backend, server, request).await.and_then(checked);
        if !matches!(asked, Err(Failure::Unsent(_))) {
            counts.total.increment();
        }
        match asked {
            Ok(answered) => return Ok(answered),
            Err(Failure::Unsent(unsent)) => request = *unsent,
            Err(Failure::Client) => return Err(Answer::BadRequest),
            Err(Failure::Cut | Failure::Invalid) => {
                counts.response_errors.increment();
                return Err(Answer::BadGateway);
            }
            Err(Failure::Silent) => {
                counts.response_errors.increment();
                return Err(Answer::GatewayTimeout);
            }
        }
    }
    Err(Answer::Unavailable)
}

fn checked((response, connection): Answered) -> Result<Answered, Failure> {
    let (mut parts, body) = response.into_parts();
    strict::response(&mut parts).map_err(|_answer| Failure::Invalid)?;
    Ok((Response::from_parts(parts, body), connection))
}

/// Asks one server: on a kept connection, if there is one, else on a new one. The server may close a kept one just when
/// we use it, so what can be asked twice without harm is then asked again on a new one.
async fn ask_one(
    client: &Client,
    backend: &BackendRoute,
    server: usize,
    mut request: Request<Body>,
) -> Result<Answered, Failure> {
    let timeout = backend.timeout_server;
    let identity = backend.live.servers.get(server).map_or(0, |live| live.identity);
    while let Some(mut connection) = take_idle(client, identity) {
        let copy = repeatable(&request);
        match (connection.send(request, &client.meter, timeout).await, copy) {
            (Ok(response), _) => return Ok((response, connection)),
            (Err(Failure::Unsent(unsent)), _) => request = *unsent,
            (Err(Failure::Cut), Some(copy)) => {
                request = copy;
                break;
            }
            (Err(failure), _) => return Err(failure),
        }
    }
    match connect::open(backend, server, &client.thread).await {
        Ok((stream, open)) => {
            let mut connection = ServerConnection::new(stream, open, identity, &client.thread).await?;
            let response = connection.send(request, &client.meter, timeout).await?;
            Ok((response, connection))
        }
        Err(_counted) => Err(Failure::Unsent(Box::new(request))),
    }
}

fn take_idle(client: &Client, server: u64) -> Option<ServerConnection> {
    let mut idle = client.thread.idle.borrow_mut();
    let now = Instant::now();
    std::iter::from_fn(|| idle.take(server, now)).find(ServerConnection::is_open)
}

/// A copy of a request that may be sent twice (RFC 9110 §9.2.2) and has no body that could be half gone.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.method().is_idempotent() || !matches!(request.body(), Body::Empty) {
        return None;
    }
    let mut copy = Request::new(Body::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    Some(copy)
}
