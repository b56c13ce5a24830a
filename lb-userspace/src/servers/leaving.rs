//! Leaving: a server or VIP that a reload has removed and that goes on with what it has, for a while.

use super::Standing;
use crate::model::Endpoint;
use lb_common::Vip;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// A server of the kernel half that is gone from the configuration, or from its `l4` frontends, and keeps the flows that it has.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Leaving {
    /// The backend's name; empty if nobody knows it any more, as after a restart.
    pub backend: String,
    /// The server's name; empty likewise.
    pub server: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How long it may take: `drain_timeout` of its backend.
    pub within: Duration,
    /// When that is over, in the time of whoever plans. `None`: it has not begun yet.
    pub until: Option<Duration>,
    /// Whether its flows may be in the tables of connections.
    pub is_tracked: bool,
    /// How it stood.
    pub standing: Standing,
}

/// A VIP of TCP that is gone from the configuration: what opens a connection is dropped there, and connections that it has go on,
/// by the ring as it was if no other frontend uses that.
///
/// Datagrams open nothing, so a VIP of UDP is gone at once.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LeavingVip {
    /// The frontend's name; empty if nobody knows it any more, as after a restart.
    pub frontend: String,
    /// How long it may take: `drain_timeout` of its backend.
    pub within: Duration,
    /// When that is over, in the time of whoever plans. `None`: it has not begun yet.
    pub until: Option<Duration>,
    /// The [identity](crate::model::backend::identity) of the backend whose ring it has.
    #[serde(skip)]
    pub backend: u64,
    /// Its rows; a range of ports has several.
    #[serde(skip)]
    pub rows: BTreeMap<Endpoint, Vip>,
    /// The keys of the returns that no other VIP may have meanwhile.
    #[serde(skip)]
    pub returns: BTreeSet<Endpoint>,
}

/// `drain_timeout` of servers and VIPs whose backend nobody knows.
pub const WITHIN: Duration = Duration::from_hours(1);
