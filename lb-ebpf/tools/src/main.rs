//! A second kernel object, which never ships: the XDP programs that tests and benches put beside the balancer. Each module
//! but `frame` is one program, or two that belong together.
//!
//! Whoever loads the object makes all of its maps, also for a program that uses none. So maps are declared with next to no
//! entries, and a loader that wants more says so.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(unsafe_code, reason = "the kernel finds entry points and licence by symbol and section")
)]

#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod pass;
#[cfg(target_arch = "bpf")]
mod transmit;
#[cfg(target_arch = "bpf")]
mod rearm;
#[cfg(target_arch = "bpf")]
mod reference;
#[cfg(target_arch = "bpf")]
mod decapsulate;
#[cfg(target_arch = "bpf")]
mod vlan;

#[cfg(target_arch = "bpf")]
mod object {
    /// Some of the kernel's helpers are for GPL-compatible programs only.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

    /// Never called: nothing here panics, and the verifier refuses this loop if that changes.
    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
