//! Servers for tests: they answer with bytes as told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What a server does with a request.
pub(crate) enum Act {
    /// Writes these bytes and reads the next request.
    Answer(String),
    /// Does so after a while.
    Later(Duration, String),
    /// Writes these bytes and closes.
    Close(String),
    /// Writes these bytes and waits until the proxy closes.
    Hang(String),
}

/// A server. Ends with the runtime of its test.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    /// The heads of the requests that came, each with as much body as its content-length says.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    /// Connections that came.
    pub(super) connections: Arc<AtomicUsize>,
    /// Connections that are over.
    pub(super) ended: Arc<AtomicUsize>,
}

impl Origin {
    /// Answers 200 with its name, and keeps connections.
    pub(super) async fn named(name: &'static str) -> Self {
        Self::start(move |_, _| Act::Answer(ok(name))).await
    }

    /// `act` decides by the number of the request on its connection and the request.
    pub(crate) async fn start(act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("bind"), act)
    }

    /// The same on a socket that listens already.
    pub(super) fn on(listener: TcpListener, act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("address");
        let origin = Self { address, requests: Arc::default(), connections: Arc::default(), ended: Arc::default() };
        let (requests, connections, ended) =
            (Arc::clone(&origin.requests), Arc::clone(&origin.connections), Arc::clone(&origin.ended));
        let act = Arc::new(act);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                connections.fetch_add(1, SeqCst);
                let (requests, act, ended) = (Arc::clone(&requests), Arc::clone(&act), Arc::clone(&ended));
                tokio::spawn(async move {
                    serve(stream, &requests, &*act).await;
                    ended.fetch_add(1, SeqCst);
                });
            }
        });
        origin
    }

    pub(super) fn last_request(&self) -> String {
        self.requests.lock().expect("lock").last().cloned().expect("a request came")
    }

    pub(super) fn count(&self) -> usize {
        self.requests.lock().expect("lock").len()
    }
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(mut stream: TcpStream, requests: &Mutex<Vec<String>>, act: &(dyn Fn(usize, &str) -> Act + Send + Sync)) {
    for number in 0.. {
        let Some(request) = read_request(&mut stream).await else { return };
        requests.lock().expect("lock").push(request.clone());
        let (bytes, goes_on) = match act(number, &request) {
            Act::Answer(bytes) => (bytes, true),
            Act::Later(pause, bytes) => {
                tokio::time::sleep(pause).await;
                (bytes, true)
            }
            Act::Close(bytes) => (bytes, false),
            Act::Hang(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap_or_default();
                stream.read_to_end(&mut Vec::new()).await.unwrap_or_default();
                return;
            }
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() || !goes_on {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let head = read_to(stream, "\r\n\r\n").await?;
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        let mut body = read_to(stream, "0\r\n").await?;
        while !body.ends_with("\r\n\r\n") {
            body += &read_to(stream, "\r\n").await?;
        }
        return Some(head + &body);
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.parse().expect("number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + str::from_utf8(&body).expect("text"))
}

async fn read_to(stream: &mut TcpStream, end: &str) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(text).expect("text"))
}
