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

/// Runs what serves a connection or a part of it. After a panic the rest of it is dropped, and with it what it counts as
/// open; nothing that the thread shares is left borrowed or locked.
pub(super) fn contain(frontend: Rc<str>, serving: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let mut serving = Box::pin(serving);
    std::future::poll_fn(move |cx| {
        catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(cx))).unwrap_or_else(|_panic| {
            tracing::error!(frontend = &*frontend, "a panic ended a connection or a stream of one; all others go on");
            Poll::Ready(())
        })
    })
}

/// From now on a panic of a serving thread is logged with its place in the source alone. Its message, which the standard
/// library would print, may quote a request: that of a slice out of a text quotes the text.
pub fn log_places_only() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = take_hook();
        set_hook(Box::new(move |panic| {
            let thread = thread::current();
            match (thread.name().filter(|name| name.starts_with(THREAD_NAME)), panic.location()) {
                (Some(name), Some(place)) => tracing::error!(thread = name, %place, "panic"),
                _ => default(panic),
            }
        }));
    });
}
