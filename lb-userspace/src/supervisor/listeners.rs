//! The listening sockets: made here, because only here are the rights, and kept here, so that a connection that waits
//! in a backlog survives the death of a worker.

use crate::{
    channel::DESCRIPTOR_LIMIT,
    l7,
    model::{Bind, Model},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, BorrowedFd},
};

/// Sockets by address, one a thread each (SO_REUSEPORT).
#[derive(Debug, Default)]
pub struct Listeners {
    open: BTreeMap<SocketAddr, Vec<TcpListener>>,
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// Which.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Listeners {
    /// Opens what `model` needs beyond what is open. On an error nothing has changed.
    pub fn open_missing(&self, model: &Model) -> Result<Self, ListenError> {
        let missing = addresses(model).into_iter().filter(|address| !self.open.contains_key(address));
        let open = missing.map(|address| match l7::bind(address, model.global.threads) {
            Ok(sockets) => Ok((address, sockets)),
            Err(source) => Err(ListenError { address, source }),
        });
        Ok(Self { open: open.collect::<Result<_, _>>()? })
    }

    /// Those of another process that `model` names, and what it needs beyond them; and the addresses of those that it does not name,
    /// which are closed here. Where it has more threads than there are sockets, several have one together: one that is opened here
    /// would be given connections at once, and the other process may go on.
    pub fn with(
        mut self,
        inherited: BTreeMap<SocketAddr, Vec<TcpListener>>,
        model: &Model,
    ) -> Result<(Self, Vec<SocketAddr>), ListenError> {
        let (wanted, mut gone) = (addresses(model), Vec::new());
        for (address, mut sockets) in inherited {
            if !wanted.contains(&address) {
                gone.push(address);
                continue;
            }
            // None of them is closed, however few threads there are: what waits in it would be reset.
            let missing = model.global.threads.saturating_sub(sockets.len());
            let shared = sockets.iter().cycle().take(missing).map(TcpListener::try_clone);
            let shared = shared.collect::<io::Result<Vec<_>>>().map_err(|source| ListenError { address, source })?;
            sockets.extend(shared);
            self.open.insert(address, sockets);
        }
        let opened = self.open_missing(model)?;
        self.keep(opened, model);
        Ok((self, gone))
    }

    /// Takes what was opened and closes what `model` no longer names.
    pub fn keep(&mut self, opened: Self, model: &Model) {
        let wanted = addresses(model);
        self.open.extend(opened.open);
        self.open.retain(|address, _| wanted.contains(address));
    }

    /// Those of addresses that go to another frontend by `after` than by `before`.
    pub fn moved(&self, before: &Model, after: &Model) -> impl Iterator<Item = (SocketAddr, &[TcpListener])> {
        self.iter().filter(|(address, _)| {
            let (before, after) = (before.frontend_at(*address), after.frontend_at(*address));
            after.is_some_and(|after| before.is_none_or(|before| before.name != after.name))
        })
    }

    /// Every address with its sockets.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[TcpListener])> {
        self.open.iter().map(|(address, sockets)| (*address, sockets.as_slice()))
    }
}

/// The sockets of each address, as many as a message takes at a time.
pub(super) fn in_messages<'a>(
    listeners: impl Iterator<Item = (SocketAddr, &'a [TcpListener])>,
) -> impl Iterator<Item = (SocketAddr, Vec<BorrowedFd<'a>>)> {
    listeners.flat_map(|(address, sockets)| {
        sockets.chunks(DESCRIPTOR_LIMIT).map(move |sockets| (address, sockets.iter().map(AsFd::as_fd).collect()))
    })
}

fn addresses(model: &Model) -> BTreeSet<SocketAddr> {
    let served = model.frontends.iter().filter(|frontend| frontend.is_proxied());
    served.flat_map(|frontend| &frontend.binds).flat_map(Bind::addresses).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::tests::model,
        model::{FrontendKind, Ports},
    };
    use std::{fs, os::fd::AsRawFd};

    fn model_of(addresses: &[SocketAddr]) -> Model {
        let frontend = |address: &SocketAddr| {
            model::frontend(&address.to_string(), *address, FrontendKind::Http(model::http_frontend()))
        };
        model::model(addresses.iter().map(frontend).collect(), vec![])
    }

    fn descriptors(listeners: &Listeners, address: SocketAddr) -> Vec<i32> {
        let of = |(_, sockets): (_, &[TcpListener])| sockets.iter().map(AsRawFd::as_raw_fd).collect();
        listeners.iter().find(|(known, _)| *known == address).map(of).unwrap_or_default()
    }

    /// An address that nobody listens on.
    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn sockets_stay_the_same_come_and_go_with_the_model() {
        let (kept, gone, new) = (free(), free(), free());
        let mut listeners = Listeners::default().open_missing(&model_of(&[kept, gone])).unwrap();
        let before = descriptors(&listeners, kept);
        assert_eq!(before.len(), 2, "one a thread");

        let next = model_of(&[kept, new]);
        let opened = listeners.open_missing(&next).unwrap();
        assert_eq!(opened.iter().map(|(address, _)| address).collect::<Vec<_>>(), [new]);
        listeners.keep(opened, &next);
        assert_eq!(descriptors(&listeners, kept), before);
        assert_eq!(descriptors(&listeners, new).len(), 2);
        TcpListener::bind(gone).expect("what is no longer named is closed");
    }

    #[test]
    fn what_goes_to_another_frontend_is_told_from_what_stays_and_goes() {
        let (kept, moved, gone) = (free(), free(), free());
        let before = model_of(&[kept, moved, gone]);
        let mut after = model_of(&[kept, moved]);
        after.frontends[1].name = "another".into();
        let listeners = Listeners::default().open_missing(&before).unwrap();
        assert_eq!(listeners.moved(&before, &after).map(|(address, _)| address).collect::<Vec<_>>(), [moved]);
        assert_eq!(listeners.moved(&before, &before).count(), 0);
    }

    #[test]
    fn inherited_sockets_go_on_as_they_are_and_threads_that_have_none_share_one() {
        let (kept, gone, new) = (free(), free(), free());
        let mut before = model_of(&[kept, gone]);
        before.global.threads = 1;
        let inherited = Listeners::default().open_missing(&before).unwrap();
        let first = descriptors(&inherited, kept);
        let (listeners, left) = Listeners::default().with(inherited.open, &model_of(&[kept, new])).unwrap();
        assert_eq!(left, [gone]);
        let now = descriptors(&listeners, kept);
        assert_eq!((now.len(), &now[..1]), (2, &first[..]));
        let inode = |descriptor: i32| fs::read_link(format!("/proc/self/fd/{descriptor}")).unwrap();
        assert_eq!(inode(now[0]), inode(now[1]), "a second socket is listening");
        assert_eq!(descriptors(&listeners, new).len(), 2);
        let (listeners, _) = Listeners::default().with(listeners.open, &before).unwrap();
        assert_eq!(descriptors(&listeners, kept), now, "two for one thread");
    }

    #[test]
    fn each_port_of_a_range_has_its_sockets() {
        let (model, first) = loop {
            let first = free();
            let mut model = model_of(&[first]);
            model.frontends[0].binds[0].ports = Ports::Range(first.port(), first.port().saturating_add(2));
            if addresses(&model).into_iter().all(|address| TcpListener::bind(address).is_ok()) {
                break (model, first);
            }
        };
        let opened = Listeners::default().open_missing(&model).unwrap();
        let ports: Vec<_> = opened.iter().map(|(address, sockets)| (address.port(), sockets.len())).collect();
        assert_eq!(ports, [0, 1, 2].map(|more| (first.port() + more, 2)));
    }

    #[test]
    fn an_address_that_is_taken_is_named_and_nothing_stays_open() {
        let (free, taken) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = taken.local_addr().unwrap();
        let listeners = Listeners::default();
        let error = listeners.open_missing(&model_of(&[free, address])).unwrap_err();
        assert_eq!(error.address, address);
        TcpListener::bind(free).expect("closed again");
        assert_eq!(listeners.iter().count(), 0);
    }
}
