//! Observed: failures of the traffic itself, counted in a row for each server. Enough of them are told to whoever judges.

use super::{BackendLive, ServerLive};
use crate::model::{
    Backend,
    check::{Layer, Observe},
};
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::mpsc;

/// What a serving thread saw of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// A connection opened.
    Connected,
    /// A connection did not.
    NotConnected,
    /// A response began, with that status.
    Status(u16),
    /// A response was none, or came too late.
    NoResponse,
}

/// What is looked for, and who is told: identities of servers.
#[derive(Clone, Debug)]
pub(super) struct Observer {
    layer: Layer,
    limit: u32,
    tell: mpsc::Sender<u64>,
}

impl Observer {
    /// If the check of `backend` asks for one, and there is somebody to tell.
    pub(super) fn new(backend: &Backend, tell: Option<&mpsc::Sender<u64>>) -> Option<Self> {
        let Observe { layer, error_limit, .. } = backend.check.as_ref()?.observe?;
        Some(Self { layer, limit: error_limit, tell: tell?.clone() })
    }

    /// Whether that speaks for the server or against it; `None`: neither.
    fn speaks(&self, seen: Seen) -> Option<bool> {
        match (self.layer, seen) {
            (_, Seen::NotConnected) | (Layer::Requests, Seen::NoResponse) => Some(false),
            (Layer::Connections, Seen::Connected) => Some(true),
            // HAProxy's `http_check_status` of `observe layer7`.
            (Layer::Requests, Seen::Status(status)) => Some(matches!(status, 100..=499 | 501 | 505)),
            (Layer::Requests, Seen::Connected) | (Layer::Connections, Seen::Status(_) | Seen::NoResponse) => None,
        }
    }

    fn note(&self, server: &ServerLive, seen: Seen) {
        let errors = &server.errors.0;
        match self.speaks(seen) {
            None => {}
            // A line that nobody writes is nobody's.
            Some(true) if errors.load(Relaxed) == 0 => {}
            Some(false) if errors.fetch_add(1, Relaxed) + 1 < self.limit => {}
            // Who judges may be behind with others: the next failure tries again.
            Some(false) if self.tell.try_send(server.identity).is_err() => {}
            Some(_) => errors.store(0, Relaxed),
        }
    }
}

impl BackendLive {
    /// Takes into account what was seen of a server, if anyone wants to know.
    pub fn saw(&self, server: usize, seen: Seen) {
        if let Some((observer, server)) = self.observer.as_ref().zip(self.servers.get(server)) {
            observer.note(server, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::check::{Check, OnError},
        plan::testing,
        servers::Live,
    };

    /// How often somebody was told while these were seen, with a limit of 3.
    fn told(layer: Layer, seen: &[Seen]) -> usize {
        let observe = Observe { layer, error_limit: 3, on_error: OnError::FailCheck, floor: 0 };
        let mut web = testing::backend("web", testing::servers(2));
        web.check = Some(Check { observe: Some(observe), ..Check::default() });
        let (tell, mut heard) = mpsc::channel(64);
        let live = Live::telling(tell).for_model(&testing::model(vec![web], vec![]));
        let web = live.backend("web").expect("a backend");
        for seen in seen {
            web.saw(1, *seen);
        }
        let mut count = 0;
        while let Ok(identity) = heard.try_recv() {
            assert_eq!(identity, web.servers[1].identity);
            count += 1;
        }
        count
    }

    #[test]
    fn failures_in_a_row_are_told_and_successes_forgive() {
        use Seen::{Connected, NoResponse, NotConnected, Status};
        assert_eq!(told(Layer::Connections, &[NotConnected; 7]), 2);
        let forgiven = [NotConnected, NotConnected, Connected, NotConnected, NotConnected];
        assert_eq!(told(Layer::Connections, &forgiven), 0);
        assert_eq!(told(Layer::Connections, &[NoResponse, Status(500), NoResponse, Status(503)]), 0);
        assert_eq!(told(Layer::Requests, &[NotConnected, Connected, Status(500), NoResponse]), 1);
        assert_eq!(told(Layer::Requests, &[Status(502), Status(503), Status(404), Status(504)]), 0);
        assert_eq!(told(Layer::Requests, &[Status(501), Status(505), Status(200)]), 0);
    }
}
