//! Packet for an XDP context.
#![expect(unsafe_code, reason = "a frame is memory between two addresses that the kernel hands over")]

use aya_ebpf::{bindings::xdp_md, helpers::bpf_xdp_get_buff_len, programs::XdpContext};
use bytemuck::Pod;
use core::ptr;
use lb_ebpf::Packet;

/// A frame on its way through an interface.
pub(crate) struct Frame {
    context: *mut xdp_md,
    start: usize,
    end: usize,
    ingress: u32,
}

impl Frame {
    /// The frame that the program was called for.
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the kernel's own type is u32")]
        let ingress = context.ingress_ifindex() as u32;
        Self { context: context.ctx, start: context.data(), end: context.data_end(), ingress }
    }

    /// Where a `T` lies. The verifier wants this very comparison before every access.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<usize> {
        let at = self.start + offset;
        (at + size_of::<T>() <= self.end).then_some(at)
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn frame_length(&self) -> usize {
        // SAFETY: the context is the one that the program was called with.
        unsafe { bpf_xdp_get_buff_len(self.context) as usize }
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ingress
    }

    #[inline(always)]
    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        let at = self.at::<T>(offset)?;
        // SAFETY: `at` says that the T lies within the frame, and a `Pod` may be any bytes.
        Some(unsafe { ptr::read_unaligned(at as *const T) })
    }

    #[inline(always)]
    fn write<T: Pod>(&mut self, offset: usize, value: T) {
        if let Some(at) = self.at::<T>(offset) {
            // SAFETY: `at` says that the T lies within the frame, which is ours while the program runs.
            unsafe { ptr::write_unaligned(at as *mut T, value) }
        }
    }
}
