//! The loop: hear what happened, bring the maps after it.

use super::{
    Status,
    asked::Asked,
    event::{Event, On},
    events::Events,
    netlink::{Heard, Netlink},
    table::{Desired, RoutingTable},
    tables::{Change, RoutingTables, RowWriter},
};
use ipnet::IpNet;
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// How long after a refusal, or after a neighbour did not answer, we ask again.
const RETRY: Duration = Duration::from_secs(1);
/// Reading links, addresses and routes may take one part in so many of a CPU's time, however often they change.
const REREAD_SHARE: u32 = 10;
/// The same for what the packet path says, however many packets find no Ethernet address.
const ASK_SHARE: u32 = 10;

/// What the supervisor wants of the task.
pub(super) enum Command {
    /// See [`Routing::watch`](super::Routing::watch).
    Watch { servers: BTreeSet<IpAddr>, answer: oneshot::Sender<BTreeMap<IpAddr, u16>> },
    /// See [`Routing::attached`](super::Routing::attached).
    Attached(BTreeSet<u32>),
    /// See [`Routing::hold`](super::Routing::hold).
    Hold { answer: oneshot::Sender<()> },
    /// See [`Routing::go_on`](super::Routing::go_on).
    GoOn(Box<dyn RowWriter>),
    /// See [`Routing::stop`](super::Routing::stop).
    Stop { answer: oneshot::Sender<()> },
}

/// What must be done before the maps can follow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Due {
    /// Links, addresses and routes changed.
    reread: bool,
    /// Neighbours were lost track of.
    neighbours: bool,
    /// The connection is of no use any more.
    reconnect: bool,
}

impl Due {
    const ALL: Self = Self { reread: true, neighbours: true, reconnect: true };
}

pub(super) struct Task {
    maps: Box<dyn RowWriter>,
    installed: RoutingTables,
    table: RoutingTable,
    netlink: Netlink,
    events: Events,
    report: watch::Sender<Status>,
    /// Whoever waits for links to change.
    links: Arc<Notify>,
    due: Due,
    /// No reading before then.
    not_before: Instant,
    /// Neighbours that we asked the kernel to keep alive, and when.
    managed: BTreeMap<On, Instant>,
    /// Servers that the log says are not reached.
    missed: BTreeSet<IpAddr>,
    /// Clients that we had the kernel ask for lately.
    asked: Asked,
}

impl Task {
    pub(super) fn new(
        maps: Box<dyn RowWriter>,
        installed: RoutingTables,
        table: RoutingTable,
        netlink: Netlink,
        events: Events,
        report: watch::Sender<Status>,
        links: Arc<Notify>,
    ) -> Self {
        let due = Due { reread: true, neighbours: true, reconnect: false };
        Self {
            maps,
            installed,
            table,
            netlink,
            events,
            report,
            links,
            due,
            not_before: Instant::now(),
            managed: BTreeMap::new(),
            missed: BTreeSet::new(),
            asked: Asked::default(),
        }
    }

    /// Until told to stop, or until nobody holds the other end of `commands`.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut retry = Instant::now() + RETRY;
        let mut is_held = false;
        loop {
            let due = self.due != Due::default();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Watch { servers, answer }) => self.watch(servers, answer).await,
                    Some(Command::Attached(interfaces)) => {
                        self.table.attach(interfaces);
                        self.follow().await;
                    }
                    Some(Command::Hold { answer }) => {
                        is_held = true;
                        answer.send(()).unwrap_or_default(); // Nobody waits for it any more.
                    }
                    Some(Command::GoOn(maps)) => {
                        (self.maps, self.due, self.not_before) = (maps, Due::ALL, Instant::now());
                        is_held = false;
                    }
                    Some(Command::Stop { answer }) => return self.stop(answer).await,
                    None => return,
                },
                () = sleep_until(self.not_before), if due && !is_held => self.catch_up().await,
                heard = self.netlink.listen(), if !self.due.reconnect && !is_held => {
                    if self.hear_all(heard) {
                        self.follow().await;
                    }
                }
                addresses = self.events.unresolved(), if !is_held => self.ask(addresses).await,
                () = sleep_until(retry), if !is_held => {
                    retry = Instant::now() + RETRY;
                    self.follow().await;
                    self.complain();
                }
            }
        }
    }

    /// Takes what was heard and all that waits behind it. Whether the maps must follow at once.
    fn hear_all(&mut self, first: Heard) -> bool {
        let mut changed = false;
        let mut next = Some(first);
        while let Some(heard) = next {
            changed |= self.hear(&heard);
            next = if self.due.reconnect { None } else { self.netlink.waiting() };
        }
        changed
    }

    fn hear(&mut self, heard: &Heard) -> bool {
        match heard {
            Heard::Event(Event::Neighbour(on, neighbour)) => {
                if neighbour.is_some_and(|neighbour| neighbour.mac.is_some()) {
                    self.asked.answered(on.address);
                }
                return self.table.network.set_neighbour(*on, *neighbour);
            }
            Heard::Event(Event::Reread) => self.due.reread = true,
            Heard::Event(Event::LinkChanged) => self.link_changed(),
            Heard::Event(Event::LinkGone(ifindex)) => {
                self.installed.devices.remove(ifindex);
                self.link_changed();
            }
            // What is still waiting is older than what was lost, so it must not be applied after a new reading: a new
            // connection has nothing waiting.
            Heard::Overrun => {
                tracing::warn!("announcements of the network were lost; reading all of it again");
                self.report.send_modify(|status| status.overruns += 1);
                self.due = Due::ALL;
            }
            Heard::Closed => {
                tracing::error!("the netlink connection broke; connecting again");
                self.due = Due::ALL;
                self.not_before = Instant::now() + RETRY;
            }
        }
        false
    }

    fn link_changed(&mut self) {
        self.links.notify_one();
        self.due.reread = true;
    }

    /// Reads what is due, then follows.
    async fn catch_up(&mut self) {
        let begun = cpu_time();
        let due = std::mem::take(&mut self.due);
        let caught = self.read(due).await;
        self.not_before = Instant::now() + cpu_time().saturating_sub(begun) * REREAD_SHARE;
        match caught {
            Ok(()) => self.follow().await,
            Err(error) => {
                tracing::error!(%error, "cannot read the network; trying again");
                self.due = due;
                self.not_before = Instant::now() + RETRY;
            }
        }
    }

    async fn read(&mut self, due: Due) -> anyhow::Result<()> {
        if due.reconnect {
            self.netlink = Netlink::connect()?;
            self.installed = self.maps.read()?; // a link that went may be among what was lost; see `Event::LinkGone`
            self.links.notify_one(); // of what may have been lost
        }
        if due.neighbours {
            let neighbours = self.netlink.neighbours().await?;
            self.table.network.replace_neighbours(neighbours);
        }
        if due.reread {
            let read = self.netlink.reread().await?;
            self.table.network.reread(read.links, read.addresses, read.routes);
        }
        Ok(())
    }

    async fn watch(&mut self, servers: BTreeSet<IpAddr>, answer: oneshot::Sender<BTreeMap<IpAddr, u16>>) {
        let rows = self.table.watch(servers);
        self.follow().await;
        if answer.send(rows).is_err() {
            tracing::debug!("nobody waits for the rows");
        }
    }

    /// Writes what differs, reports, and sees to the neighbours.
    async fn follow(&mut self) {
        let known = !self.due.neighbours; // before the first reading we know nothing, and write nothing
        if known {
            let desired = self.table.desired();
            let refused = self.write(&desired);
            self.tell(&desired, refused);
            self.manage(desired.managed).await;
        }
    }

    /// The number of changes that were refused.
    fn write(&mut self, desired: &Desired) -> usize {
        let mut refused = 0;
        let are_local = |one: &Change, other: &Change| matches!((one, other), (Change::Local(..), Change::Local(..)));
        for changes in self.installed.changes(&desired.tables).chunk_by(are_local) {
            match self.maps.write(changes) {
                Ok(()) => changes.iter().for_each(|change| self.installed.apply(*change)),
                Err(error) => {
                    tracing::error!(?changes, %error, "cannot write a routing map; trying again");
                    refused += changes.len();
                }
            }
        }
        if refused == 0 {
            self.table.written();
        }
        refused
    }

    fn tell(&self, desired: &Desired, refused: usize) {
        let status = Status {
            overruns: self.report.borrow().overruns,
            synced: true,
            next_hops: self.installed.next_hops.len(),
            unresolved: desired.unresolved.clone(),
            routes: self.installed.routes.keys().map(IpNet::addr).collect(),
            local: self.installed.local.iter().copied().collect(),
            devices: self.installed.devices.len(),
            left_out: desired.left_out,
            refused,
        };
        if status.left_out > 0 && self.report.borrow().left_out == 0 {
            tracing::error!(
                left_out = status.left_out,
                "this host has more routes and neighbours than the maps hold; replies to the rest are dropped"
            );
        }
        self.report.send_if_modified(|old| std::mem::replace(old, status.clone()) != status);
    }

    /// Logs servers that are still not reached when we look again, and those that are at last.
    fn complain(&mut self) {
        let unresolved = self.report.borrow().unresolved.clone();
        for server in unresolved.difference(&self.missed) {
            tracing::warn!(event = "next_hop", %server, "no frame reaches this server: no route, a link that is down, or no answer to ARP or neighbour solicitation; its packets are dropped");
        }
        for server in self.missed.difference(&unresolved) {
            tracing::info!(event = "next_hop", %server, "frames reach this server again, or it is no longer configured");
        }
        self.missed = unresolved;
    }

    /// Asks for neighbours that the kernel does not yet keep alive, and lets those go that nobody needs any more.
    async fn manage(&mut self, wanted: BTreeSet<On>) {
        let released: Vec<_> = self.managed.extract_if(.., |on, _| !wanted.contains(on)).collect();
        for (on, _) in released {
            self.release(on).await;
        }
        for on in wanted {
            let now = Instant::now();
            let asked = self.managed.get(&on);
            if self.table.network.wants_managing(on) && asked.is_none_or(|asked| now - *asked >= RETRY) {
                self.managed.insert(on, now);
                if let Err(error) = self.netlink.manage(on, true).await {
                    tracing::warn!(?on, %error, "the kernel does not look for a neighbour");
                }
            } else if self.table.network.is_managed(on) {
                self.managed.entry(on).or_insert(now); // asked for by the last daemon
            }
        }
    }

    /// Makes the kernel ask for machines to which a packet could not be sent. Their answer comes as any change of a
    /// neighbour does.
    ///
    /// Whoever sends packets chooses the addresses. So they must be on a link of ours, and are not asked for often. Those
    /// that the kernel keeps alive it asks for by itself.
    async fn ask(&mut self, addresses: Vec<IpAddr>) {
        let begun = cpu_time();
        for address in addresses {
            if let Some(on) = self.missing(address)
                && self.asked.may_ask(address, Instant::now())
                && let Err(error) = self.netlink.ask(on).await
            {
                tracing::warn!(?on, %error, "the kernel does not look for a neighbour");
            }
        }
        self.events.rest(cpu_time().saturating_sub(begun) * ASK_SHARE);
    }

    /// The neighbour that `address` would be, if frames do not reach it and nobody sees to that yet.
    fn missing(&self, address: IpAddr) -> Option<On> {
        let on = self.table.network.neighbour_at(address)?;
        (!self.table.network.reaches(on) && !self.managed.contains_key(&on)).then_some(on)
    }

    async fn release(&mut self, on: On) {
        if self.table.network.is_managed(on)
            && let Err(error) = self.netlink.manage(on, false).await
        {
            tracing::debug!(?on, %error, "a neighbour stays managed");
        }
    }

    async fn stop(mut self, answer: oneshot::Sender<()>) {
        for (on, _) in std::mem::take(&mut self.managed) {
            self.release(on).await;
        }
        if answer.send(()).is_err() {
            tracing::debug!("nobody waits for the end");
        }
    }
}

/// What this thread, the only one of the supervisor, has cost so far. Time that passes while something else keeps it, such
/// as a driver that is being given a program, is no reason to fall behind the network afterwards.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
