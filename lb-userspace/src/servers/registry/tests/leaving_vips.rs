//! VIPs leave beside whatever is new, and give way to what takes their place.

use super::*;
use crate::{
    l7::tests::model::{frontend, http_frontend},
    model::{Backend, Bind, FrontendKind, Ports},
    plan::{Moment, Planner},
};
use lb_common::{Protocol, vip::flags::WITHDRAWN};
use std::time::Duration;

fn nat(name: &str, server: &str) -> Backend {
    Backend { forward: Forward::Nat, ..backend(name, vec![crate::plan::testing::server("a", server)]) }
}

/// `l4` frontends of these binds, all with that backend, which has two others beside it.
fn of(binds: &[(&str, Ports)]) -> Model {
    let bind = |(address, ports): &(&str, Ports)| Bind { ports: *ports, ..bind(address, Protocol::Tcp) };
    let backends = vec![nat("web", "10.0.0.1:8080"), nat("other", "10.0.0.2:8080")];
    model(backends, binds.iter().map(|one| (bind(one), "web")).collect())
}

const VIP: (&str, Ports) = ("192.0.2.10:80", Ports::One(80));

/// What leaves when `before` becomes `next`.
fn leaving(before: &Model, next: &Model) -> Vec<String> {
    let mut registry = Registry::default();
    registry.update(before).unwrap();
    registry.follow(before, next);
    registry.update(next).unwrap();
    registry.leaving_vips().map(|(vip, _)| vip.socket().to_string()).collect()
}

/// With a frontend of the proxy at that address.
fn proxied(mut model: Model, address: &str) -> Model {
    model.frontends.push(frontend("proxied", address.parse().unwrap(), FrontendKind::Http(http_frontend())));
    model
}

#[test]
fn a_vip_leaves_unless_something_takes_its_place() {
    let (before, none) = (of(&[VIP]), of(&[]));
    assert_eq!(leaving(&before, &none), ["192.0.2.10:80"]);
    assert_eq!(leaving(&before, &proxied(none.clone(), "192.0.2.10:81")), ["192.0.2.10:80"]);
    for taken in ["192.0.2.10:80", "0.0.0.0:80"] {
        assert_eq!(leaving(&before, &proxied(none.clone(), taken)), [""; 0], "{taken}");
    }
    let all = ("192.0.2.10:0", Ports::All);
    assert_eq!(leaving(&before, &of(&[all])), [""; 0], "the one of all ports would never see that port");
    let before = of(&[all]);
    assert_eq!(leaving(&before, &none), ["192.0.2.10:0"]);
    for taken in ["192.0.2.10:443", "0.0.0.0:443"] {
        assert_eq!(leaving(&before, &proxied(none.clone(), taken)), [""; 0], "{taken}");
    }
    assert_eq!(leaving(&before, &proxied(none, "192.0.2.11:443")), ["192.0.2.10:0"]);
}

#[test]
fn replies_of_the_same_servers_belong_to_what_is_new() {
    let moved = |ports| of(&[("192.0.2.11:80", ports)]);
    for ports in [Ports::One(80), Ports::Range(80, 90)] {
        assert_eq!(leaving(&of(&[VIP]), &moved(ports)), [""; 0], "{ports:?}");
    }
    // A table knows whose they are where all connections are tracked.
    let tracked = |mut model: Model| {
        model.backends.iter_mut().for_each(|backend| backend.track = crate::model::Track::Full);
        model
    };
    assert_eq!(leaving(&tracked(of(&[VIP])), &tracked(moved(Ports::One(80)))), ["192.0.2.10:80"]);
}

#[test]
fn it_keeps_its_row_its_ring_and_its_returns_and_no_more_than_its_time() {
    let (before, none) = (of(&[VIP]), of(&[]));
    let hops = BTreeMap::from([("10.0.0.1".parse().unwrap(), 7)]);
    let mut registry = Registry::default();
    registry.update(&before).unwrap();
    let tables = desired(&before, &registry, &hops);
    // A daemon that finds the maps knows as much.
    for found in [false, true] {
        let mut registry = if found { Registry::adopt(&tables) } else { registry.clone() };
        registry.follow(if found { &none } else { &before }, &none);
        registry.update(&none).unwrap();
        registry.begin_leaving(Duration::from_secs(10));
        let mut planner = Planner::default();
        let after = planner.desired(&none, &registry, &hops, &tables, Moment::default());
        let row = after.vips[&Endpoint::new("192.0.2.10".parse().unwrap(), 80, Protocol::Tcp)];
        assert!(row.has(WITHDRAWN) && after.rings == tables.rings && after.returns == tables.returns, "{after:?}");
        let over = Duration::from_hours(1) + Duration::from_secs(10);
        assert!(registry.vips_left(Duration::from_secs(3_609), &none).is_empty());
        assert_eq!(registry.vips_left(over, &none).len(), 1);
        let after = planner.desired(&none, &registry, &hops, &after, Moment::default());
        assert!(after.vips.is_empty() && after.rings.is_empty(), "{:?}", after.vips);
        assert_eq!(registry.vip_id(Endpoint::new("192.0.2.10".parse().unwrap(), 80, Protocol::Tcp)), None);
    }
}
