//! The maps as the daemon writes them and as the packet path reads them, and clients whose flows must stay where they are.

use crate::{
    dataplane::{
        memory::MemoryMaps,
        writer::{MapWriter, WriteError},
    },
    plan::{self, Tables, Write},
};
use lb_common::{
    Be16, Be32, Ends, Family as _, Flow, FlowKey4, Note, Protocol, RingHead, RingId, ServerId, ServerState, V4, Vip,
    vip::flags::{KEEPS, WITHDRAWN},
};
use lb_ebpf::{
    parse::L4,
    select::{self, Signs},
    testing::{MemoryRing, MemoryTables},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv4Addr,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Every flow sends at least one packet in this time, which is less than a transition.
const SILENCE: Duration = Duration::from_secs(50);

/// Where a flow is, and since when it is silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    ends: Ends<V4>,
    server: u64,
    last: Instant,
}

/// The maps as the daemon writes them and as the packet path reads them, and the clients.
pub(super) struct World {
    pub(super) maps: MemoryMaps,
    pub(super) path: MemoryTables,
    pub(super) now: Instant,
    /// Flows that clients have open.
    pub(super) open: BTreeMap<FlowKey4, Open>,
    /// The only one.
    vip: Option<Vip>,
    /// Writes that succeed until the daemon dies; `None`: it lives on.
    pub(super) writes_left: Option<usize>,
    /// Those of the VIP.
    flags: u16,
    clients: u32,
    random: fastrand::Rng,
}

#[derive(Clone)]
pub(super) struct Shared(pub(super) Rc<RefCell<World>>);

impl World {
    /// Over empty maps.
    pub(super) fn new(seed: u64, flags: u16) -> Self {
        Self {
            maps: MemoryMaps::default(),
            path: MemoryTables::default(),
            now: Instant::now(),
            open: BTreeMap::new(),
            vip: None,
            writes_left: None,
            flags,
            clients: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// One write of the daemon.
    fn write(&mut self, write: &Write) -> Result<(), WriteError> {
        if let Some(left) = &mut self.writes_left {
            let dead = || WriteError::Server(0, io::Error::other("the daemon is dead"));
            *left = left.checked_sub(1).ok_or_else(dead)?;
        }
        if let Write::ForgetFlows(id) = write {
            self.path.v4.flows.borrow_mut().retain(|_, flow| flow.server != *id);
        }
        self.maps.apply(std::slice::from_ref(write))?;
        let Tables { servers, rings, vips, .. } = self.maps.tables();
        self.vip = vips.into_iter().find(|(key, _)| !key.is_address_entry()).map(|(_, vip)| vip);
        self.path.servers = servers;
        let ring = |(id, ring): (RingId, plan::Ring)| {
            let head = RingHead { identity: ring.identity, half: 0, reserved: 0 };
            (id, MemoryRing { head, halves: [Arc::clone(&ring.slots), ring.slots] })
        };
        self.path.rings = rings.into_iter().map(ring).collect();
        Ok(())
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.path.now.set(self.path.now.get() + u64::try_from(time.as_nanos()).unwrap());
    }

    /// The server that a packet goes to; `None`: nobody is up, or the VIP takes no new flow.
    fn select(&self, ends: &Ends<V4>, opens: bool) -> Option<u64> {
        let vip = self.vip.filter(|vip| !opens || !vip.has(WITHDRAWN))?;
        let (signs, checksum) = (Signs { opens, ..Signs::default() }, Be16::new(0));
        let l4 = L4 { ends: *ends, checksum, opens, agrees: opens, closes: false, flags: 0, from_zero: false };
        let settled = select::settled(&self.path, &l4, &vip).expect("the tables are whole");
        let chosen = settled.map_or_else(|| select::server(&self.path, ends, signs, &vip).ok(), Some)?;
        Some(chosen.server.identity)
    }

    /// A client opens a flow.
    fn open(&mut self) {
        self.clients += 1;
        let ends = Ends {
            source: Be32::from(Ipv4Addr::from_bits(self.clients)),
            destination: Be32::from(Ipv4Addr::new(192, 0, 2, 10)),
            source_port: Be16::new(self.random.u16(1_024..)),
            destination_port: Be16::new(80),
            protocol: Protocol::Tcp,
        };
        if let Some(server) = self.select(&ends, true) {
            self.open.insert(V4::flow_key(&ends), Open { ends, server, last: self.now });
        }
    }

    /// A packet of an open flow; it must go where the flow is.
    fn send(&mut self, key: &FlowKey4) {
        let Some(&Open { ends, server, .. }) = self.open.get(key) else { return };
        let went = self.select(&ends, false);
        assert_eq!(went, Some(server), "{ends:?} at {:?}", self.now);
        self.open.insert(*key, Open { ends, server, last: self.now });
    }

    /// What clients do between two writes of the daemon: some packets, some new flows. Flows whose server has gone are over, and
    /// so are those whose server fails, unless they are kept.
    pub(super) fn traffic(&mut self, packets: usize) {
        let living: BTreeSet<_> = (self.path.servers.values())
            .filter(|row| self.flags & KEEPS != 0 || ServerState::from_byte(row.state).forwards())
            .map(|row| row.identity)
            .collect();
        self.open.retain(|_, open| living.contains(&open.server));
        if self.path.rings.is_empty() {
            return;
        }
        let keys: Vec<_> = self.open.keys().copied().collect();
        for _ in 0..packets.min(keys.len()) {
            let key = keys[self.random.usize(..keys.len())];
            self.send(&key);
        }
        (0..packets / 4).for_each(|_| self.open());
    }

    /// Lets everybody speak who was silent for almost too long.
    pub(super) fn speak(&mut self) {
        self.traffic(0);
        let silent = |open: &Open| self.now - open.last + Duration::from_secs(5) > SILENCE;
        let due: Vec<_> = self.open.iter().filter(|(_, open)| silent(open)).map(|(key, _)| *key).collect();
        for key in due {
            self.send(&key);
        }
    }

    /// Where the open flows are.
    pub(super) fn servers(&self) -> Vec<u64> {
        self.open.values().map(|open| open.server).collect()
    }

    /// Every open flow speaks.
    pub(super) fn send_all(&mut self) {
        let all: Vec<_> = self.open.keys().copied().collect();
        for key in &all {
            self.send(key);
        }
    }

    /// The flow table without what is over: that is found to be idle, sooner or later.
    pub(super) fn expire(&mut self, resting: &BTreeSet<ServerId>) {
        let open = &self.open;
        let keep = |key: &FlowKey4, flow: &mut Flow| open.contains_key(key) && !resting.contains(&flow.server);
        self.path.v4.flows.borrow_mut().retain(keep);
    }
}

impl MapWriter for Shared {
    fn read(&mut self) -> Result<Tables, WriteError> {
        Ok(self.0.borrow().maps.tables())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let mut world = self.0.borrow_mut();
        writes.iter().try_for_each(|write| {
            world.write(write)?;
            // Whom the table refuses after the plan was made and before it is carried out, nobody can know of.
            if world.path.track_budget > 0 {
                world.traffic(8);
            }
            Ok(())
        })
    }

    fn refused(&self) -> Result<u64, WriteError> {
        let world = self.0.borrow();
        let counted = world.path.counted.borrow();
        let notes = [Note::FlowsFull, Note::BudgetSpent].map(|note| counted.notes.get(&(note as u32)).copied());
        Ok(notes.into_iter().flatten().sum())
    }

    fn has_ring(&self, _: RingId) -> bool {
        true
    }

    fn add_ring(&mut self, _: RingId, _: OwnedFd) -> Result<(), WriteError> {
        Ok(())
    }
}
