//! The rows of `RETURNS4` and `RETURNS6`: whose reply a packet from a `nat` server is. One entry a server, none a flow.
//!
//! `fullnat` needs none: its servers answer to an address of ours.

use crate::{
    model::{Backend, Endpoint, KernelVip, Model, Ports, Server, Track},
    plan::tables::Return,
    servers::Registry,
};
use lb_common::{Forward, ServerId};
use std::collections::{BTreeMap, BTreeSet};

/// The rows. Of two VIPs that would need the same entry the lower address wins; the configuration check refuses such a
/// pair. With `track = "full"` the entry says no more than that the table of connections knows the VIP.
/// `server`: the row of a server, by its place in the backend.
pub(super) fn rows(
    model: &Model,
    registry: &Registry,
    server: impl Fn(&Backend, usize) -> Option<ServerId>,
) -> BTreeMap<Endpoint, Return> {
    let mut rows = BTreeMap::new();
    for (source, vip, backend, index) in sources(model) {
        let Some((id, server)) = registry.vip_id(vip.counted_as).zip(server(backend, index)) else { continue };
        let Endpoint { address, port, .. } = vip.counted_as;
        let port = if is_single(&vip) { port } else { 0 };
        let stateless = Return { vip: id, address, port, server, mss: vip.frontend.mss };
        let row = match backend.track {
            Track::Auto => stateless,
            Track::Full => Return { vip: 0, ..stateless },
        };
        rows.entry(source).or_insert(row);
    }
    rows
}

/// The keys of all rows, whoever has which number.
pub fn keys(model: &Model) -> BTreeSet<Endpoint> {
    sources(model).map(|(source, ..)| source).collect()
}

/// The keys of a VIP's rows.
pub fn keys_of(model: &Model, counted_as: Endpoint) -> BTreeSet<Endpoint> {
    sources(model).filter(|(_, vip, ..)| vip.counted_as == counted_as).map(|(source, ..)| source).collect()
}

/// Where replies of `nat` servers come from, for each VIP and each of its servers. Port 0: those of all ports, for a VIP
/// whose packets keep theirs.
fn sources(model: &Model) -> impl Iterator<Item = (Endpoint, KernelVip, &Backend, usize)> {
    let of_vip = |(key, vip): (Endpoint, KernelVip)| {
        let backends = model.with_fallbacks(vip.frontend.backend).map(|(_, backend)| backend);
        backends.filter(|backend| backend.forward == Forward::Nat).flat_map(move |backend| {
            let servers = backend.servers.iter().enumerate().filter(|(_, server)| server.is_resolved());
            servers.map(move |(index, server)| (source(key, &vip, server), vip, backend, index))
        })
    };
    // A range has one entry a server, so its first port stands for it.
    model.vips().into_iter().filter(|(key, vip)| vip.counted_as == *key).flat_map(of_vip)
}

fn source(key: Endpoint, vip: &KernelVip, server: &Server) -> Endpoint {
    let port = match (is_single(vip), server.keeps_port) {
        (true, true) => key.port,
        (false, true) => 0,
        (_, false) => server.address.port(),
    };
    Endpoint { address: server.address.ip(), port, protocol: key.protocol }
}

fn is_single(vip: &KernelVip) -> bool {
    matches!(vip.ports, Ports::One(_))
}
