//! What the ring promises, measured on real rings.

use super::*;
use crate::plan::testing::{server, servers};
use proptest::prelude::*;

fn loads(owners: &Owners, count: usize) -> Vec<usize> {
    let mut loads = vec![0; count];
    owners.iter().flatten().for_each(|owner| loads[owner] += 1);
    loads
}

fn by_name(owners: &Owners, servers: &[Server]) -> Vec<Option<String>> {
    owners.iter().map(|owner| owner.map(|index| servers[index].name.clone())).collect()
}

fn all_but(count: usize, out: &[usize]) -> Vec<bool> {
    (0..count).map(|index| !out.contains(&index)).collect()
}

/// The fullest server's load above its fair share, in percent.
#[expect(clippy::cast_precision_loss, reason = "loads are small")]
fn excess(owners: &Owners, available: &[bool]) -> f64 {
    let takers = available.iter().filter(|takes| **takes).count();
    let fullest = loads(owners, available.len()).into_iter().max().unwrap();
    (fullest as f64 * takers as f64 / SLOTS as f64 - 1.0) * 100.0
}

/// What the kernel does with the ring at hand when it finds servers down: it looks on, this many times at most.
fn walk(ring: &Owners, slot: usize, up: &[bool], steps: usize) -> Option<usize> {
    std::iter::successors(Some(slot), |slot| Some(next_slot(*slot)))
        .take(steps + 1)
        .find_map(|slot| index(ring.owner(slot)).filter(|owner| up[*owner]))
}

/// Servers of random weights with random names; 1 to 24 of them.
fn any_servers() -> impl Strategy<Value = Vec<Server>> {
    proptest::collection::btree_map("[a-z]{1,6}[0-9]{0,2}", 1_u16..=256, 1..24).prop_map(|servers| {
        servers.into_iter().map(|(name, weight)| Server { weight, ..server(&name, "10.0.0.1:80") }).collect()
    })
}

#[test]
fn the_base_never_changes() {
    let owners = Owners::base(&servers(5));
    let mut digest = 0;
    for owner in owners.iter() {
        digest = name_hash(digest, &owner.unwrap().to_le_bytes());
    }
    assert_eq!(
        digest, 11_050_880_205_396_225_995,
        "another ring than before: every flow of every user would move at the upgrade"
    );
}

#[test]
fn one_failure_of_many_overloads_nobody() {
    // (servers, average and worst excess of the fullest server, in percent, over all single failures)
    for (count, average, worst) in [(3, 1.0, 3.0), (10, 1.5, 3.5), (100, 3.2, 6.0)] {
        let base = Owners::base(&servers(count));
        let excesses: Vec<_> = (0..count)
            .map(|out| all_but(count, &[out]))
            .map(|available| excess(&base.refilled(&available), &available))
            .collect();
        let mean = excesses.iter().sum::<f64>() / f64::from(u32::try_from(count).unwrap());
        let most = excesses.into_iter().fold(0.0, f64::max);
        println!("{count} servers, one out: fullest {mean:.2} % above its share on average, {most:.2} % at worst");
        assert!(mean < average && most < worst, "{count} servers: {mean:.2} % {most:.2} %");
    }
}

#[test]
fn equal_servers_get_equal_shares_within_one_percent_up_to_the_limit() {
    for count in [2, 3, 10, SLOTS / 100] {
        let loads = loads(&Owners::base(&servers(count)), count);
        let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        assert!(most - least <= 1 && most * 100 <= least * 101, "{count} servers: {least} to {most} slots");
    }
}

#[test]
fn other_weights_move_no_more_slots_than_they_must() {
    let servers: Vec<_> = servers(3).into_iter().map(|server| Server { weight: 10, ..server }).collect();
    let bases = Bases::new(&servers, false);
    let half = bases.reweighed(&servers, &[10, 10, 5]);
    let share = |parts: usize| parts * SLOTS / 5;
    for (load, share) in loads(&half.base, 3).into_iter().zip([share(2), share(2), share(1)]) {
        assert!(load.abs_diff(share) <= 1, "{load} slots, not {share}");
    }
    let moved = bases.base.iter().zip(half.base.iter()).filter(|(before, after)| before != after).count();
    assert_eq!(moved, loads(&bases.base, 3)[2] - loads(&half.base, 3)[2], "only those that the third one loses");
    assert_eq!(bases.reweighed(&servers, &[10, 10, 0]).base, bases.base, "without weight its slots are only lent");
}

#[test]
fn a_rank_is_when_a_slot_comes() {
    for name in ["a", "web1", "web2"] {
        let rank = Preferences::new(name).rank();
        let ranks = Preferences::new(name).take(SLOTS).map(rank);
        assert!(ranks.eq(0..SLOTS), "{name}");
    }
}

#[test]
fn other_weights_of_many_servers_cost_about_what_those_of_a_few_do() {
    let took = |count: usize| {
        let servers = servers(count);
        let weights: Vec<_> = (1..=3).cycle().take(count).collect();
        let bases = Bases::new(&servers, false);
        let begun = tokio::time::Instant::now();
        std::hint::black_box(bases.reweighed(&servers, &weights));
        begun.elapsed()
    };
    let (few, many) = ((0..3).map(|_| took(10)).min().unwrap(), (0..3).map(|_| took(1_000)).min().unwrap());
    println!("10 servers: {few:.1?}, 1,000 servers: {many:.1?}");
    assert!(many < few * 20, "{few:?} {many:?}");
}

#[test]
fn backups_own_nothing_and_the_first_stands_in_for_all() {
    let mut servers = servers(4);
    servers[0].backup = true;
    servers[2].backup = true;
    let base = Owners::base(&servers);
    assert_eq!(loads(&base, 4).iter().map(|load| *load > 0).collect::<Vec<_>>(), [false, true, false, true]);

    let only = |index| (0..4).map(|other| other == index).collect::<Vec<_>>();
    assert!(base.refilled(&only(2)).iter().all(|owner| owner == Some(2)));
    assert!(base.refilled(&only(3)).iter().all(|owner| owner == Some(3)));
    assert!(base.refilled(&[false; 4]).iter().all(|owner| owner.is_none()));
    assert_eq!(base.refilled(&[false; 4]).pick(7), None);
}

#[test]
fn a_backend_of_backups_alone_is_served_by_one() {
    let servers: Vec<_> = servers(2).into_iter().map(|server| Server { backup: true, ..server }).collect();
    assert!(Owners::base(&servers).refilled(&[true, false]).iter().all(|owner| owner == Some(0)));
}

#[test]
fn a_server_too_light_for_a_slot_still_serves_when_it_is_alone() {
    let mut servers: Vec<_> = servers(180).into_iter().map(|server| Server { weight: 256, ..server }).collect();
    servers[7].weight = 1;
    let base = Owners::base(&servers);
    assert_eq!(loads(&base, 180)[7], 0);
    let alone: Vec<_> = (0..180).map(|index| index == 7).collect();
    assert_eq!(base.refilled(&alone).pick(u32::MAX), Some(7));
}

#[test]
fn a_pick_is_the_owner_of_the_slot_of_the_hash() {
    let base = Owners::base(&servers(3));
    for hash in [0, 1 << 20, u32::MAX / 2, u32::MAX] {
        assert_eq!(base.pick(hash), base.iter().nth(slot_of(hash)).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn shares_follow_the_weights_to_within_one_slot(servers in any_servers()) {
        let total: usize = servers.iter().map(|server| usize::from(server.weight)).sum();
        for (server, load) in servers.iter().zip(loads(&Owners::base(&servers), servers.len())) {
            let scaled = usize::from(server.weight) * SLOTS;
            prop_assert!(load.abs_diff(scaled / total) <= 1 && load * total < scaled + total, "{} has {load} slots", server.name);
        }
    }

    #[test]
    fn other_weights_take_slots_from_some_and_give_them_to_others(
        servers in any_servers(), weights in proptest::collection::vec(1_u16..=256, 24),
    ) {
        let bases = Bases::new(&servers, false);
        let reweighed = bases.reweighed(&servers, &weights).base;
        let with: Vec<_> =
            servers.iter().zip(&weights).map(|(server, weight)| Server { weight: *weight, ..server.clone() }).collect();
        let (before, after) = (loads(&bases.base, servers.len()), loads(&reweighed, servers.len()));
        prop_assert_eq!(&after, &loads(&Owners::base(&with), servers.len()), "the shares of the weights");
        for (was, is) in bases.base.iter().zip(reweighed.iter()).filter(|(was, is)| was != is) {
            let (was, is) = (was.unwrap(), is.unwrap());
            prop_assert!(before[was] > after[was] && before[is] < after[is], "{was} to {is}");
        }
        let same: Vec<_> = servers.iter().map(|server| server.weight).collect();
        prop_assert_eq!(bases.reweighed(&servers, &same).base, bases.base);
    }

    #[test]
    fn the_order_in_the_file_does_not_count(servers in any_servers(), seed: u64) {
        let mut shuffled = servers.clone();
        shuffled.sort_by_key(|server| name_hash(seed, server.name.as_bytes()));
        prop_assert_eq!(by_name(&Owners::base(&servers), &servers), by_name(&Owners::base(&shuffled), &shuffled));
    }

    #[test]
    fn no_slot_of_a_living_server_moves_when_another_fails_or_returns(
        servers in any_servers(), before: u32, changed in 0_usize..24,
    ) {
        let changed = changed % servers.len();
        let with: Vec<_> = (0..servers.len()).map(|index| before >> index & 1 == 1 || index == changed).collect();
        let without: Vec<_> = with.iter().enumerate().map(|(index, takes)| *takes && index != changed).collect();
        prop_assume!(without.contains(&true));
        let base = Owners::base(&servers);
        for (with, without) in base.refilled(&with).iter().zip(base.refilled(&without).iter()) {
            prop_assert!(with == without || with == Some(changed), "{with:?} → {without:?} though {changed} failed");
        }
    }

    #[test]
    fn the_kernel_already_sends_flows_where_the_next_ring_will(servers in any_servers(), before: u32, after: u32) {
        let before: Vec<_> = (0..servers.len()).map(|index| before >> index & 1 == 1).collect();
        let after: Vec<_> = before.iter().enumerate().map(|(index, up)| *up && after >> index & 1 == 1).collect();
        prop_assume!(after.contains(&true));
        let base = Owners::base(&servers);
        let (live, next) = (base.refilled(&before), base.refilled(&after));
        let mut found = 0;
        for slot in 0..SLOTS {
            if let Some(owner) = walk(&live, slot, &after, 4) {
                prop_assert_eq!(Some(owner), index(next.owner(slot)), "slot {}", slot);
                found += 1;
            }
        }
        prop_assert!(found > 0);
    }

    #[test]
    fn one_flow_is_picked_as_the_refilled_ring_would(servers in any_servers(), up: u32, hashes: [u32; 8]) {
        let up: Vec<_> = (0..servers.len()).map(|index| up >> index & 1 == 1).collect();
        let base = Owners::base(&servers);
        let refilled = base.refilled(&up);
        for hash in hashes {
            prop_assert_eq!(base.pick_among(hash, |owner| up[owner]), refilled.pick(hash));
        }
    }

    #[test]
    fn a_server_that_comes_or_goes_moves_its_share_and_little_else(few in any_servers(), weight in 1_u16..=256) {
        let mut more = few.clone();
        more.push(Server { weight, ..server("the-new-one", "10.9.9.9:80") });
        let total: usize = more.iter().map(|server| usize::from(server.weight)).sum();
        let share = SLOTS * usize::from(weight) / total;
        let (few, more) = (by_name(&Owners::base(&few), &few), by_name(&Owners::base(&more), &more));
        let moved = few.iter().zip(&more).filter(|(few, more)| few != more).count();
        prop_assert!(moved <= share + SLOTS / 20, "{moved} of {SLOTS} slots moved, {share} had to");
    }

    #[test]
    fn the_same_holds_of_many_equal_servers(count in 2_usize..160, name in "[a-z]{3,8}") {
        let few = servers(count);
        let mut more = few.clone();
        more.push(server(&name, "10.9.9.9:80"));
        let (few, more) = (by_name(&Owners::base(&few), &few), by_name(&Owners::base(&more), &more));
        let moved = few.iter().zip(&more).filter(|(few, more)| few != more).count();
        prop_assert!(moved <= SLOTS / (count + 1) + SLOTS / 20, "{moved} of {SLOTS} slots moved");
    }
}

#[test]
fn all_backups_have_a_ring_of_their_own_that_is_as_stable() {
    let mut servers = servers(6);
    servers.iter_mut().skip(2).for_each(|server| server.backup = true);
    let bases = Bases::new(&servers, true);
    let up = |up: &[usize]| bases.refilled(&(0..6).map(|index| up.contains(&index)).collect::<Vec<_>>());
    assert_eq!(up(&[0, 1]), Owners::base(&servers), "backups change nothing while they wait");
    let all = up(&[2, 3, 4, 5]);
    assert_eq!(loads(&all, 6).iter().filter(|load| (SLOTS / 4..=SLOTS / 4 + 1).contains(load)).count(), 4);
    let without = up(&[2, 4, 5]);
    assert!(all.iter().zip(without.iter()).all(|(before, after)| before == after || before == Some(3)));
    assert!(without.iter().all(|owner| owner != Some(3)));
    assert_eq!(loads(&up(&[4]), 6)[4], SLOTS);
    assert!(up(&[]).iter().all(|owner| owner.is_none()));
    let alone = Bases::new(&servers, false).refilled(&[false, false, true, false, false, false]);
    assert_eq!(loads(&alone, 6)[2], SLOTS);
}
