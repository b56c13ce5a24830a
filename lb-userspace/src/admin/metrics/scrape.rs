//! Scrape: `/metrics` as it is served.

use crate::admin::{
    protocol::{Answer, Request},
    socket::Asked,
};
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::TcpListener as StdListener, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
};
use tracing::debug;

/// A scraper must send its request and take the answer within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Scrapers served at once; more wait in the backlog.
const SCRAPERS: usize = 8;

/// Serves `GET /metrics` until the worker ends.
pub async fn serve(listener: StdListener, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(SCRAPERS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
        let (client, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "cannot accept on the metrics socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let requests = requests.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| respond(request, requests.clone()));
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            match tokio::time::timeout(PATIENCE, server.serve_connection(TokioIo::new(client), service)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a scraper went away"),
                Err(_elapsed) => debug!("a scraper was too slow"),
            }
            drop(slot);
        });
    }
}

async fn respond(
    request: http::Request<Incoming>,
    requests: mpsc::Sender<Asked>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let plain = |status: StatusCode, text: String| {
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, String::new()));
    }
    let (answer, answered) = oneshot::channel();
    _ = requests.send(Asked { request: Request::Metrics, answer }).await;
    let Ok(Answer::Ok(serde_json::Value::String(text))) = answered.await else {
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon is starting or stopping\n".to_owned()));
    };
    let mut response = plain(StatusCode::OK, text);
    let kind = header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_that_say_nothing_do_not_keep_others_out() {
        use std::io::{Read, Write};
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let silent: Vec<_> = (0..SCRAPERS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let scraper = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: sluice\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (requests, mut requests_in) = mpsc::channel::<Asked>(1);
            tokio::task::spawn_local(serve(listener, requests));
            let asked = tokio::time::timeout(PATIENCE * 2, requests_in.recv()).await.unwrap().unwrap();
            asked.answer.send(Answer::Ok("# EOF\n".into())).unwrap();
            while !scraper.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let answer = scraper.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\n# EOF\n"), "{answer}");
        drop(silent);
    }
}
