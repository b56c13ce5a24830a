//! A frame under an XDP program: reads and writes at an offset, and room made or taken in front.
#![expect(unsafe_code, reason = "a frame is memory between two addresses that the kernel hands over")]

use aya_ebpf::{bindings::xdp_md, helpers::bpf_xdp_adjust_head, programs::XdpContext};
use bytemuck::Pod;
use core::ptr;

/// Bytes of the Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Where the type of what the frame carries stands, as long as it has no tag.
pub(crate) const TYPE: usize = 12;
/// `ETH_P_IP`.
pub(crate) const IPV4: [u8; 2] = [0x08, 0x00];
/// `ETH_P_IPV6`.
pub(crate) const IPV6: [u8; 2] = [0x86, 0xdd];

/// The two Ethernet addresses of a frame.
type Addresses = [u32; 3];

/// A frame that came in.
pub(crate) struct Frame {
    context: *mut xdp_md,
}

impl Frame {
    /// The frame that the program was called for.
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { context: context.ctx }
    }

    /// How many bytes can be read. A frame of several pages shows its first one.
    #[inline(always)]
    pub(crate) fn length(&self) -> usize {
        self.end() - self.start()
    }

    /// What stands there, if the frame is long enough.
    #[inline(always)]
    pub(crate) fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        let at = self.at::<T>(offset)?;
        // SAFETY: `at` says that the T lies within the frame, and a `Pod` may be any bytes.
        Some(unsafe { ptr::read_unaligned(at as *const T) })
    }

    /// Puts a value there, if the frame is long enough.
    #[inline(always)]
    pub(crate) fn write<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let at = self.at::<T>(offset)?;
        // SAFETY: `at` says that the T lies within the frame, which is ours while the program runs.
        unsafe { ptr::write_unaligned(at as *mut T, value) };
        Some(())
    }

    /// Takes `bytes` out between the Ethernet addresses and the type, which becomes `kind`: the header that stood there is
    /// gone. With a negative number there is room for one, and `kind` stands before it.
    #[inline(always)]
    pub(crate) fn shift(&mut self, bytes: i32, kind: [u8; 2]) -> Option<()> {
        let addresses = self.read::<Addresses>(0)?;
        // SAFETY: the context is the one that the program was called with; whatever lies in the frame is looked for again.
        let failed = unsafe { bpf_xdp_adjust_head(self.context, bytes) };
        if failed != 0 {
            return None;
        }
        self.write(0, addresses)?;
        self.write(TYPE, kind)
    }

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the context is the one that the program was called with.
        unsafe { (*self.context).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as in `start`.
        unsafe { (*self.context).data_end as usize }
    }

    /// Where a `T` lies. The verifier wants this very comparison before every access.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<usize> {
        let at = self.start() + offset;
        (at + size_of::<T>() <= self.end()).then_some(at)
    }
}
