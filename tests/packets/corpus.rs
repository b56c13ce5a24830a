//! The fuzzer of the packet path (`cargo xtask fuzz`) without a fuzzer: what it has found worth keeping goes through the same
//! function, on any toolchain. And what it starts from: the frames of the golden rows.

use crate::cases;
use lb_tests_traffic::fuzz::{self, Run};
use std::{collections::BTreeSet, env, fs, path::Path};

/// Where the fuzzer's inputs lie.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lb-ebpf/fuzz/corpus/packets");
/// Bytes that all of them may take in the repository.
const LARGEST: usize = 200_000;
/// Where [`golden_rows_hold_and_are_seeds`] puts the golden rows, if this is set.
const SEEDS: &str = "SLUICE_SEEDS";
/// Longer inputs teach a fuzzer little.
const LONGEST: usize = 4_096;

#[test]
fn the_corpus_holds() {
    let (mut bytes, mut packets, mut sent, mut stops) = (0, 0, 0, BTreeSet::new());
    for entry in fs::read_dir(CORPUS).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let input = fs::read(&path).expect("an input");
        let run = fuzz::bytes(&input).unwrap_or_else(|broken| panic!("{}: {broken}", path.display()));
        bytes += input.len();
        packets += run.packets;
        sent += run.forwarded + run.returned;
        stops.extend(run.stops);
    }
    assert!(bytes <= LARGEST, "{bytes} bytes");
    // Otherwise the bytes do not mean any more what they meant when they were found.
    assert!(packets > 500 && sent > 100 && stops.len() > 15, "{packets} packets, {sent} of them sent, {stops:?}");
}

#[test]
fn golden_rows_hold_and_are_seeds() {
    let seeds = env::var_os(SEEDS);
    for (number, case) in cases::all().into_iter().enumerate() {
        let frames: Vec<(u32, &[u8])> =
            case.earlier.iter().chain([&case.input]).map(|frame| (case.ingress, &frame[..])).collect();
        let seed = fuzz::of_frames(&frames);
        let Run { packets, .. } = fuzz::bytes(&seed).unwrap_or_else(|broken| panic!("{}: {broken}", case.name));
        assert_eq!(usize::try_from(packets).ok(), Some(frames.len()), "{}", case.name);
        if let Some(directory) = seeds.as_ref().filter(|_| seed.len() <= LONGEST) {
            fs::write(Path::new(directory).join(format!("row-{number}")), seed).expect("room for a seed");
        }
    }
}
