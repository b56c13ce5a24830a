//! What the tables of flows of a copy know of a packet.

use super::{Replica, ReplicaError};
use crate::dataplane::{
    flows::{Table, idle},
    keys::ip,
    raw::Raw,
    shape::typed,
};
use aya::maps::{HashMap, MapData};
use bytemuck::Pod;
use lb_common::{
    Be16, Be128, Ends, Family, Flow, Protocol, ServerId, V4, V6, Vip,
    flow::{BACK, CLOSING, ConnectionRow},
    hash::HashKey,
    maps::{CONNECTIONS4, CONNECTIONS6, FLOWS4, FLOWS6, FRAGMENTS4, FRAGMENTS6, HALF_OPEN4, HALF_OPEN6},
    slots::slot_of,
    vip::flags::{AFFINITY, FRAGMENTS_HASH},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Who talks to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tuple {
    /// The sender; port 0 in a later fragment.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Of a fragment: the packet's identification, as it stands in memory.
    pub fragment: Option<u32>,
}

impl Tuple {
    /// The other direction.
    #[must_use]
    pub const fn swapped(&self) -> Self {
        Self { source: self.destination, destination: self.source, ..*self }
    }
}

/// An entry of a table of flows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// Which table it is in; `None`: the one of fragments.
    pub table: Option<Table>,
    /// Row in `SERVERS`.
    pub server: ServerId,
    /// Since its last packet, as far as that was noted.
    pub idle: Duration,
    /// FIN or RST was seen.
    pub closing: bool,
    /// It is the way back, from the server.
    pub back: bool,
    /// Of a connection: source and destination that packets get.
    pub becomes: Option<(SocketAddr, SocketAddr)>,
}

impl Known {
    /// Whether it is the same entry, whenever its last packet was.
    pub fn is(&self, other: &Self) -> bool {
        Self { idle: Duration::ZERO, ..*self } == Self { idle: Duration::ZERO, ..*other }
    }
}

struct Names {
    flows: &'static str,
    connections: &'static str,
    half_open: &'static str,
    fragments: &'static str,
}

const NAMES4: Names = Names { flows: FLOWS4, connections: CONNECTIONS4, half_open: HALF_OPEN4, fragments: FRAGMENTS4 };
const NAMES6: Names = Names { flows: FLOWS6, connections: CONNECTIONS6, half_open: HALF_OPEN6, fragments: FRAGMENTS6 };

impl Replica {
    /// What the tables know of a packet, to a VIP if there is one.
    pub fn known(&self, tuple: &Tuple, vip: Option<&Vip>) -> Result<Vec<Known>, ReplicaError> {
        if tuple.destination.is_ipv4() {
            self.known_of::<V4>(&NAMES4, tuple, vip)
        } else {
            self.known_of::<V6>(&NAMES6, tuple, vip)
        }
    }

    /// The slot of a packet to a VIP.
    pub fn slot(&self, tuple: &Tuple, vip: &Vip) -> usize {
        let key = self.frozen.hash_key;
        slot_of(if tuple.destination.is_ipv4() {
            hash(key, &ends::<V4>(tuple), vip)
        } else {
            hash(key, &ends::<V6>(tuple), vip)
        })
    }

    fn known_of<F: Family>(&self, names: &Names, tuple: &Tuple, vip: Option<&Vip>) -> Result<Vec<Known>, ReplicaError> {
        let ends = ends::<F>(tuple);
        let mut known = Vec::new();
        if let Some(vip) = vip
            && let Some(flow) = self.entry::<F::FlowKey, Flow>(names.flows, flow_key(&ends, vip))?
        {
            known.push(Known {
                table: Some(Table::Flows),
                server: flow.server,
                idle: idle(flow.last),
                closing: flow.marks & CLOSING != 0,
                back: false,
                becomes: None,
            });
        }
        for (name, table) in [(names.connections, Table::Connections), (names.half_open, Table::HalfOpen)] {
            if let Some(row) = self.entry::<F::FlowKey, F::Connection>(name, F::flow_key(&ends))? {
                known.push(of_connection::<F>(&F::unpack_connection(&row), table));
            }
        }
        if let Some(id) = tuple.fragment {
            let key = F::fragment_key(ends.source, ends.destination, id, ends.protocol.number());
            if let Some(row) = self.entry::<F::FragmentKey, F::Fragment>(names.fragments, key)? {
                let row = F::unpack_fragment(&row);
                known.push(Known {
                    table: None,
                    server: row.server,
                    idle: idle(row.last),
                    closing: false,
                    back: row.forward == 0,
                    becomes: None,
                });
            }
        }
        Ok(known)
    }

    fn entry<K: Pod, V: Pod>(&self, name: &str, key: K) -> Result<Option<V>, ReplicaError> {
        let map: HashMap<MapData, Raw<K>, Raw<V>> = typed(name, self.map(name)?)?;
        Ok(map.get(&Raw(key), 0).ok().map(|Raw(value)| value))
    }
}

/// What the flow table knows a flow as: see [`AFFINITY`] and [`FRAGMENTS_HASH`].
fn flow_key<F: Family>(ends: &Ends<F>, vip: &Vip) -> F::FlowKey {
    let portless = Ends { source_port: Be16::new(0), destination_port: Be16::new(0), ..*ends };
    if vip.has(AFFINITY) {
        F::group_key(&Ends { destination: F::Addr::default(), ..portless }, vip.ring)
    } else if vip.has(FRAGMENTS_HASH) {
        F::group_key(&portless, vip.ring)
    } else {
        F::flow_key(ends)
    }
}

/// The hash that places a flow on the ring of its VIP.
fn hash<F: Family>(key: HashKey, ends: &Ends<F>, vip: &Vip) -> u32 {
    if vip.has(AFFINITY) {
        F::source_hash(key, ends.source)
    } else if vip.has(FRAGMENTS_HASH) {
        F::flow_hash(key, &Ends { source_port: Be16::new(0), destination_port: Be16::new(0), ..*ends })
    } else {
        F::flow_hash(key, ends)
    }
}

fn of_connection<F: Family>(row: &ConnectionRow<F::Addr>, table: Table) -> Known {
    let end = |address, port: Be16| SocketAddr::new(ip::<F>(address), port.host());
    Known {
        table: Some(table),
        server: row.server,
        idle: idle(row.last),
        closing: row.marks & CLOSING != 0,
        back: row.marks & BACK != 0,
        becomes: Some((end(row.source, row.source_port), end(row.destination, row.destination_port))),
    }
}

/// In the words of a family, whose the addresses are.
fn ends<F: Family>(tuple: &Tuple) -> Ends<F> {
    let address = |address: IpAddr| F::narrow(Be128::from(address));
    Ends {
        source: address(tuple.source.ip()),
        destination: address(tuple.destination.ip()),
        source_port: Be16::new(tuple.source.port()),
        destination_port: Be16::new(tuple.destination.port()),
        protocol: tuple.protocol,
    }
}
