//! `pass`: every frame goes on to the stack.
//!
//! A veth device hands over what its peer sends by XDP only if it has a program of its own, so the far end of a balancer's
//! cable needs one that passes everything.

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

#[xdp(frags)]
fn pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}
