//! The packet path on the host: every golden row, every truncation of it, and properties over many packets. Needs no
//! privilege. `tests/kernel` runs the same rows through the kernel object.
#![expect(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a test that meets these has failed")]

#[path = "../cases/all.rs"]
mod cases;
mod corpus;
mod counting;
mod properties;
mod ways;

use cases::{Case, Expect};
use lb_common::{End, Note, Stop, maps::MAX_STOPS};
use lb_ebpf::{
    Verdict,
    testing::{self, MemoryTables, PacketBuf},
};
use lb_tests::oracle;
use std::{collections::BTreeSet, mem};

/// Runs one frame, and returns what came out with the frame afterwards.
fn run(tables: &MemoryTables, ingress: u32, input: &[u8]) -> (Result<Verdict, Stop>, Vec<u8>) {
    let mut packet = PacketBuf::new(input.to_vec(), ingress);
    let outcome = testing::run(&mut packet, tables);
    (outcome, packet.bytes)
}

/// Runs what comes before a row's frame, so that what was counted is of that frame alone.
fn begin(case: &mut Case) {
    for frame in mem::take(&mut case.earlier) {
        let _outcome = run(&case.tables, case.ingress, &frame);
    }
    if let Some(change) = case.change.take() {
        change(&mut case.tables);
    }
    *case.tables.counted.get_mut() = testing::Counted::default();
}

#[test]
fn every_row_comes_out_as_promised() {
    let mut wrong = Vec::new();
    for mut case in cases::all() {
        begin(&mut case);
        let Case { name, tables, ingress, input, expect, notes, .. } = case;
        let (outcome, output) = run(&tables, ingress, &input);
        let (wanted, bytes) = match expect {
            Expect::Transmit(bytes) => (Ok(Verdict::Transmit), bytes),
            Expect::Redirect(bytes) => (Ok(Verdict::Redirect), bytes),
            Expect::Stop(stop) => (Err(stop), input.clone()),
            Expect::Answer(stop, bytes) => (Err(stop), bytes),
        };
        if outcome != wanted {
            wrong.push(format!("{name}: {outcome:?}, not {wanted:?}"));
        } else if output != bytes {
            wrong.push(format!("{name}:\n{output:02x?}, not\n{bytes:02x?}"));
        }
        if let Some(notes) = notes {
            let counted: Vec<Note> = Note::ALL
                .into_iter()
                .flat_map(|note| {
                    let times = tables.counted.borrow().notes.get(&(note as u32)).copied().unwrap_or_default();
                    (0..times).map(move |_| note)
                })
                .collect();
            let mut wanted = notes;
            wanted.sort_by_key(|note| *note as u32);
            if counted != wanted {
                wrong.push(format!("{name}: {counted:?}, not {wanted:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// By code that shares nothing with the packet path.
#[test]
fn every_checksum_of_every_row_is_that_of_all_its_bytes() {
    for Case { name, input, expect, .. } in cases::all() {
        let (Expect::Transmit(output) | Expect::Redirect(output) | Expect::Answer(_, output)) = expect else {
            continue;
        };
        for (frame, which) in [(input, "on arrival"), (output, "on departure")] {
            let wrong = oracle::wrong(&frame);
            assert!(wrong.is_empty(), "{name}: {wrong:?} {which}: {frame:02x?}");
        }
    }
}

#[test]
fn rows_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for case in cases::all() {
        assert!(names.insert(case.name.clone()), "{}", case.name);
    }
}

#[test]
fn every_stop_and_every_note_has_a_row() {
    let (mut stops, mut notes) = (BTreeSet::new(), BTreeSet::new());
    for mut case in cases::all() {
        begin(&mut case);
        let _outcome = run(&case.tables, case.ingress, &case.input);
        let counted = case.tables.counted.borrow();
        stops.extend(counted.stops.keys().copied());
        notes.extend(counted.notes.keys().copied());
    }
    // A driver that leaves no room is found in `a_frame_without_room_is_dropped`.
    let missing: Vec<Stop> = (0..MAX_STOPS).filter(|row| !stops.contains(row)).filter_map(Stop::from_number).collect();
    assert_eq!(missing, [Stop::NoRoom], "no row ends so");
    let missing: Vec<Note> = (0..MAX_STOPS).filter(|row| !notes.contains(row)).filter_map(Note::from_number).collect();
    assert_eq!(missing, [], "no row has it");
}

#[test]
fn a_frame_without_room_is_dropped() {
    for case in cases::all() {
        let Expect::Transmit(output) = &case.expect else { continue };
        let Some(more) = output.len().checked_sub(case.input.len()).filter(|more| *more > 0) else { continue };
        if !case.earlier.is_empty() {
            continue;
        }
        for (room, wanted) in [(more, Ok(Verdict::Transmit)), (more - 1, Err(Stop::NoRoom))] {
            let mut packet = PacketBuf { room, ..PacketBuf::new(case.input.clone(), case.ingress) };
            assert_eq!(testing::run(&mut packet, &case.tables), wanted, "{}", case.name);
        }
    }
}

/// Bytes of a frame with its packet, as the packet's header says.
fn claimed(frame: &[u8]) -> Option<usize> {
    let packet = oracle::payload(frame)?;
    let length = |at: usize| Some(usize::from(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?])));
    let packet_length = if packet.first()? >> 4 == 6 { 40 + length(4)? } else { length(2)? };
    Some(frame.len() - packet.len() + packet_length)
}

/// Where a frame of so many bytes is cut: everywhere in its headers and at its end, and here and there in between.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).filter(move |cut| *cut < 150 || cut + 20 > length || cut % 251 == 0)
}

#[test]
fn every_truncation_of_a_packet_passes_untouched() {
    for mut case in cases::all() {
        begin(&mut case);
        let Case { name, tables, ingress, input, expect, .. } = case;
        for length in cuts(input.len()) {
            let cut = &input[..length];
            let (outcome, output) = run(&tables, ingress, cut);
            let sent = outcome.is_ok() || outcome.is_err_and(|stop| stop.end() == End::Answer);
            if sent {
                let whole = claimed(cut).is_some_and(|claimed| claimed <= length);
                assert!(whole, "{name}, {length} bytes: sent, but the packet is longer");
            } else if let Err(stop) = outcome {
                assert!(output == cut, "{name}, {length} bytes");
                let same = matches!(expect, Expect::Stop(same) if same == stop);
                assert!(same || stop.end() == End::Pass, "{name}, {length} bytes: {stop:?}");
            }
        }
    }
}
