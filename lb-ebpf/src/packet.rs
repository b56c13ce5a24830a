//! Packet: what can be done to a frame. The kernel does it to an XDP context, the tests to a `Vec`.

use bytemuck::Pod;

/// A frame, from its Ethernet header on.
pub trait Packet {
    /// Whether the frame has at least so many bytes; with large frames not all of them can be read at an offset.
    fn holds(&self, bytes: usize) -> bool;

    /// The interface that the frame arrived at.
    fn ingress(&self) -> u32;

    /// The `T` at `offset`, or `None` if the frame ends before it does. `T` may lie at any alignment.
    fn read<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Puts `value` at `offset`, which must lie within what was read or made before; elsewhere nothing is written.
    fn write<T: Pod>(&mut self, offset: usize, value: T);

    /// The sum of `BYTES` bytes at `offset` as 32-bit words, for a checksum; `None` if the frame ends before. A multiple of 4,
    /// at most 512.
    fn sum<const BYTES: usize>(&self, offset: usize) -> Option<u32>;

    /// Moves the start of the frame so many bytes to the front (a negative number: to the back). What comes before the old
    /// start is whatever was there, and must be written. False, and nothing is changed: there is no room.
    fn grow_head(&mut self, bytes: i32) -> bool;

    /// Cuts the frame off after so many bytes. False, and nothing is changed: it is not that long.
    fn cut(&mut self, bytes: usize) -> bool;
}
