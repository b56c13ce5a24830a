//! A proxy under test, and clients of it that know nothing of HTTP but bytes.

use super::model;
use crate::{
    l7::{BoundListener, Snapshot, Threads, bind, log::Sinks},
    model::{Backend, Frontend, FrontendKind, HttpFrontend, Model, Ports},
    servers::{FrontendLive, Live},
};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

pub(super) const SHORT: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(8);

/// A proxy with one frontend, `www`; on two threads, unless told otherwise.
pub(super) struct Proxy {
    pub(super) threads: Threads,
    pub(super) address: SocketAddr,
    pub(super) live: Arc<Live>,
    pub(super) model: Arc<Model>,
    _sinks: Sinks,
}

impl Proxy {
    pub(super) fn http(http: HttpFrontend, backends: Vec<Backend>) -> Self {
        Self::with(FrontendKind::Http(http), backends, |_| ())
    }

    pub(super) fn with(kind: FrontendKind, backends: Vec<Backend>, change: impl FnOnce(&mut Frontend)) -> Self {
        Self::on_threads(2, kind, backends, change)
    }

    pub(super) fn on_threads(
        count: usize,
        kind: FrontendKind,
        backends: Vec<Backend>,
        change: impl FnOnce(&mut Frontend),
    ) -> Self {
        let mut frontend = model::frontend("www", "127.0.0.1:0".parse().expect("address"), kind);
        change(&mut frontend);
        Self::of(count, model::model(vec![frontend], backends))
    }

    /// A proxy with the frontend of a model, at a free port instead of its first address.
    pub(super) fn of(count: usize, mut model: Model) -> Self {
        let sockets = bind("127.0.0.1:0".parse().expect("address"), count).expect("bind");
        let (first, address) = (&mut model.frontends[0].binds[0], sockets[0].local_addr().expect("address"));
        (first.address, first.ports) = (address, Ports::One(address.port()));
        Self::serving(vec![sockets], model)
    }

    /// On sockets of several addresses, of each one a thread. The frontend is of the first, unless it is changed.
    pub(super) fn on(
        sockets: Vec<Vec<TcpListener>>,
        kind: FrontendKind,
        backends: Vec<Backend>,
        change: impl FnOnce(&mut Frontend),
    ) -> Self {
        let mut frontend = model::frontend("www", sockets[0][0].local_addr().expect("address"), kind);
        change(&mut frontend);
        Self::serving(sockets, model::model(vec![frontend], backends))
    }

    fn serving(sockets: Vec<Vec<TcpListener>>, model: Model) -> Self {
        let count = sockets[0].len();
        let address = sockets[0][0].local_addr().expect("address");
        let name = model.frontends[0].name.clone();
        let model = Arc::new(model);
        let live = Arc::new(Live::default().for_model(&model));
        let threads = Threads::start(count).expect("threads");
        let bound = |(thread, listener): (usize, TcpListener)| {
            let address = listener.local_addr().expect("address");
            BoundListener { frontend: name.clone(), address, thread, listener }
        };
        let listeners = sockets.into_iter().flat_map(|sockets| sockets.into_iter().enumerate().map(bound));
        let logging = model.frontends.iter().map(|frontend| &frontend.log);
        let sinks = Sinks::default().update(logging, &[], BTreeMap::new(), count).expect("sinks");
        let snapshot = Snapshot::with_logs(Arc::clone(&model), Arc::clone(&live), &sinks).expect("snapshot");
        threads.apply(Arc::new(snapshot), listeners.collect());
        Self { threads, address, live, model, _sinks: sinks }
    }

    /// Applies another configuration, without new listeners.
    pub(super) fn reload(&mut self, model: Model) {
        self.model = Arc::new(model);
        self.live = Arc::new(self.live.for_model(&self.model));
        let snapshot = Snapshot::new(Arc::clone(&self.model), Arc::clone(&self.live)).expect("snapshot");
        self.threads.apply(Arc::new(snapshot), vec![]);
    }

    pub(super) fn frontend_live(&self) -> &FrontendLive {
        self.live.frontend("www").expect("frontend")
    }

    /// What the proxy answers to these bytes until it closes.
    pub(super) async fn ask(&self, bytes: &str) -> String {
        let mut client = self.connect().await;
        client.write_all(bytes.as_bytes()).await.expect("write");
        read_to_end(&mut client).await
    }

    /// What the proxy answers to these bytes until it closes, or keeps the connection though nothing more comes.
    pub(super) async fn ask_once(&self, bytes: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(bytes).await.expect("write");
        let mut answer = Vec::new();
        let read =
            async { while !is_whole(&answer) && client.read_buf(&mut answer).await.is_ok_and(|count| count > 0) {} };
        // Too little says itself what is missing.
        timeout(SHORT * 10, read).await.unwrap_or_default();
        String::from_utf8(answer).expect("text")
    }

    /// What it answers to `GET path`, with that `Host`, on a connection of its own.
    pub(super) async fn ask_path(&self, host: &str, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connect")
    }
}

/// Whether an answer of a given length has come.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| length.parse() == Ok(body.len()))
}

pub(super) async fn read_to_end(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the proxy closes in time");
    if let Err(error) = read {
        answer.extend_from_slice(format!("<{:?}>", error.kind()).as_bytes());
    }
    String::from_utf8(answer).expect("text")
}

/// Reads until what has come ends with `end`.
pub(super) async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let byte = timeout(PATIENCE, client.read_u8()).await.expect("in time");
        answer.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&answer))));
    }
    String::from_utf8(answer).expect("text")
}

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// An address where connections are refused.
pub(super) fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address")
}
