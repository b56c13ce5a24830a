//! How an exchange comes to a connection to its server: one that its client has of its own, a kept one, or a new one.

use super::Exchange;
use crate::{
    l7::{
        ask::{
            http1::Connection,
            http2::{OnHttp2, Opened},
        },
        connect,
        http1::target,
        idle::Key,
    },
    model::{Reuse, Sni},
};
use std::{future::poll_fn, task::Poll};
use tokio::time::Instant;

impl Exchange<'_> {
    /// Whether the request may go on a connection that clients share and that has answered so often.
    ///
    /// A server may close a kept connection just when we use it. A client that has sent its first request, of which nobody
    /// can tell then whether it was done, does not expect that; one that goes on with a connection of its own does. So it is
    /// with HAProxy's `http-reuse`, but that requests that can be repeated may go on any.
    fn may_share(&self, answered: u32) -> bool {
        let proven = match self.backend.reuse {
            Reuse::Never | Reuse::Safe => false,
            Reuse::Aggressive => answered > 1,
            Reuse::Always => true,
        };
        proven || self.is_repeatable() || !self.told.client.is_first()
    }

    /// A connection to a server: one that the client has of its own, a kept one, or a new one.
    pub(super) async fn reach(&self, server: usize, may_reuse: bool) -> Option<Reached> {
        let (client, secure) = (self.told.client, self.told.client.is_secure());
        let (thread, is_own) = (&client.thread, self.backend.reuse == Reuse::Never);
        let (key, keeping) = (self.key(server)?, self.backend.keeping.get(server).copied().unwrap_or_default());
        let multiplexed = poll_fn(|cx| {
            let own = client.has_own().and_then(|own| own.borrow_mut().http2.take(&key, cx, secure));
            let shared = || thread.multiplexed.borrow_mut().take(&key, cx, secure);
            Poll::Ready(if is_own { own } else { own.or_else(shared) })
        });
        if let Some(multiplexed) = multiplexed.await {
            return Some(Reached::Http2(multiplexed));
        }
        if may_reuse {
            let open = poll_fn(|cx| {
                let own = || client.has_own().and_then(|own| own.borrow_mut().take(&key));
                let mut all = std::iter::from_fn(own);
                let own = all.find_map(|mut own| own.is_open(cx).then_some(own));
                if own.is_some() || is_own {
                    return Poll::Ready(own);
                }
                let (mut idle, now) = (thread.idle.borrow_mut(), Instant::now());
                let mut all = std::iter::from_fn(|| idle.take(&key, now, |kept| self.may_share(kept.answered())));
                Poll::Ready(all.find_map(|mut kept| kept.is_open(cx).then_some(kept)))
            });
            if let Some(kept) = open.await {
                return Some(Reached::Http1(kept));
            }
        }
        let opened = connect::open(self.backend, server, client.flow, self.host(), thread).await.ok()?;
        if !self.backend.http2 && !opened.0.speaks_h2() {
            return Some(Reached::Http1(Connection::new(opened, key, keeping, is_own)));
        }
        let opened = Opened::new(thread, opened, self.backend.timeout_connect).await?;
        Some(Reached::Http2(if is_own {
            client.own().borrow_mut().http2.put(key, opened, keeping, secure)
        } else {
            thread.multiplexed.borrow_mut().put(key, opened, keeping, secure)
        }))
    }

    /// Where connections to a server lead.
    fn key(&self, server: usize) -> Option<Key> {
        let (live, destination) = (self.backend.live.servers.get(server)?, self.backend.destinations.get(server)?);
        let by_host = matches!(self.backend.tls.get(server), Some(Some((_, Sni::Host))));
        Some(Key {
            server: live.identity,
            dialect: self.backend.dialects.get(server).copied().unwrap_or_default(),
            port: destination.port_of(&self.told.client.flow),
            host: self.host().filter(|_| by_host).map(Box::from),
        })
    }

    /// The host that the request is for, without port.
    fn host(&self) -> Option<&str> {
        let (host, _port) = target::split_port(self.request.host()?);
        std::str::from_utf8(host).ok().filter(|host| !host.is_empty())
    }
}

/// A connection to a server, by what it speaks.
pub(super) enum Reached {
    Http1(Connection),
    Http2(OnHttp2),
}

impl Reached {
    /// Whether the server has answered on it before.
    pub(super) fn is_proven(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.answered() > 0,
            Self::Http2(on) => on.is_proven(),
        }
    }
}
