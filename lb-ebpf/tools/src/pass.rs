//! `pass`: every frame goes on to the stack. `pass_plain` is the same for frames of one page.
//!
//! A veth device hands over what its peer sends by XDP only if it has a program of its own, so the far end of a balancer's
//! cable needs one that passes everything. It is also the least that a program can do, against which others are timed.

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

#[xdp(frags)]
fn pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[xdp]
fn pass_plain(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}
