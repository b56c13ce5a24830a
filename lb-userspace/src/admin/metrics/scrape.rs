//! Scrape: `/metrics` as it is served.

use super::plain;
use crate::admin::{
    door::{Answered, Bounds, Last, answer, serve as serve_door, with},
    protocol::{Answer, Request},
    socket::Asked,
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;
use std::{io, net::TcpListener as StdListener, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// A scraper must send its request and take the answer within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Scrapers served at once; more wait in the backlog.
const SCRAPERS: usize = 8;
/// Who asks again within this time gets the same.
const FRESH: Duration = Duration::from_millis(100);

/// One moment, in the formats that scrapers take.
#[derive(Clone)]
struct Scraped {
    open_metrics: Bytes,
    plain: Bytes,
}

/// Serves `GET /metrics` until the worker ends.
pub async fn serve(listener: StdListener, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    let last = Last::new(FRESH);
    let bounds = Bounds { clients: SCRAPERS, header_within: PATIENCE, within: PATIENCE };
    serve_door(listener, bounds, async move |request, _| respond(&request, &requests, &last).await).await
}

async fn respond(request: &http::Request<Incoming>, requests: &mpsc::Sender<Asked>, last: &Last<Scraped>) -> Answered {
    if request.uri().path() != "/metrics" {
        return answer(StatusCode::NOT_FOUND, "only /metrics is here\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let response = answer(StatusCode::METHOD_NOT_ALLOWED, "");
        return with(response, header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let Some(scraped) = last.or_find(scrape(requests)).await else {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "the daemon is starting or stopping\n");
    };
    let (text, kind) = if takes_open_metrics(request) {
        (scraped.open_metrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (scraped.plain, "text/plain; version=0.0.4; charset=utf-8")
    };
    with(answer(StatusCode::OK, text), header::CONTENT_TYPE, HeaderValue::from_static(kind))
}

/// Everything that is counted; `None`: nobody answers.
async fn scrape(requests: &mpsc::Sender<Asked>) -> Option<Scraped> {
    let (answer, answered) = oneshot::channel();
    requests.send(Asked { request: Request::Metrics, answer }).await.ok()?;
    let Ok(Answer::Ok(serde_json::Value::String(text))) = answered.await else { return None };
    let plain = plain::from_open_metrics(&text).into();
    Some(Scraped { open_metrics: text.into(), plain })
}

/// Prometheus says so; what does not is given the format that everybody reads.
fn takes_open_metrics(request: &http::Request<Incoming>) -> bool {
    let all = request.headers().get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|kind| {
        let mut parts = kind.split(';').map(str::trim);
        let is_meant = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
        is_meant && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpStream},
        thread::JoinHandle,
    };
    use tokio::time::Instant;

    const TEXT: &str = "# HELP a A.\n# TYPE a counter\na_total{} 1\n# EOF\n";

    fn scrape(address: SocketAddr, fields: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: sluice\r\n{fields}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Serves until `scraper`, which is told where, has ended. How often the daemon was asked, and what the scraper says.
    fn with_daemon<T: Send + 'static>(
        text: &str,
        scraper: impl FnOnce(SocketAddr) -> T + Send + 'static,
    ) -> (usize, T) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scraper: JoinHandle<T> = std::thread::spawn(move || scraper(address));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asked = tokio::task::LocalSet::new().block_on(&runtime, async {
            let (requests, mut requests_in) = mpsc::channel::<Asked>(1);
            tokio::task::spawn_local(serve(listener, requests));
            let mut count = 0;
            while !scraper.is_finished() {
                let wait = tokio::time::timeout(Duration::from_millis(10), requests_in.recv());
                if let Ok(Some(asked)) = wait.await {
                    count += 1;
                    asked.answer.send(Answer::Ok(text.into())).unwrap_or_default();
                }
            }
            count
        });
        (asked, scraper.join().unwrap())
    }

    #[test]
    fn whoever_says_so_gets_open_metrics_and_everyone_else_the_older_format() {
        let (_, answers) = with_daemon(TEXT, |address| {
            let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5\r\n";
            let never = "Accept: application/openmetrics-text;q=0, text/plain\r\n";
            [accept, never, ""].map(|fields| scrape(address, fields))
        });
        let kinds =
            ["application/openmetrics-text; version=1.0.0", "text/plain; version=0.0.4", "text/plain; version=0.0.4"];
        for (answer, kind) in answers.iter().zip(kinds) {
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains(&format!("content-type: {kind}; charset=utf-8\r\n")), "{answer}");
        }
        let [open, plain, _] = answers;
        assert!(open.ends_with("\r\n\r\n".to_owned().as_str()) || open.ends_with(TEXT), "{open}");
        assert!(plain.ends_with("\r\n\r\n# HELP a_total A.\n# TYPE a_total counter\na_total{} 1\n"), "{plain}");
    }

    #[test]
    fn scrapers_that_say_nothing_or_take_nothing_do_not_keep_others_out() {
        let long = format!("# TYPE a gauge\na{{}} 1\n{}# EOF\n", "# HELP a b\n".repeat(1 << 20));
        let (_, answer) = with_daemon(&long, |address| {
            let silent: Vec<_> = (0..SCRAPERS / 2).map(|_| TcpStream::connect(address).unwrap()).collect();
            let deaf = (SCRAPERS / 2..SCRAPERS).map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                let accept = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n";
                stream.write_all(accept.as_bytes()).unwrap();
                stream
            });
            let deaf: Vec<_> = deaf.collect();
            let answer = scrape(address, "");
            drop((silent, deaf));
            answer
        });
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n# HELP a \n# TYPE a gauge\na{} 1\n"), "{answer}");
    }

    #[test]
    fn a_storm_of_scrapers_asks_the_daemon_ten_times_a_second_at_most() {
        let (asked, (answers, took)) = with_daemon(TEXT, |address| {
            let begun = Instant::now();
            let answers = (0..200).filter(|_| scrape(address, "").ends_with("a_total{} 1\n")).count();
            (answers, begun.elapsed())
        });
        assert_eq!(answers, 200);
        assert!(asked as u128 <= took.as_millis() / FRESH.as_millis() + 1, "{asked} times in {took:?}");
    }

    #[test]
    fn a_header_without_end_is_refused() {
        let (asked, answer) = with_daemon(TEXT, |address| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
            let endless = std::iter::repeat_n([b'a'; 4_096], 64);
            // It may be cut off while we write.
            endless.into_iter().for_each(|part| stream.write_all(&part).unwrap_or_default());
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer).unwrap_or_default()
        });
        assert!(asked == 0 && !answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
