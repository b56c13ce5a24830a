//! A world and packets through it, all of it chosen by bytes: the entry of the fuzzer in `lb-ebpf/fuzz`, whose corpus the tests
//! run through the same function.

use crate::{
    holds::Passage,
    random::Random,
    traffic::Traffic,
    world::{INSIDE, OUTSIDE, tables, two_armed},
    worlds,
};
use lb_ebpf::testing::{self, Counted, MemoryTables, PacketBuf};
use std::{collections::BTreeSet, iter};

/// Packets of one run, so that it ends.
const PACKETS: u32 = 256;
/// What [`step`](World::step) chooses from, and which of it is a frame of bytes as they are.
const STEPS: usize = 16;
const FRAME: u8 = 2;
/// Room in front of a frame, where there is enough.
const ROOM: usize = 256;

/// What came of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Run {
    /// Packets.
    pub packets: u32,
    /// Of these, packets that went on to a server.
    pub forwarded: u32,
    /// Packets that went back to a client.
    pub returned: u32,
    /// In what ways others ended.
    pub stops: BTreeSet<u32>,
}

/// Runs packets until the numbers are used up, or `packets` of them.
///
/// # Errors
///
/// What does not hold of a packet, and the packet.
pub fn run(random: Random, packets: u32) -> Result<Run, String> {
    let mut world = World::new(random);
    while !world.traffic.random().is_used_up() && world.run.packets < packets {
        world.step()?;
    }
    Ok(world.run)
}

/// The fuzzer's: bytes choose everything.
///
/// # Errors
///
/// As [`run`].
pub fn bytes(input: &[u8]) -> Result<Run, String> {
    run(Random::chosen(input), PACKETS)
}

/// Bytes that make [`bytes`] run these frames, each at its interface of arrival, through the tables of the golden rows.
pub fn of_frames(frames: &[(u32, &[u8])]) -> Vec<u8> {
    let frame = |(ingress, bytes): &(u32, &[u8])| {
        let [.., high, middle, low] = bytes.len().to_be_bytes();
        [&[FRAME, u8::from(*ingress == OUTSIDE), 1, high, middle, low][..], bytes].concat()
    };
    iter::once(vec![0]).chain(frames.iter().map(frame)).flatten().collect()
}

struct World {
    tables: MemoryTables,
    traffic: Traffic,
    run: Run,
}

impl World {
    fn new(mut random: Random) -> Self {
        let mut tables = match random.below(4) {
            0 => tables(),
            1 => {
                let mut tables = tables();
                two_armed(&mut tables);
                tables
            }
            _ => worlds::random(&mut random),
        };
        // What was counted is looked at after each packet.
        *tables.counted.get_mut() = Counted::default();
        Self { tables, traffic: Traffic::new(random), run: Run::default() }
    }

    fn step(&mut self) -> Result<(), String> {
        let random = self.traffic.random();
        match random.below(STEPS) {
            0 => worlds::change(random, &mut self.tables),
            1 => {
                let passed = random.pick(&[1_000_000, 1_000_000_000, 300_000_000_000, 1 << 52]);
                self.tables.now.set(self.tables.now.get().wrapping_add(passed));
            }
            2..=5 if random.is_chosen() => {
                let ingress = if random.one_in(2) { INSIDE } else { OUTSIDE };
                let room = room(random);
                let length = random.below(1 << 17);
                let frame = random.take(length);
                return self.packet(ingress, room, &frame);
            }
            _ => {
                let room = room(random);
                let (ingress, frame) = self.traffic.frame();
                return self.packet(ingress, room, &frame);
            }
        }
        Ok(())
    }

    fn packet(&mut self, ingress: u32, room: usize, input: &[u8]) -> Result<(), String> {
        let mut packet = PacketBuf { room, ..PacketBuf::new(input.to_vec(), ingress) };
        let outcome = testing::run(&mut packet, &self.tables);
        let counted = self.tables.counted.take();
        let output = &packet.bytes;
        let passage = Passage { tables: &self.tables, counted: &counted, ingress, input, outcome, output };
        if let Some(broken) = passage.broken() {
            return Err(format!("{broken}: {outcome:?}, {counted:?}\n{input:02x?}\n{output:02x?}"));
        }
        self.run.packets += 1;
        match outcome {
            Ok(_) => {
                let forwarded = counted.vips.values().any(|row| row.packets > 0);
                *(if forwarded { &mut self.run.forwarded } else { &mut self.run.returned }) += 1;
                self.traffic.saw(output);
            }
            Err(stop) => {
                self.run.stops.insert(stop as u32);
            }
        }
        Ok(())
    }
}

/// Mostly enough.
fn room(random: &mut Random) -> usize {
    if random.one_in(16) { random.below(64) } else { ROOM }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{NET4, NET6};
    use lb_common::Stop;

    #[test]
    fn frames_come_as_they_are() {
        let (to_vip, other) = (NET4.tcp(NET4.nat).bytes(), NET6.tcp(NET6.unknown_neighbour).bytes());
        let run = bytes(&of_frames(&[(OUTSIDE, &to_vip), (INSIDE, &other), (INSIDE, &[])])).unwrap();
        let stops = [Stop::NotOurs as u32, Stop::Truncated as u32].into();
        assert_eq!(run, Run { packets: 3, forwarded: 1, returned: 0, stops });
    }

    #[test]
    fn whatever_the_bytes_a_run_ends() {
        assert_eq!(bytes(&[]).unwrap(), Run::default());
        let mut random = Random::new(1);
        for size in 0..500 {
            assert!(bytes(&random.bytes(size)).unwrap().packets <= PACKETS);
        }
    }

    /// What holds of packets of which none comes through, or all, is worth little.
    #[test]
    fn of_generated_packets_many_are_sent_and_the_others_end_in_all_ways() {
        let (mut forwarded, mut returned, mut stops) = (0, 0, BTreeSet::new());
        for seed in 0..20 {
            let run = run(Random::new(seed << 32), 2_000).unwrap();
            forwarded += run.forwarded;
            returned += run.returned;
            stops.extend(run.stops);
        }
        assert!(forwarded > 20 * 2_000 / 5 && returned > 20 * 2_000 / 60, "{forwarded} and {returned}");
        let missing: Vec<Stop> = Stop::ALL.into_iter().filter(|stop| !stops.contains(&(*stop as u32))).collect();
        assert_eq!(missing, [Stop::PortsExhausted, Stop::BadTables]);
    }
}
