//! The kernel shell: the XDP entry point round the packet path of the library. Nothing here decides anything; it is the
//! only place where XDP's action numbers stand.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(unsafe_code, reason = "the kernel finds entry point and licence by symbol and section")
)]

#[cfg(target_arch = "bpf")]
mod kernel;

#[cfg(target_arch = "bpf")]
mod entry {
    use crate::kernel;
    use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
    use lb_common::End;
    use lb_ebpf::Verdict;

    /// Takes every frame of an interface; `frags` because frames may be larger than a page.
    #[xdp(frags)]
    fn sluice(context: XdpContext) -> u32 {
        let outcome = kernel::run(&context);
        #[cfg(feature = "log")]
        if let Err(stop) = outcome {
            aya_log_ebpf::debug!(&context, "{}", stop.name());
        }
        match outcome {
            Ok(Verdict::Transmit) => xdp_action::XDP_TX,
            Ok(Verdict::Redirect) => xdp_action::XDP_REDIRECT,
            Err(stop) => match stop.end() {
                End::Pass => xdp_action::XDP_PASS,
                End::Drop => xdp_action::XDP_DROP,
                End::Answer => xdp_action::XDP_TX,
            },
        }
    }

    /// Some of the kernel's helpers are for GPL-compatible programs only.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

    /// Never called: the packet path has nothing that panics, and the verifier refuses this loop if that changes.
    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
