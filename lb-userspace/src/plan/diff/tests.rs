//! The order of the writes, by example; `properties.rs` proves it for any change.

use super::*;
use crate::{
    model::{Backend, Model},
    plan::{desired, testing},
    servers::Registry,
};
use lb_common::{Forward, Protocol};

/// One frontend; one `nat` backend of that name with these servers.
fn model(backend: &str, names: &[&str]) -> Model {
    let servers = names.iter().zip(1..).map(|(name, n)| testing::server(name, &format!("10.0.0.{n}:80"))).collect();
    let nat = Backend { forward: Forward::Nat, ..testing::backend(backend, servers) };
    testing::model(vec![nat], vec![(testing::bind("192.0.2.10:80", Protocol::Tcp), backend)])
}

fn kinds(writes: &[Write]) -> Vec<&'static str> {
    let kind = |write: &Write| match write {
        Write::ZeroServer(_) => "0 server",
        Write::ZeroVip(_) => "0 vip",
        Write::ForgetFlows(_) => "-flows",
        Write::PutSource(..) => "source",
        Write::RemoveSource(_) => "-source",
        Write::PutServer(..) => "server",
        Write::PutRingHalf(..) => "half",
        Write::FlipRing(..) => "flip",
        Write::PutReturn(..) => "return",
        Write::PutVip(..) => "vip",
        Write::RemoveVip(_) => "-vip",
        Write::RemoveReturn(_) => "-return",
        Write::RemoveRing(_) => "-ring",
        Write::RemoveServer(_) => "-server",
    };
    writes.iter().map(kind).collect()
}

fn plan(registry: &mut Registry, model: &Model) -> Tables {
    registry.update(model).unwrap();
    desired(model, registry, &BTreeMap::new())
}

#[test]
fn what_is_named_comes_before_its_name_and_goes_after_it() {
    let wanted = plan(&mut Registry::default(), &model("web", &["a"]));
    let empty = Tables::default();
    assert_eq!(kinds(&diff(&empty, &wanted)), ["0 server", "0 vip", "server", "half", "flip", "return", "vip", "vip"]);
    assert_eq!(kinds(&diff(&wanted, &empty)), ["-vip", "-vip", "-return", "-ring", "-server"]);
}

#[test]
fn an_address_entry_is_there_while_its_vips_are() {
    let wanted = plan(&mut Registry::default(), &model("web", &["a"]));
    let writes = diff(&Tables::default(), &wanted);
    assert!(
        writes
            .iter()
            .find_map(|write| if let Write::PutVip(key, _) = write { Some(key.is_address_entry()) } else { None })
            .unwrap()
    );
    let writes = diff(&wanted, &Tables::default());
    assert!(matches!(writes[1], Write::RemoveVip(key) if key.is_address_entry()));
}

#[test]
fn a_server_whose_row_changes_hands_leaves_the_ring_first() {
    // Two rows: the new server must take the one of the old.
    let mut registry = Registry::with_rows(&Tables::default(), [3, 2, 2], 4);
    let current = plan(&mut registry, &model("web", &["a", "b"]));
    let wanted = plan(&mut registry, &model("web", &["a", "c"]));
    let writes = diff(&current, &wanted);
    let expected = ["half", "flip", "-return", "-server", "-flows", "0 server", "server", "half", "flip", "return"];
    assert_eq!(kinds(&writes), expected);
    let Write::PutRingHalf(_, slots) = &writes[0] else { panic!("{writes:?}") };
    assert!(slots.iter().all(|slot| slot.current() == 1), "server a takes all while b and c change places");
}

#[test]
fn a_vip_is_away_while_its_ring_changes_hands() {
    let mut registry = Registry::with_rows(&Tables::default(), [9, 2, 2], 4);
    let current = plan(&mut registry, &model("web", &["a"]));
    let wanted = plan(&mut registry, &model("api", &["a"]));
    let writes = diff(&current, &wanted);
    let expected = ["server", "return", "-vip", "-ring", "-server", "0 server", "half", "flip", "vip"];
    assert_eq!(kinds(&writes), expected);
    assert!(!writes.iter().any(|write| matches!(write, Write::RemoveVip(key) if key.is_address_entry())));
}

fn zeroed(writes: &[Write]) -> Vec<Write> {
    writes.iter().filter(|write| matches!(write, Write::ZeroServer(_) | Write::ZeroVip(_))).cloned().collect()
}

#[test]
fn counters_start_at_zero_for_a_new_owner_and_for_nobody_else() {
    let mut registry = Registry::with_rows(&Tables::default(), [3, 2, 2], 4);
    let first = plan(&mut registry, &model("web", &["a", "b"]));
    assert_eq!(
        zeroed(&diff(&Tables::default(), &first)),
        [Write::ZeroServer(1), Write::ZeroServer(2), Write::ZeroVip(1)]
    );

    let mut down = first.clone();
    down.servers.get_mut(&1).unwrap().state = 3;
    down.vips.values_mut().for_each(|vip| vip.mss = 1_400);
    assert_eq!(zeroed(&diff(&first, &down)), []);
    // The VIP is away for a moment, but it is the same afterwards.
    let second = plan(&mut registry, &model("api", &["a", "b"]));
    assert_eq!(zeroed(&diff(&first, &second)), [Write::ZeroServer(1), Write::ZeroServer(2)]);

    let mut moved = second.clone();
    let (key, vip) = moved.vips.pop_last().unwrap();
    moved.vips.insert(crate::model::Endpoint { port: 81, ..key }, vip);
    assert_eq!(zeroed(&diff(&second, &moved)), [Write::ZeroVip(1)]);
}

#[test]
fn the_addresses_of_a_pool_are_there_before_a_vip_names_them_and_go_after_it() {
    let full_nat = |sources: &[&str]| {
        let sources = sources.iter().map(|address| address.parse().unwrap()).collect();
        let web = Backend { forward: Forward::FullNat, sources, ..testing::backend("web", testing::servers(1)) };
        testing::model(vec![web], vec![(testing::bind("192.0.2.10:80", Protocol::Tcp), "web")])
    };
    let mut registry = Registry::default();
    let one = plan(&mut registry, &full_nat(&["192.0.2.20"]));
    let writes = kinds(&diff(&Tables::default(), &one));
    assert_eq!(writes, ["0 server", "0 vip", "server", "source", "half", "flip", "vip", "vip", "vip"]);
    let two = plan(&mut registry, &full_nat(&["192.0.2.21", "192.0.2.22"]));
    let writes = kinds(&diff(&one, &two));
    assert_eq!(writes, ["source", "source", "vip", "vip", "vip", "-vip", "-source"]);
}
