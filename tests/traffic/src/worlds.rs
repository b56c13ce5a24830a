//! Tables in which much is otherwise than in [`tables`], and changes of them while packets go on.
//!
//! What a daemon would never write is left out: a ring names servers of its own backend alone.

use crate::{
    random::Random,
    world::{
        ALIVE, DEAD, INSIDE, NET4, NET6, Net, OUTSIDE, ROUTER, at_port, copy_vip, flag_address, no_sources, own,
        remove_vip, ring_of_slots, route, set_address, set_hop, set_returns, set_state, set_vip, tables, two_armed,
    },
};
use lb_common::{
    Heartbeat, RingId, ServerId, ServerState, Slot, Tag,
    hash::mix,
    returns::ReturnRow,
    vip::flags::{
        AFFINITY, ANY_PORT, FRAGMENTS_HASH, FRAGMENTS_ONLY, FRAGMENTS_TRACK, KEEPS, NEEDS_DAEMON, PING, PING_DROP,
        POOL, REFUSES, RESETS, TRACK_FULL, WITHDRAWN,
    },
};
use lb_ebpf::testing::MemoryTables;
use std::net::SocketAddr;

/// What may be otherwise.
const ASPECTS: [fn(&mut Random, &mut MemoryTables); 10] =
    [states, states, slots, slots, next_hop, next_hop, vip, address, replies, heartbeat];

/// Tables, and what is frozen in them: with room and a budget for all flows, or not.
pub fn random(random: &mut Random) -> MemoryTables {
    let mut tables = tables();
    match random.below(8) {
        0 => tables.track_budget = 0,
        1 => tables.max_flows = 8,
        _ => tables.track_budget = u32::MAX,
    }
    if random.one_in(2) {
        two_armed(&mut tables);
    }
    for net in [&NET4, &NET6] {
        if !random.one_in(4) {
            route(&mut tables, net.client, 0, ROUTER);
        }
    }
    for net in [&NET4, &NET6] {
        for vip in net.vips() {
            set_address(&mut tables, vip.ip(), random.pick(&[0, PING]));
        }
    }
    for _ in 0..random.below(24) {
        change(random, &mut tables);
    }
    tables
}

/// Makes something otherwise.
pub fn change(random: &mut Random, tables: &mut MemoryTables) {
    ASPECTS[random.below(ASPECTS.len())](random, tables);
}

/// One of the two families.
pub fn net(random: &mut Random) -> &'static Net {
    if random.one_in(2) { &NET6 } else { &NET4 }
}

/// One of the VIPs.
pub fn any_vip(random: &mut Random, net: &Net) -> SocketAddr {
    random.pick(&net.vips())
}

fn states(random: &mut Random, tables: &mut MemoryTables) {
    let (net, number) = (net(random), 1 + random.below(4));
    let state = random.pick(&[
        ServerState::Up,
        ServerState::Up,
        ServerState::Up,
        ServerState::Up,
        ServerState::Up,
        ServerState::Up,
        ServerState::Drain,
        ServerState::Down,
        ServerState::Down,
        ServerState::Free,
    ]);
    set_state(tables, net, number, state);
}

/// The servers that a ring may name: each ring has some that another one has not.
pub fn members(net: &Net, ring: RingId) -> Vec<ServerId> {
    let (net, numbers): (&Net, &[usize]) = if ring == net.crossed_ring() {
        (net.crossed(), &[1, 2, 3])
    } else if ring == net.other_ring() {
        (net, &[2, 4])
    } else if ring == net.direct_ring() {
        (net, &[1, 2, 4])
    } else {
        (net, &[1, 2, 3])
    };
    numbers.iter().map(|number| net.id(*number)).collect()
}

fn slots(random: &mut Random, tables: &mut MemoryTables) {
    let net = net(random);
    let ring = random.pick(&[net.nat_ring(), net.direct_ring(), net.other_ring(), net.crossed_ring()]);
    let members = members(net, ring);
    let (salt, style, first, second) = (random.number(), random.below(6), random.pick(&members), random.pick(&members));
    let any = |slot: usize| {
        let number = mix(slot as u64 ^ salt);
        let member = |number: u64| members[usize::try_from(number % members.len() as u64).unwrap_or_default()];
        (member(number), member(number / 8))
    };
    let slots = ring_of_slots(|slot| {
        let (current, previous) = any(slot);
        match style {
            0 => Slot::of(first),
            1 => Slot::of(current),
            2 => Slot::new(current, previous, true),
            3 => Slot::new(current, current, true),
            4 => Slot::new(first, second, true),
            _ => Slot::of(if slot % 3 == 0 { 0 } else { current }),
        }
    });
    tables.rings.insert(ring, slots);
}

/// The rows of next hops that lead anywhere.
fn next_hop(random: &mut Random, tables: &mut MemoryTables) {
    let net = net(random);
    let row = random.pick(&[ROUTER, net.id(1).into(), net.id(2).into(), net.id(3).into(), net.id(4).into()]);
    let two_arms = tables.devices.len() > 1;
    let random_tag = |random: &mut Random| Tag {
        protocol: lb_common::Be16::new(random.pick(&[0x8100, 0x88a8])),
        control: lb_common::Be16::new(u16::from(random.byte())),
    };
    let (aspect, tag) = (random.below(6), [random_tag(random), random_tag(random)]);
    let ifindex = if two_arms && random.one_in(2) { INSIDE } else { OUTSIDE };
    let mtu = random.pick(&[0, 0, 1_500, 1_500, 1_500, 1_400, 1_280, 600, 100]);
    let tags = random.pick(&[0, 0, 1, 2]);
    let resolved = u8::from(!random.one_in(6));
    set_hop(tables, row, |hop| match aspect {
        0 => hop.resolved = resolved,
        1 | 2 => hop.mtu = mtu,
        3 => (hop.tags, hop.tag) = (tags, tag),
        4 => hop.ifindex = ifindex,
        _ if resolved == 0 => no_sources(hop),
        _ => {}
    });
}

fn vip(random: &mut Random, tables: &mut MemoryTables) {
    let net = net(random);
    let vip = any_vip(random, net);
    let any_port = at_port(vip, 0);
    let mut flags = 0;
    for flag in [AFFINITY, TRACK_FULL, FRAGMENTS_TRACK, FRAGMENTS_HASH] {
        if random.one_in(4) {
            flags |= flag;
        }
    }
    let (mss, withdrawn) = random.pick(&[
        (0, 0),
        (0, WITHDRAWN),
        (0, NEEDS_DAEMON),
        (1_300, 0),
        (1_300, NEEDS_DAEMON),
        (536, 0),
        (88, WITHDRAWN),
    ]);
    flags |= random.pick(&[0, 0, KEEPS, KEEPS, RESETS, RESETS, KEEPS | RESETS]) | random.pick(&[0, REFUSES]);
    let (sources, exact) = (1 + random.below(2), random.pick(&[true, false]));
    set_vip(tables, vip, |row| {
        (row.flags, row.mss) = (flags | withdrawn, mss);
        if row.sources_count > 0 {
            row.sources_count = u16::try_from(sources).unwrap_or(1);
        }
    });
    if flags & FRAGMENTS_HASH != 0 {
        copy_vip(tables, (vip, any_port), |row| row.flags |= FRAGMENTS_ONLY);
    } else if random.one_in(4) {
        copy_vip(tables, (vip, any_port), |_| {});
        flag_address(tables, vip.ip(), if exact { ANY_PORT } else { 0 });
    } else {
        remove_vip(tables, any_port);
    }
}

/// Of a daemon that lives, of one that is dead, and of one that nobody misses.
fn heartbeat(random: &mut Random, tables: &mut MemoryTables) {
    tables.heartbeat = random.pick(&[ALIVE, ALIVE, DEAD, Heartbeat::default()]);
}

fn address(random: &mut Random, tables: &mut MemoryTables) {
    let net = net(random);
    if random.one_in(3) {
        let pool = random.pick(&net.pool);
        set_address(tables, pool, random.pick(&[POOL, POOL, POOL | PING, 0]));
        return;
    }
    let ip = any_vip(random, net).ip();
    match random.below(4) {
        0 => own(tables, ip),
        _ => set_address(tables, ip, random.pick(&[0, PING, PING, PING | ANY_PORT, PING_DROP, PING | PING_DROP, POOL])),
    }
}

fn replies(random: &mut Random, tables: &mut MemoryTables) {
    let net = net(random);
    let server = net.servers[random.pick(&[1, 2, 4])];
    let (stateless, mss) = (!random.one_in(3), random.pick(&[0, 0, 1_300, 536]));
    if stateless {
        let before = crate::world::tables();
        (tables.v4.returns, tables.v6.returns) = (before.v4.returns, before.v6.returns);
    }
    set_returns(tables, server, |row| Some(ReturnRow { mss, vip: if stateless { row.vip } else { 0 }, ..row }));
}
