//! A frame in a `Vec`, which knows what nobody has written of it.

extern crate std;

use crate::Packet;
use bytemuck::Pod;
use core::iter;
use std::vec::Vec;

/// A frame and the interface it arrived at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PacketBuf {
    /// The frame, from the Ethernet header on.
    pub bytes: Vec<u8>,
    /// Index of the interface.
    pub ingress: u32,
    /// Bytes that may still be put in front.
    pub room: usize,
    /// Which bytes in front were uncovered and not written since. What is missing at its end was there or was written.
    pub uncovered: Vec<bool>,
}

impl PacketBuf {
    /// A frame with the room that the kernel promises (`XDP_PACKET_HEADROOM`).
    pub fn new(bytes: Vec<u8>, ingress: u32) -> Self {
        Self { bytes, ingress, room: 256, uncovered: Vec::new() }
    }

    /// Whether all bytes were there or were written.
    pub(super) fn is_written(&self) -> bool {
        !self.uncovered.contains(&true)
    }

    /// # Panics
    ///
    /// If something is made of bytes that nobody has written.
    fn assert_written(&self, offset: usize, bytes: usize) {
        let mut read = self.uncovered.iter().skip(offset).take(bytes);
        assert!(!read.any(|uncovered| *uncovered), "read {bytes} bytes at {offset}, which nobody has written");
    }
}

/// What lies in front of a frame before somebody writes it: not zero, so that a test sees what was not written.
const UNWRITTEN: u8 = 0xee;

impl Packet for PacketBuf {
    fn holds(&self, bytes: usize) -> bool {
        bytes <= self.bytes.len()
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        let there = self.bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
        self.assert_written(offset, size_of::<T>());
        Some(bytemuck::pod_read_unaligned(there))
    }

    /// # Panics
    ///
    /// If the frame ends before the value does: that is a defect of the packet path, which the kernel would hide.
    fn write<T: Pod>(&mut self, offset: usize, value: T) {
        let length = self.bytes.len();
        match self.bytes.get_mut(offset..offset + size_of::<T>()) {
            Some(place) => {
                place.copy_from_slice(bytemuck::bytes_of(&value));
                self.uncovered.iter_mut().skip(offset).take(size_of::<T>()).for_each(|uncovered| *uncovered = false);
            }
            #[expect(clippy::panic, reason = "this is how the test finds it")]
            None => panic!("wrote {} bytes at {offset} of a frame of {length}", size_of::<T>()),
        }
    }

    fn sum<const BYTES: usize>(&self, offset: usize) -> Option<u32> {
        let there = self.bytes.get(offset..offset + BYTES)?;
        self.assert_written(offset, BYTES);
        let words = there.as_chunks::<4>().0.iter().copied();
        let sum: u64 = words.map(|word| u64::from(u32::from_ne_bytes(word))).sum();
        let sum = (sum & 0xffff_ffff) + (sum >> 32);
        u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).ok()
    }

    fn grow_head(&mut self, bytes: i32) -> bool {
        let length = bytes.unsigned_abs() as usize;
        if bytes < 0 {
            self.bytes.drain(..length);
            self.uncovered.drain(..length.min(self.uncovered.len()));
            self.room += length;
            return true;
        }
        let Some(room) = self.room.checked_sub(length) else { return false };
        self.room = room;
        self.bytes.splice(..0, iter::repeat_n(UNWRITTEN, length));
        self.uncovered.splice(..0, iter::repeat_n(true, length));
        true
    }

    fn cut(&mut self, bytes: usize) -> bool {
        let there = bytes <= self.bytes.len();
        self.bytes.truncate(bytes);
        self.uncovered.truncate(bytes);
        there
    }
}
