//! Packet for an XDP context.
#![expect(unsafe_code, reason = "a frame is memory between two addresses that the kernel hands over")]

use aya_ebpf::{
    bindings::xdp_md,
    helpers::{bpf_csum_diff, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use bytemuck::Pod;
use core::ptr;
use lb_ebpf::Packet;

/// A frame on its way through an interface.
///
/// The compiler leaves out a comparison with the end of the frame where an earlier one, at another pointer, has told it as
/// much; the verifier knows nothing of that, and refuses the access. So off the fast path frames are `CAREFUL`: they ask the
/// context for the end each time.
pub(crate) struct Frame<const CAREFUL: bool> {
    context: *mut xdp_md,
    start: usize,
    end: usize,
    ingress: u32,
}

impl<const CAREFUL: bool> Frame<CAREFUL> {
    /// The frame that the program was called for.
    #[inline(always)]
    pub(crate) fn new(context: *mut xdp_md) -> Self {
        let context = XdpContext::new(context);
        #[expect(clippy::cast_possible_truncation, reason = "the kernel's own type is u32")]
        let ingress = context.ingress_ifindex() as u32;
        Self { context: context.ctx, start: context.data(), end: context.data_end(), ingress }
    }

    /// Where a `T` lies. The verifier wants this very comparison before every access.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<usize> {
        let at = self.start + offset;
        let end = if CAREFUL { self.end_now() } else { self.end };
        (at + size_of::<T>() <= end).then_some(at)
    }

    /// The end, as the compiler cannot know it.
    #[inline(always)]
    fn end_now(&self) -> usize {
        // SAFETY: the context is the one that the program was called with.
        let end = unsafe { ptr::read_volatile(&raw const (*self.context).data_end) };
        end as usize
    }

    /// Bytes of the whole frame; with large frames more than lie between start and end.
    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the context is the one that the program was called with.
        unsafe { bpf_xdp_get_buff_len(self.context) as usize }
    }

    /// After a helper moved a bound, all that was known of the frame is void: to the compiler too, which must not leave out
    /// comparisons for what it knew of the old bounds.
    #[inline(always)]
    fn bounds_moved(&mut self) {
        // SAFETY: the context is the one that the program was called with.
        let start = unsafe { ptr::read_volatile(&raw const (*self.context).data) };
        (self.start, self.end) = (start as usize, self.end_now());
    }
}

impl<const CAREFUL: bool> Packet for Frame<CAREFUL> {
    #[inline(always)]
    fn holds(&self, bytes: usize) -> bool {
        bytes <= self.end - self.start || bytes <= self.length()
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

    #[inline(always)]
    fn sum<const BYTES: usize>(&self, offset: usize) -> Option<u32> {
        const { assert!(BYTES.is_multiple_of(4) && BYTES <= 512) };
        let at = self.at::<[u8; BYTES]>(offset)?;
        // SAFETY: `at` says that so many bytes lie within the frame; the helper only reads them.
        let sum = unsafe { bpf_csum_diff(ptr::null_mut(), 0, at as *mut u32, BYTES as u32, 0) };
        u32::try_from(sum).ok()
    }

    #[inline(always)]
    fn grow_head(&mut self, bytes: i32) -> bool {
        // SAFETY: the context is the one that the program was called with, and the bounds are read again.
        let moved = bytes == 0 || unsafe { bpf_xdp_adjust_head(self.context, -bytes) } == 0;
        self.bounds_moved();
        moved
    }

    #[inline(always)]
    fn cut(&mut self, bytes: usize) -> bool {
        let length = self.length();
        if bytes > length {
            return false;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "frames have at most 2^17 bytes"
        )]
        let less = bytes as i32 - length as i32;
        // SAFETY: as in `grow_head`.
        let moved = unsafe { bpf_xdp_adjust_tail(self.context, less) } == 0;
        self.bounds_moved();
        moved
    }
}
