//! Servers and clients for crowds: they cost little, and run on a thread of their own beside what is tested.

use std::{future::Future, net::SocketAddr, thread};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
    task::LocalSet,
};

/// More than the sockets of a connection hold where the client's buffer is small.
pub(super) const LARGE: usize = 4 << 20;

/// Whether tests that have a long form run it.
pub(super) fn is_long() -> bool {
    std::env::var_os("SLUICE_LONG").is_some()
}

/// Runs something on a thread with a runtime of its own; what comes of it.
pub(super) fn beside<T, F>(run: impl FnOnce() -> F + Send + 'static) -> oneshot::Receiver<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (tell, told) = oneshot::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Who asked may be gone.
        tell.send(LocalSet::new().block_on(&runtime, run())).unwrap_or_default();
    });
    told
}

/// A server that keeps connections. `GET /large` gets [`LARGE`] bytes, `GET /later` its answer after 5 ms, another `GET` two
/// bytes at once, and everything else no answer.
pub(super) fn serve() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let address = listener.local_addr().expect("address");
    drop(beside(|| async move {
        let listener = TcpListener::from_std(listener).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            tokio::task::spawn_local(answer(stream));
        }
    }));
    address
}

async fn answer(mut stream: TcpStream) {
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
    let mut request = Vec::new();
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            if !stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
                return;
            }
        }
        let written = if request.starts_with(b"GET /large ") {
            let mut written = stream.write_all(large.as_bytes()).await;
            for _ in 0..LARGE / PIECE.len() {
                if written.is_ok() {
                    written = stream.write_all(&PIECE).await;
                }
            }
            written
        } else if request.starts_with(b"GET ") {
            if request.starts_with(b"GET /later ") {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await
        } else {
            stream.read_to_end(&mut Vec::new()).await.unwrap_or_default();
            return;
        };
        if written.is_err() {
            return;
        }
        request.clear();
    }
}

static PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];
