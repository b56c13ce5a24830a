//! Panics: a bug that one connection meets ends that connection alone, and is told without what the client sent.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    rc::Rc,
    sync::Once,
    task::Poll,
    thread,
};

/// Begins the names of the serving threads.
pub(super) const THREAD_NAME: &str = "serve-";
/// The name of the thread that probes servers.
pub(crate) const CHECKS: &str = "checks";

/// Runs what serves a connection or a part of it. After a panic the rest of it is dropped, and with it what it counts as
/// open; nothing that the thread shares is left borrowed or locked.
pub(super) fn contain(frontend: Rc<str>, serving: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let caught = caught(serving);
    async move {
        if caught.await.is_none() {
            tracing::error!(frontend = &*frontend, "a panic ended a connection or a stream of one; all others go on");
        }
    }
}

/// What comes of it; `None`: a panic ended it.
pub(crate) fn caught<T>(running: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    let mut running = Box::pin(running);
    std::future::poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
}

/// From now on a panic of a thread that serves or probes is logged with its place in the source alone. Its message, which the
/// standard library would print, may quote a request or a server: that of a slice out of a text quotes the text.
pub fn log_places_only() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = take_hook();
        set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let name = thread.name().filter(|name| name.starts_with(THREAD_NAME) || *name == CHECKS);
            match (name, panic.location()) {
                (Some(name), Some(place)) => tracing::error!(thread = name, %place, "panic"),
                _ => default(panic),
            }
        }));
    });
}
