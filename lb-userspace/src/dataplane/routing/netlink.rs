//! The host's network by netlink: what it is now, what happens to it, and the neighbours that the kernel keeps alive.

use super::{
    event::{Address, Event, Link, Neighbour, On, Route},
    message,
};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use rtnetlink::{
    Error, Handle, MulticastGroup, RouteMessageBuilder, new_connection, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        neighbour::{NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourState},
    },
    sys::AsyncSocket as _,
};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    pin::Pin,
};
use tokio::task::JoinHandle;

/// Bytes of announcements that may wait for us. The kernel's default of 208 KiB holds a few hundred.
const RECEIVE_BUFFER: usize = 4 << 20;

type Announcements = Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send + Sync>>;

/// Two connections to the kernel: one asks, one listens, so that a flood of announcements disturbs no answer.
pub(super) struct Netlink {
    handle: Handle,
    announcements: Announcements,
    tasks: [JoinHandle<()>; 2],
}

/// Links, addresses and routes.
#[derive(Debug, Default)]
pub struct Reread {
    /// By number.
    pub links: BTreeMap<u32, Link>,
    /// Of this host.
    pub addresses: Vec<Address>,
    /// Of table main.
    pub routes: Vec<Route>,
}

/// What a listener hears.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// Something happened.
    Event(Event),
    /// Too much happened; announcements were lost.
    Overrun,
    /// Nothing will be heard any more on this connection.
    Closed,
}

impl Netlink {
    /// Connects in the network namespace of the calling thread. Needs a tokio runtime, but no privilege.
    pub(super) fn connect() -> io::Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv6Route,
        ];
        let (mut listening, _, announcements) = new_multicast_connection(&groups)?;
        let socket = listening.socket_mut().socket_mut();
        if let Err(error) = set_socket_recv_buffer_size_force(&*socket, RECEIVE_BUFFER) {
            tracing::debug!(%error, "announcements of the network have the default buffer"); // it takes CAP_NET_ADMIN
        }
        let (asking, handle, _) = new_connection()?;
        let tasks = [tokio::spawn(listening), tokio::spawn(asking)];
        Ok(Self { handle, announcements: Box::pin(announcements.map(|(message, _)| message)), tasks })
    }

    /// Waits for the next announcement that concerns us. Cancel-safe.
    pub(super) async fn listen(&mut self) -> Heard {
        loop {
            match self.announcements.next().await.map(|message| heard(&message)) {
                Some(Some(heard)) => return heard,
                Some(None) => {}
                None => return Heard::Closed,
            }
        }
    }

    /// What else was announced already.
    pub(super) fn waiting(&mut self) -> Option<Heard> {
        self.listen().now_or_never()
    }

    /// Reads links, addresses and routes.
    pub(super) async fn reread(&self) -> Result<Reread, Error> {
        let links = collect(self.handle.link().get().execute(), |message| Some(message::link(&message))).await?;
        let addresses = collect(self.handle.address().get().execute(), |message| message::address(&message)).await?;
        let every = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
        let mut routes: Vec<Route> = Vec::new();
        for every in every {
            let answers = self.handle.route().get(every).execute();
            routes.extend(collect::<_, _, Vec<Route>>(answers, |message| message::route(&message)).await?);
        }
        Ok(Reread { links, addresses, routes })
    }

    /// Reads the neighbours.
    pub(super) async fn neighbours(&self) -> Result<BTreeMap<On, Neighbour>, Error> {
        collect(self.handle.neighbours().get().execute(), |message| message::neighbour(&message)).await
    }

    /// Asks the kernel to keep a neighbour alive (`true`), or to treat it as any other again. Needs CAP_NET_ADMIN.
    ///
    /// NTF_EXT_MANAGED does so since Linux 5.16. Older kernels ignore it, but NTF_USE makes them look for the neighbour
    /// once; asked again and again, they keep it alive too.
    pub(super) async fn manage(&self, on: On, managed: bool) -> Result<(), Error> {
        let mut request = self.handle.neighbours().add(on.ifindex, on.address).replace();
        request = request.state(NeighbourState::None).flags(NeighbourFlags::Use);
        if managed {
            request.message_mut().attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        }
        request.execute().await
    }

    /// Makes the kernel ask for a neighbour once, as if it had something to send there. Needs CAP_NET_ADMIN.
    pub(super) async fn ask(&self, on: On) -> Result<(), Error> {
        self.manage(on, false).await
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn heard(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<Heard> {
    if matches!(message.payload, NetlinkPayload::Overrun(_)) {
        return Some(Heard::Overrun);
    }
    if let NetlinkPayload::InnerMessage(message) = &message.payload {
        message::event(message).map(Heard::Event)
    } else {
        None
    }
}

/// Collects an answer of many messages.
async fn collect<M, T, C: Default + Extend<T>>(
    answers: impl Stream<Item = Result<M, Error>>,
    take: impl Fn(M) -> Option<T>,
) -> Result<C, Error> {
    let mut answers = std::pin::pin!(answers);
    let mut all = C::default();
    while let Some(answer) = answers.next().await {
        all.extend(take(answer?));
    }
    Ok(all)
}
