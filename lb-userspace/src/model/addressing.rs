//! Addressing: which address a server that is known by its name may have. What the configuration check says of typed
//! addresses holds of answers, too.

use super::{
    BackendIndex, Family, FrontendKind, Model, Ports, Server, Track, host::is_one_machine, replies::Replies,
    server::NOWHERE,
};
use lb_common::{Forward, Protocol};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// What is at which address, as far as it forbids something.
#[derive(Clone, Debug)]
pub struct Addressing {
    vips: BTreeSet<IpAddr>,
    sources: BTreeSet<IpAddr>,
    backends: BTreeMap<BackendIndex, Kernel>,
    replies: BTreeMap<(IpAddr, Protocol), Vec<Replies>>,
}

/// A backend of `l4` frontends.
#[derive(Clone, Debug)]
struct Kernel {
    forward: Forward,
    is_tracked: bool,
    vips: Vec<(IpAddr, Ports, Protocol)>,
}

/// Why a server cannot have an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// It is nobody's, a group's, or has a scope that nobody names.
    #[error("it is not the address of one machine")]
    NotOne,
    /// Packets would go round in circles.
    #[error("it is a VIP")]
    Vip,
    /// What servers answer to.
    #[error("it is of a pool of sources")]
    Source,
    /// Packets leave by a network interface.
    #[error("the kernel half sends to other machines alone")]
    Loopback,
    /// Packets of that family cannot get there.
    #[error("it is not an {0} address, as the VIPs are")]
    Family(Family),
    /// Two VIPs of `nat`, and nothing tells whose reply it is.
    #[error("a server there answers for another VIP of `nat` already")]
    Replies,
}

impl Addressing {
    /// Of the servers of `model`, nothing is taken yet.
    pub fn new(model: &Model) -> Self {
        let mut backends: BTreeMap<BackendIndex, Kernel> = BTreeMap::new();
        for frontend in &model.frontends {
            let FrontendKind::L4(l4) = &frontend.kind else { continue };
            let Some(backend) = model.backends.get(l4.backend) else { continue };
            let kernel = backends.entry(l4.backend).or_insert_with(|| Kernel {
                forward: backend.forward,
                is_tracked: backend.track == Track::Full,
                vips: Vec::new(),
            });
            kernel.vips.extend(frontend.binds.iter().map(|bind| (bind.address.ip(), bind.ports, bind.protocol)));
        }
        let used = backends.keys().filter_map(|index| model.backends.get(*index));
        Self {
            vips: backends.values().flat_map(|kernel| kernel.vips.iter().map(|(vip, ..)| *vip)).collect(),
            sources: used.flat_map(|backend| backend.sources.iter().copied()).collect(),
            backends,
            replies: BTreeMap::new(),
        }
    }

    /// The one family that servers of a backend may be of; `None`: either.
    pub fn family(&self, backend: BackendIndex) -> Option<Family> {
        let kernel = self.backends.get(&backend).filter(|kernel| !kernel.forward.is_tunnel())?;
        kernel.vips.first().map(|(vip, ..)| Family::of(*vip))
    }

    /// Why a server of that backend cannot be there, if it cannot.
    pub fn unfit(&self, backend: BackendIndex, server: &Server, ip: IpAddr) -> Option<Unfit> {
        if !is_one_machine(ip) {
            return Some(Unfit::NotOne);
        }
        let kernel = self.backends.get(&backend)?;
        if self.vips.contains(&ip) {
            return Some(Unfit::Vip);
        }
        if self.sources.contains(&ip) {
            return Some(Unfit::Source);
        }
        if ip.is_loopback() {
            return Some(Unfit::Loopback);
        }
        if let Some(family) = self.family(backend).filter(|family| *family != Family::of(ip)) {
            return Some(Unfit::Family(family));
        }
        let own: Vec<_> = kernel.replies(server, ip).collect();
        let mixed_up = own.iter().any(|(protocol, replies)| {
            let others = self.replies.get(&(ip, *protocol)).into_iter().flatten();
            let own = own.iter().filter(|(other, _)| other == protocol).map(|(_, replies)| replies);
            others.chain(own).any(|other| replies.are_mixed_up_with(other))
        });
        mixed_up.then_some(Unfit::Replies)
    }

    /// A server of that backend is where it says.
    pub fn take(&mut self, backend: BackendIndex, server: &Server) {
        let ip = server.address.ip();
        let Some(kernel) = self.backends.get(&backend).filter(|_| ip != NOWHERE) else { return };
        for (protocol, replies) in kernel.replies(server, ip) {
            self.replies.entry((ip, protocol)).or_default().push(replies);
        }
    }
}

impl Kernel {
    /// What a server there answers from.
    fn replies(&self, server: &Server, ip: IpAddr) -> impl Iterator<Item = (Protocol, Replies)> {
        let port = (!server.keeps_port).then(|| server.address.port());
        let vips = self
            .vips
            .iter()
            .filter(move |(vip, ..)| self.forward == Forward::Nat && Family::of(*vip) == Family::of(ip));
        vips.map(move |(vip, ports, protocol)| (*protocol, Replies::new(port, (*vip, *ports), self.is_tracked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{backend, bind, model, server};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_server_of_the_proxy_may_be_at_any_machine() {
        let model = model(vec![backend("web", vec![server("web1", "0.0.0.0:80")])], vec![]);
        let addressing = Addressing::new(&model);
        let unfit = |text| addressing.unfit(0, &model.backends[0].servers[0], ip(text));
        assert_eq!(["127.0.0.1", "::1", "10.0.0.1"].map(unfit), [None; 3]);
        assert_eq!(["0.0.0.0", "ff02::1", "fe80::1"].map(unfit), [Some(Unfit::NotOne); 3]);
        assert_eq!(addressing.family(0), None);
    }

    #[test]
    fn a_server_of_the_kernel_half_is_at_none_of_our_addresses_and_of_the_family_of_its_vips() {
        let mut pool = backend("pool", vec![server("web1", "0.0.0.0:80")]);
        (pool.forward, pool.sources) = (Forward::FullNat, vec![ip("10.0.0.9")]);
        let model = model(vec![pool], vec![(bind("192.0.2.1:80", Protocol::Tcp), "pool")]);
        let addressing = Addressing::new(&model);
        let unfit = |text| addressing.unfit(0, &model.backends[0].servers[0], ip(text));
        assert_eq!(
            ["192.0.2.1", "10.0.0.9", "127.0.0.1", "2001:db8::1", "10.0.0.1"].map(unfit),
            [Some(Unfit::Vip), Some(Unfit::Source), Some(Unfit::Loopback), Some(Unfit::Family(Family::V4)), None]
        );
        assert_eq!(addressing.family(0), Some(Family::V4));
    }

    #[test]
    fn no_answer_puts_one_machine_behind_two_vips_of_nat_unless_every_flow_is_tracked() {
        for (track, expected) in [(Track::Auto, Some(Unfit::Replies)), (Track::Full, None)] {
            let nat = |name: &str, address| {
                let mut nat = backend(name, vec![server("s", address)]);
                (nat.forward, nat.track) = (Forward::Nat, track);
                nat
            };
            let vips = ["192.0.2.1:80", "192.0.2.2:80"].map(|vip| bind(vip, Protocol::Tcp));
            let backends = vec![nat("a", "10.0.0.1:80"), nat("b", "0.0.0.0:80")];
            let model = model(backends, vips.into_iter().zip(["a", "b"]).collect());
            let mut addressing = Addressing::new(&model);
            addressing.take(0, &model.backends[0].servers[0]);
            let asked = &model.backends[1].servers[0];
            addressing.take(1, asked);
            assert_eq!(addressing.unfit(1, asked, ip("10.0.0.1")), expected, "{track:?}");
            assert_eq!(addressing.unfit(1, asked, ip("10.0.0.2")), None);
        }
    }
}
