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
    assert_eq!(kinds(&diff(&empty, &wanted)), ["server", "half", "flip", "return", "vip", "vip"]);
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
    let expected = ["half", "flip", "-return", "-server", "server", "half", "flip", "return"];
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
    let expected = ["server", "return", "-vip", "-ring", "-server", "half", "flip", "vip"];
    assert_eq!(kinds(&writes), expected);
    assert!(!writes.iter().any(|write| matches!(write, Write::RemoveVip(key) if key.is_address_entry())));
}
