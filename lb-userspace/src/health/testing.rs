//! Servers that exist in memory: they say what a test wants, cut as TCP might cut it.

use super::{Finding, Probers, checker::Connectors, finding::Step, probe::Prober, wire::Wire};
use crate::config;
use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
    time::Instant,
};

/// A server that says all of `answers`, whatever it is told, in pieces of at most `cut` bytes, and then hangs up.
struct Deaf {
    answers: Vec<u8>,
    said: usize,
    cut: usize,
    /// Whether it was listened to before: what it says arrives a moment later than that begins.
    begun: bool,
}

impl AsyncRead for Deaf {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.begun, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let end = self.answers.len().min(self.said + self.cut.min(buffer.remaining()));
        buffer.put_slice(&self.answers[self.said..end]);
        self.said = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What `probe` finds at a server that says `answers`, in pieces of at most `cut` bytes, and hangs up.
pub(super) fn once(
    runtime: &Runtime,
    answers: &[u8],
    cut: usize,
    probe: impl AsyncFnOnce(&mut Wire) -> Step<Finding>,
) -> Finding {
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_secs(1);
        let server = Deaf { answers: answers.to_vec(), said: 0, cut, begun: false };
        let mut wire = Wire::new(server, "192.0.2.1:80".parse().unwrap(), deadline);
        let found = probe(&mut wire).await;
        found.unwrap_or_else(|found| found)
    })
}

/// What `probe` finds at a server that says `answers` and hangs up: the same however the answers are cut.
#[expect(clippy::needless_pass_by_value, reason = "a closure is written where it is handed over")]
pub(super) fn ask(answers: &[u8], probe: impl AsyncFn(&mut Wire) -> Step<Finding>) -> Finding {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let whole = answers.len().max(1);
    let find = |cut: usize| once(&runtime, answers, cut, async |wire: &mut Wire| probe(wire).await);
    let found = find(whole);
    for cut in [1, 2, 3, 7].into_iter().filter(|cut| *cut < whole) {
        assert_eq!(find(cut), found, "in pieces of {cut} bytes");
    }
    found
}

/// A prober of the server at `address` with that check, as a configuration has it.
pub(super) fn prober(address: SocketAddr, check: &str) -> Prober {
    let text = format!(
        "[frontend.f]\nmode = \"tcp\"\nbind = \"127.0.0.1:1\"\ndefault_backend = \"b\"\n\
         [backend.b]\ncheck = {check}\nserver = [{{ name = \"s\", address = \"{address}\" }}]\n"
    );
    let model = config::parse(&text).unwrap_or_else(|errors| panic!("{errors}")).model;
    Probers::new(&model, &Connectors::default()).unwrap().wanted.pop().unwrap().1
}

/// What a server does on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Sends this.
    Say(&'static [u8]),
    /// Waits for something, at most as long as the client stays.
    Hear,
    /// Is silent for a moment, so that what comes next comes on its own.
    Pause,
    /// Waits until the client leaves.
    Stay,
}

/// A server that does the same on every connection, and then closes it.
pub(super) fn server(acts: &'static [Act]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Whatever the client does to it, the next is served.
            thread::spawn(move || drop(serve(stream.unwrap(), acts)));
        }
    });
    address
}

fn serve(mut stream: TcpStream, acts: &[Act]) -> io::Result<()> {
    let mut heard = [0; 4_096];
    for act in acts {
        match act {
            Act::Say(bytes) => stream.write_all(bytes)?,
            Act::Hear => drop(stream.read(&mut heard)?),
            Act::Pause => thread::sleep(Duration::from_millis(60)),
            Act::Stay => while stream.read(&mut heard)? > 0 {},
        }
    }
    Ok(())
}
