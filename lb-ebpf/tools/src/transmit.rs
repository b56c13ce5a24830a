//! `transmit`: every frame leaves by the device that it came in by, as it is.

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

#[xdp(frags)]
fn transmit(_context: XdpContext) -> u32 {
    xdp_action::XDP_TX
}
