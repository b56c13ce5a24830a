//! Packet: what can be done to a frame. The kernel does it to an XDP context, the tests to a `Vec`.

use bytemuck::Pod;

/// A frame, from its Ethernet header on.
pub trait Packet {
    /// Bytes of the whole frame, padding included; with large frames more than can be read at an offset.
    fn frame_length(&self) -> usize;

    /// The interface that the frame arrived at.
    fn ingress(&self) -> u32;

    /// The `T` at `offset`, or `None` if the frame ends before it does. `T` may lie at any alignment.
    fn read<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Puts `value` at `offset`, which must lie within what was read before; elsewhere nothing is written.
    fn write<T: Pod>(&mut self, offset: usize, value: T);
}
