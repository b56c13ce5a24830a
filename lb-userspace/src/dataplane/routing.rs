//! The supervisor keeps `NEXT_HOPS`, `ROUTES4` and `ROUTES6`, `LOCAL4` and `LOCAL6`, and `DEVICES` as the host's network is.
//!
//! Netlink's announcements (`netlink`, `message`, `event`) change what we know of the network (`network`, with `prefixes`
//! and `sources`); from that and from the servers follow the rows (`table`, `rows`), and the difference to what the maps hold
//! is written (`tables`, `kernel`). All but `netlink`, `kernel`, `events` and `task` is pure, and only `kernel` has the two
//! families apart.
//!
//! The other way round, the packet path says in `EVENTS` where it could not send a packet, and the kernel is made to ask for
//! that neighbour (`events`, `asked`): nobody else would, because the stack sees nothing of what XDP sends.
//!
//! Only table main is followed: no policy routing. A prefix that leads out of anything but Ethernet, or nowhere, gets
//! row 0, which drops: without it, its packets would go along a shorter prefix to where the host would never send them.

pub mod asked;
pub mod event;
pub mod events;
pub mod kernel;
pub mod message;
pub mod network;
pub mod prefixes;
pub mod rows;
pub mod sources;
pub mod table;
pub mod tables;
mod netlink;
mod task;
#[cfg(test)]
mod tests;

use lb_common::{ServerEntry, ServerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::Arc,
};
use table::RoutingTable;
use tables::{Counts, RowWriter};
use task::{Command, Task};
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use events::Events;
pub use kernel::RoutingMaps;
pub use netlink::Reread;

/// The supervisor's handle of the task that follows the network. When the last one is dropped, the task ends and leaves all
/// as it is: what the kernel half needs to go on forwarding.
#[derive(Clone, Debug)]
pub struct Routing {
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<Status>,
    links: Arc<Notify>,
}

/// What is installed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// Times that the network was read anew because announcements were lost.
    pub overruns: u64,
    /// Whether the maps have been as the network is, once.
    pub synced: bool,
    /// Next hops that packets can take.
    pub next_hops: usize,
    /// Servers that no frame reaches now: no route, link down, or no answer to ARP or neighbour solicitation.
    pub unresolved: BTreeSet<IpAddr>,
    /// Prefixes and neighbours that are known, also those that lead nowhere.
    pub routes: Counts,
    /// Addresses of this host.
    pub local: Counts,
    /// Interfaces that frames may leave through.
    pub devices: usize,
    /// Entries that found no room. Not 0: the maps are too small for this host, and some replies are dropped.
    pub left_out: usize,
    /// Changes that the kernel refused and that will be tried again.
    pub refused: usize,
}

/// Why the network cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// No netlink socket.
    #[error("cannot ask the kernel about the network (netlink)")]
    Netlink(#[source] io::Error),
    /// The maps cannot be read back.
    #[error("cannot read the routing maps")]
    Maps(#[source] io::Error),
    /// The task has ended.
    #[error("the network is no longer followed")]
    Ended,
}

/// The network of the calling thread's namespace as it is now. Needs a tokio runtime, but no privilege.
pub async fn reread() -> Result<Reread, RoutingError> {
    let netlink = netlink::Netlink::connect().map_err(RoutingError::Netlink)?;
    netlink.reread().await.map_err(|error| RoutingError::Netlink(io::Error::other(error)))
}

/// Has the kernel treat those neighbours as any others again that it keeps alive for a daemon which has ended without a word:
/// the machines by which `servers` are reached, and the gateways. Returns how many these were. Needs a tokio runtime.
pub async fn release(servers: impl IntoIterator<Item = IpAddr>) -> Result<usize, RoutingError> {
    let failed = |error| RoutingError::Netlink(io::Error::other(error));
    let netlink = netlink::Netlink::connect().map_err(RoutingError::Netlink)?;
    let servers = servers.into_iter().map(|address| (address, 0)).collect();
    let mut table = RoutingTable::new([], &servers, &BTreeMap::new());
    table.network.replace_neighbours(netlink.neighbours().await.map_err(failed)?);
    let Reread { links, addresses, routes } = netlink.reread().await.map_err(failed)?;
    table.network.reread(links, addresses, routes);
    let mut released = 0;
    for on in table.desired().managed {
        if table.network.is_managed(on) {
            netlink.manage(on, false).await.map_err(failed)?;
            released += 1;
        }
    }
    Ok(released)
}

impl Routing {
    /// Starts to follow the network of the calling thread's namespace, on the current tokio runtime, and to have the
    /// neighbours asked for that `events` names.
    ///
    /// `attached`: the interfaces that the program is attached to. `servers`: what `SERVERS` holds, so that a restarted
    /// daemon goes on with the rows that forwarding uses.
    pub fn start(
        mut maps: impl RowWriter + 'static,
        events: Events,
        attached: &[u32],
        servers: &BTreeMap<ServerId, ServerEntry>,
    ) -> Result<Self, RoutingError> {
        let installed = maps.read().map_err(RoutingError::Maps)?;
        let known = servers.values().map(|entry| (entry.addr.ip(), entry.next_hop)).collect();
        let table = RoutingTable::new(attached.iter().copied(), &known, &installed.routes);
        let netlink = netlink::Netlink::connect().map_err(RoutingError::Netlink)?;
        let (commands, received) = mpsc::unbounded_channel();
        let (report, status) = watch::channel(Status::default());
        let links = Arc::new(Notify::new());
        let task = Task::new(Box::new(maps), installed, table, netlink, events, report, Arc::clone(&links));
        tokio::spawn(task.run(received));
        Ok(Self { commands, status, links })
    }

    /// From now on these are all servers: each gets a row in `NEXT_HOPS`, which follows the way to it. Servers beyond the
    /// map's capacity are left out of the answer.
    ///
    /// A row is freed when its server is no longer named. So name old and new servers before the planner writes, and
    /// the new ones alone after it.
    pub async fn watch(&self, addresses: &[IpAddr]) -> Result<BTreeMap<IpAddr, u16>, RoutingError> {
        let servers = addresses.iter().copied().collect();
        let (answer, answered) = oneshot::channel();
        self.send(Command::Watch { servers, answer })?;
        answered.await.map_err(|_closed| RoutingError::Ended)
    }

    /// Waits until a link has come, gone or changed since the last time. For one who waits.
    pub async fn links_changed(&self) {
        self.links.notified().await;
    }

    /// The program is attached to these interfaces from now on, by number.
    pub fn attached(&self, interfaces: BTreeSet<u32>) -> Result<(), RoutingError> {
        self.send(Command::Attached(interfaces))
    }

    /// Writes no map from now on, and hears nothing of the packet path, until [`go_on`](Self::go_on): another process does.
    pub async fn hold(&self) -> Result<(), RoutingError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Hold { answer })?;
        answered.await.map_err(|_closed| RoutingError::Ended)
    }

    /// Goes on after [`hold`](Self::hold), whatever has become of the maps meanwhile; `maps` are the same, opened again.
    pub fn go_on(&self, maps: impl RowWriter + 'static) -> Result<(), RoutingError> {
        self.send(Command::GoOn(Box::new(maps)))
    }

    /// Waits until the maps are as the network is, for the first time.
    pub async fn synced(&self) -> Result<(), RoutingError> {
        let mut status = self.status.clone();
        status.wait_for(|status| status.synced).await.map_err(|_closed| RoutingError::Ended)?;
        Ok(())
    }

    /// What is installed now. Wait on it to hear of changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Ends, and the kernel no longer keeps neighbours alive for us: for when the program is detached.
    pub async fn stop(self) -> Result<(), RoutingError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Stop { answer })?;
        answered.await.map_err(|_closed| RoutingError::Ended)
    }

    fn send(&self, command: Command) -> Result<(), RoutingError> {
        self.commands.send(command).map_err(|_closed| RoutingError::Ended)
    }
}
