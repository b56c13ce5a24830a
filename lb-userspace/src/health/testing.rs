//! Servers that exist in memory: they say what a test wants, cut as TCP might cut it.

use super::{Finding, finding::Step, wire::Wire};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
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
