//! The short way of a connection that is tracked by itself and the long one come to the same end.

use lb_common::{Family, Stop, V4, V6};
use lb_ebpf::{
    Step, Tables, Verdict,
    outcome::{Early, Packed},
    parse::{Layer3, ethernet},
    step, steps,
    testing::{Counted, MemoryTables, PacketBuf},
};
use lb_tests::object::Remembered;
use lb_tests_traffic::{random::Random, traffic::Traffic, worlds};

const SEQUENCES: u64 = 100;
const FRAMES: u64 = 1_000;

/// What became of a frame, the frame afterwards, and what was counted and is remembered.
type End = (Result<Verdict, Stop>, Vec<u8>, Counted, Remembered);

#[test]
fn a_connection_that_is_known_takes_a_short_way_to_the_same_end() {
    let mut short = 0;
    for sequence in 0..SEQUENCES {
        let (mut random, mut traffic) = (Random::new(sequence), Traffic::new(Random::new(!sequence)));
        let mut tables = worlds::random(&mut random);
        for _ in 0..FRAMES {
            if random.one_in(50) {
                worlds::change(&mut random, &mut tables);
            }
            let (ingress, frame) = traffic.frame();
            let other = tables.clone();
            let (by_long, _) = run(&other, ingress, &frame, true);
            let (by_short, is_short) = run(&tables, ingress, &frame, false);
            assert_eq!(by_short, by_long, "{frame:02x?}");
            short += u32::from(is_short);
            if by_short.0.is_ok() {
                traffic.saw(&by_short.1);
            }
            tables.counted.take();
        }
    }
    assert!(short > 300, "only {short} frames took it");
}

/// Runs a frame, by the long way if so wished; and whether it left by the short one.
fn run(tables: &MemoryTables, ingress: u32, frame: &[u8], long: bool) -> (End, bool) {
    let mut packet = PacketBuf::new(frame.to_vec(), ingress);
    let (outcome, is_short) = match ethernet::payload(&packet) {
        Ok((ethernet::IPV4, offset)) => by::<V4>(&mut packet, tables, offset, long),
        Ok((ethernet::IPV6, offset)) => by::<V6>(&mut packet, tables, offset, long),
        Ok(_) => (Err(Stop::NotIp), false),
        Err(stop) => (Err(stop), false),
    };
    let end = (outcome, packet.bytes, tables.counted.borrow().clone(), Remembered::of(tables));
    (end, is_short)
}

fn by<F: Family + Layer3>(
    packet: &mut PacketBuf,
    tables: &MemoryTables,
    offset: usize,
    long: bool,
) -> (Result<Verdict, Stop>, bool)
where
    MemoryTables: Tables<F>,
{
    let mut is_short = false;
    let outcome = steps(|which| {
        if which != Step::Connected {
            return step::<F>(packet, tables, which, offset);
        }
        if long {
            return Early::Look.into();
        }
        let outcome: Packed = step::<F>(packet, tables, which, offset);
        is_short = !outcome.is(Early::Look);
        outcome
    });
    (outcome, is_short)
}
