//! What the packet path remembers of single flows: the flow table (`FLOWS4`, `FLOWS6`), which forgets nothing by itself, and
//! the tables of connections (`CONNECTIONS4`, `CONNECTIONS6`; `HALF_OPEN4`, `HALF_OPEN6`), which forget the oldest when they
//! are full.

use super::{
    batch,
    handed::MapSource,
    keys::ip,
    shape::{MapUnusable, descriptor},
};
use crate::plan::{Census, Connections};
use lb_common::{
    Family, Flow, Protocol, ServerId, V4, V6,
    flow::{BACK, CLOSING, ConnectionRow, REFRESH, seconds},
    maps::{CONNECTIONS4, CONNECTIONS6, FLOWS4, FLOWS6, HALF_OPEN4, HALF_OPEN6},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

/// How long an idle flow is remembered that was seen closing.
const CLOSED: Duration = Duration::from_mins(1);

/// How long idle flows are remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// Of TCP: `[global] flow_timeout_tcp`.
    pub tcp: Duration,
    /// Of UDP: `[global] flow_timeout_udp`.
    pub udp: Duration,
}

/// The tables of both families, through descriptors of their own, so that another thread can read them.
#[derive(Debug)]
pub struct FlowTables {
    pub(super) v4: FamilyTables,
    pub(super) v6: FamilyTables,
}

#[derive(Debug)]
pub(super) struct FamilyTables {
    pub(super) flows: OwnedFd,
    pub(super) connections: OwnedFd,
    pub(super) half_open: OwnedFd,
}

/// A flow as it is remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remembered {
    /// The client; port 0 where the client alone counts (source affinity).
    pub client: SocketAddr,
    /// Whom it connected to: a VIP; unspecified where the client alone counts.
    pub vip: SocketAddr,
    /// `None`: a protocol that we do not balance.
    pub protocol: Option<Protocol>,
    /// Row in `SERVERS`.
    pub server: ServerId,
    /// Since its last packet, as far as that was noted: up to 2 s less than what is shown.
    pub idle: Duration,
    /// FIN or RST was seen.
    pub closing: bool,
    /// Which table it is in.
    pub table: Table,
}

/// A table that remembers flows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Table {
    /// The flow table: the flow's slot changes hands, or did so lately.
    Flows,
    /// The table of connections (`track = "full"`, `fullnat`).
    Connections,
    /// The table of connections of which only the beginning was seen.
    HalfOpen,
}

/// One entry of any table, family and all.
struct Entry {
    protocol: u8,
    server: ServerId,
    last: u32,
    marks: u8,
}

impl FlowTables {
    /// From descriptors that were handed over, which needs no capability, or from the pins.
    pub fn open(source: &impl MapSource) -> Result<Self, MapUnusable> {
        let open = |name: &str| descriptor(name, &source.open(name)?);
        Ok(Self {
            v4: FamilyTables { flows: open(FLOWS4)?, connections: open(CONNECTIONS4)?, half_open: open(HALF_OPEN4)? },
            v6: FamilyTables { flows: open(FLOWS6)?, connections: open(CONNECTIONS6)?, half_open: open(HALF_OPEN6)? },
        })
    }

    /// Forgets flows that have been idle for too long and all of servers that are `gone`, and counts the others. The tables of
    /// connections are looked at where servers are gone or `connections` asks for it: they expire by themselves.
    ///
    /// With full tables it takes tenths of a second: nothing for the thread that waits for verdicts.
    pub fn scan(&self, timeouts: Timeouts, gone: &BTreeSet<ServerId>, connections: bool) -> io::Result<Census> {
        let mut census = Census::default();
        let is_gone = |server| gone.contains(&server);
        census.flows = [
            self.v4.expire::<V4>(timeouts, is_gone, &mut census)?,
            self.v6.expire::<V6>(timeouts, is_gone, &mut census)?,
        ];
        if connections || !gone.is_empty() {
            let ([four, half_four], [six, half_six]) =
                (self.v4.count::<V4>(is_gone, &mut census)?, self.v6.count::<V6>(is_gone, &mut census)?);
            census.connections = Some(Connections { established: [four, six], half_open: [half_four, half_six] });
        }
        Ok(census)
    }

    /// Forgets all flows and connections of servers that are gone; the others.
    pub fn forget(&self, is_gone: impl Fn(ServerId) -> bool + Copy) -> io::Result<Census> {
        const NEVER: Timeouts = Timeouts { tcp: Duration::MAX, udp: Duration::MAX };
        let mut census = Census::default();
        self.v4.expire::<V4>(NEVER, is_gone, &mut census)?;
        self.v6.expire::<V6>(NEVER, is_gone, &mut census)?;
        self.v4.count::<V4>(is_gone, &mut census)?;
        self.v6.count::<V6>(is_gone, &mut census)?;
        Ok(census)
    }

    /// Shows each flow that is remembered: of translated connections the way to the server alone.
    pub fn each(&self, mut see: impl FnMut(Remembered)) -> io::Result<()> {
        let now = now();
        self.v4.each::<V4>(now, &mut see)?;
        self.v6.each::<V6>(now, &mut see)
    }
}

impl FamilyTables {
    /// Counts the flows that are left.
    fn expire<F: Ends>(
        &self,
        timeouts: Timeouts,
        is_gone: impl Fn(ServerId) -> bool,
        census: &mut Census,
    ) -> io::Result<usize> {
        let (now, mut over, mut left) = (now(), Vec::new(), 0);
        batch::each(self.flows.as_fd(), |key: F::FlowKey, flow: Flow| {
            let Flow { server, ring, slot, marks, last, .. } = flow;
            let entry = Entry { protocol: F::protocol(&key), server, last, marks };
            if is_gone(server) || entry.is_over(now, timeouts) {
                over.push(key);
            } else {
                left += 1;
                census.count_flow(ring, slot, server);
            }
        })?;
        batch::remove(self.flows.as_fd(), &over)?;
        Ok(left)
    }

    /// Counts the connections that are left: of those that are translated the way to the server alone. Returns how many
    /// entries they have in the tables of the established and the half-open ones.
    fn count<F: Ends>(&self, is_gone: impl Fn(ServerId) -> bool, census: &mut Census) -> io::Result<[usize; 2]> {
        let mut left = [0; 2];
        for (table, left) in [&self.connections, &self.half_open].into_iter().zip(&mut left) {
            let mut over = Vec::new();
            batch::each(table.as_fd(), |key: F::FlowKey, row: F::Connection| {
                let ConnectionRow { server, marks, .. } = F::unpack_connection(&row);
                if is_gone(server) {
                    over.push(key);
                    return;
                }
                *left += 1;
                if marks & BACK == 0 {
                    census.count_connection(server);
                }
            })?;
            batch::remove(table.as_fd(), &over)?;
        }
        Ok(left)
    }

    fn each<F: Ends>(&self, now: u32, see: &mut impl FnMut(Remembered)) -> io::Result<()> {
        batch::each(self.flows.as_fd(), |key: F::FlowKey, flow: Flow| {
            let Flow { server, marks, last, .. } = flow;
            see(remembered::<F>(&key, &Entry { protocol: F::protocol(&key), server, last, marks }, now, Table::Flows));
        })?;
        for (fd, table) in [(&self.connections, Table::Connections), (&self.half_open, Table::HalfOpen)] {
            batch::each(fd.as_fd(), |key: F::FlowKey, row: F::Connection| {
                let ConnectionRow { server, last, marks, .. } = F::unpack_connection(&row);
                if marks & BACK == 0 {
                    let entry = Entry { protocol: F::protocol(&key), server, last, marks };
                    see(remembered::<F>(&key, &entry, now, table));
                }
            })?;
        }
        Ok(())
    }
}

fn remembered<F: Ends>(key: &F::FlowKey, entry: &Entry, now: u32, table: Table) -> Remembered {
    let (client, vip) = F::ends(key);
    Remembered {
        client,
        vip,
        protocol: Protocol::from_number(entry.protocol),
        server: entry.server,
        idle: entry.idle(now),
        closing: entry.marks & CLOSING != 0,
        table,
    }
}

impl Entry {
    fn idle(&self, now: u32) -> Duration {
        // A packet may have been noted after `now` was read.
        let units = now.wrapping_sub(self.last).cast_signed().max(0).unsigned_abs();
        Duration::from_nanos(u64::from(units) << 30)
    }

    /// Whether it may be forgotten.
    fn is_over(&self, now: u32, timeouts: Timeouts) -> bool {
        let timeout = match Protocol::from_number(self.protocol) {
            Some(Protocol::Udp) => timeouts.udp,
            Some(Protocol::Tcp) if self.marks & CLOSING != 0 => timeouts.tcp.min(CLOSED),
            // Where the client alone counts there is no protocol.
            Some(Protocol::Tcp) | None => timeouts.tcp,
        };
        // What `last` lags behind, and the unit that has begun.
        let lag = Duration::from_nanos(u64::from(REFRESH + 1) << 30);
        self.idle(now) > timeout.saturating_add(lag)
    }
}

/// Both ends of a flow.
trait Ends: Family {
    /// Client and VIP.
    fn ends(key: &Self::FlowKey) -> (SocketAddr, SocketAddr);
    /// The number of its protocol.
    fn protocol(key: &Self::FlowKey) -> u8;
}

macro_rules! ends {
    ($family:ident) => {
        impl Ends for $family {
            fn ends(key: &Self::FlowKey) -> (SocketAddr, SocketAddr) {
                let end = |address, port: lb_common::Be16| SocketAddr::new(ip::<Self>(address), port.host());
                (end(key.source, key.source_port), end(key.destination, key.destination_port))
            }

            fn protocol(key: &Self::FlowKey) -> u8 {
                key.protocol
            }
        }
    };
}

ends!(V4);
ends!(V6);

/// How long ago that was, as [`Flow::last`] has it.
pub(super) fn idle(last: u32) -> Duration {
    Entry { protocol: 0, server: 0, last, marks: 0 }.idle(now())
}

/// Now, as [`Flow::last`] has it.
fn now() -> u32 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    seconds(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts { tcp: Duration::from_hours(1), udp: Duration::from_mins(3) };

    fn is_over(protocol: u8, marks: u8, idle: u32) -> bool {
        Entry { protocol, server: 1, last: u32::MAX - 5, marks }.is_over((u32::MAX - 5).wrapping_add(idle), TIMEOUTS)
    }

    #[test]
    fn a_flow_is_over_when_it_was_idle_for_longer_than_its_protocol_allows() {
        // In units of 1.07 s.
        for (protocol, marks, longest) in
            [(6, 0, 3_355), (17, 0, 170), (6, CLOSING, 58), (17, CLOSING, 170), (0, 0, 3_355)]
        {
            assert!(!is_over(protocol, marks, longest), "{protocol} {marks}");
            assert!(is_over(protocol, marks, longest + 1), "{protocol} {marks}");
        }
    }

    #[test]
    fn a_packet_that_comes_while_the_table_is_read_is_not_from_long_ago() {
        let entry = Entry { protocol: 6, server: 1, last: 8, marks: 0 };
        assert_eq!((entry.idle(7), entry.is_over(7, TIMEOUTS)), (Duration::ZERO, false));
    }
}
