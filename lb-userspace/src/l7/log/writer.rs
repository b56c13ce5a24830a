//! Writer: the thread of a target. It may wait for the target as long as it likes: nobody waits for it.

use super::{
    outlet::{Outlet, Progress},
    sink::{Batch, Sink, lock},
};
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{info, warn};

/// Pause before a target that failed is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A target that fails again sooner than that after a warning is not warned of again.
const QUIET: Duration = Duration::from_secs(10);

/// Starts the writer of `sink`. It ends once the sink is closed.
pub(super) fn start(sink: Arc<Sink>, outlet: Outlet) -> io::Result<JoinHandle<()>> {
    let name = "access log".to_owned();
    thread::Builder::new()
        .name(name)
        .spawn(move || Writer { sink: &sink, outlet, reported: sink.lost.value(), warned: None }.run())
}

struct Writer<'a> {
    sink: &'a Sink,
    outlet: Outlet,
    /// How many lost lines the target was told of.
    reported: u64,
    /// When it was last said that the target fails.
    warned: Option<Instant>,
}

impl Writer<'_> {
    fn run(mut self) {
        self.sink.register();
        let mut batch = Batch::default();
        while self.sink.wait() {
            self.take_replacement();
            let mut place = 0;
            while self.sink.take(place, &mut batch) {
                self.deliver(&batch);
                batch.clear();
                place += 1;
            }
            self.report_lost();
        }
    }

    fn take_replacement(&mut self) {
        if let Some(descriptor) = lock(&self.sink.replacement).take() {
            self.outlet.replace(descriptor);
        }
    }

    /// Writes all of `batch`, however long that takes; a closed sink has one try.
    fn deliver(&mut self, batch: &Batch) {
        let (mut progress, mut pause) = (Progress::default(), PAUSE);
        while progress.messages < batch.ends.len() {
            self.take_replacement();
            let before = progress;
            let outcome = self.outlet.write(&self.sink.target, batch, &mut progress);
            let refused = progress.refused - before.refused;
            self.sink.lost.add((refused + progress.unheard - before.unheard) as u64);
            let written = progress.messages - before.messages - refused;
            if written > 0 && self.sink.wrote(written) {
                if !self.is_quiet() {
                    info!(target = %self.sink.target, "access log goes on");
                }
                pause = PAUSE;
            }
            let Err(error) = outcome else { continue };
            if !self.sink.failing.swap(true, Relaxed) && !self.is_quiet() {
                self.warned = Some(Instant::now());
                warn!(target = %self.sink.target, %error, "access log is not taken; lines wait, then are lost");
            }
            if self.sink.is_closing() {
                self.sink.lost.add((batch.ends.len() - progress.messages) as u64);
                return;
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether a warning is young: a disk that is nearly full fails again and again.
    fn is_quiet(&self) -> bool {
        self.warned.is_some_and(|warned| warned.elapsed() < QUIET)
    }

    /// A line in the log itself, so that whoever reads it knows of the gap.
    fn report_lost(&mut self) {
        let lost = self.sink.lost.value();
        if lost == self.reported || self.sink.failing.load(Relaxed) {
            return;
        }
        let mut batch = Batch::default();
        let message = lock(&self.sink.style).lost(lost - self.reported, &self.sink.target);
        batch.ends.push(message.len());
        batch.bytes = message;
        self.reported = lost;
        self.deliver(&batch);
    }
}
