//! The steps of the packet path as global functions: the verifier looks at each of them once, whoever calls it, and each has
//! a frame of its own on the stack. Static ones it would follow anew on each way that leads to them.
#![expect(unsafe_code, reason = "global functions are known by their symbols")]

use super::{Frame, Maps};
use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use lb_common::{Stop, V4, V6};
use lb_ebpf::{Shared as _, Step, Verdict, outcome::Packed, parse::ethernet, step, steps};

/// One packet: as [`lb_ebpf::run`], with these functions as its steps.
#[inline(always)]
pub(crate) fn run(context: &XdpContext) -> Result<Verdict, Stop> {
    let payload = ethernet::payload(&Frame::<false>::new(context.ctx));
    let outcome = match payload {
        Ok((ethernet::IPV4, offset)) => steps(|step| run_v4(context.ctx, step, offset as u64)),
        Ok((ethernet::IPV6, offset)) => steps(|step| run_v6(context.ctx, step, offset as u64)),
        Ok(_) => Err(Stop::NotIp),
        Err(stop) => Err(stop),
    };
    if let Err(stop) = outcome {
        Maps.count_stop(stop);
    }
    outcome
}

/// The offset that a step was called with. The verifier of Linux 6.1 loses the bounds of what the compiler has put onto the
/// stack before it compared it; a mask bounds the value wherever it is taken from.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "five bits are left")]
const fn offset_of(argument: u64) -> usize {
    const MASK: usize = (ethernet::LENGTH + 2 * ethernet::TAG).next_power_of_two() - 1;
    argument as usize & MASK
}

macro_rules! family_steps {
    ($family:ident, $run:ident, { $($step:ident = $name:ident $careful:literal),* $(,)? }, $too_big:ident) => {
        #[inline(always)]
        fn $run(context: *mut xdp_md, which: Step, offset: u64) -> Packed {
            Packed::from_raw(match which {
                $(Step::$step => $name(context, offset),)*
                Step::TooBig(mtu) => $too_big(context, offset, mtu.into()),
            })
        }

        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $name(context: *mut xdp_md, offset: u64) -> u64 {
                step::<$family>(&mut Frame::<$careful>::new(context), &Maps, Step::$step, offset_of(offset)).raw()
            }
        )*

        #[unsafe(no_mangle)]
        #[inline(never)]
        #[expect(clippy::cast_possible_truncation, reason = "an MTU has 16 bits")]
        extern "C" fn $too_big(context: *mut xdp_md, offset: u64, mtu: u64) -> u64 {
            step::<$family>(&mut Frame::<true>::new(context), &Maps, Step::TooBig(mtu as u16), offset_of(offset)).raw()
        }
    };
}

family_steps!(V4, run_v4, {
    Fast = fast4 false,
    Enter = enter4 false,
    Connected = connected4 false,
    Look = look4 true,
    PlaceFragment = place_fragment4 true,
    Icmp = icmp4 true,
    PlaceError = place_error4 true,
    SendError = send_error4 true,
    Known = known4 true,
    Answer = answer4 true,
    ByRing = by_ring4 true,
    Make = make4 true,
    Clamp = clamp4 true,
    Send = send4 true,
    Refuse = refuse4 true,
}, too_big4);
family_steps!(V6, run_v6, {
    Fast = fast6 false,
    Enter = enter6 false,
    Connected = connected6 false,
    Look = look6 true,
    PlaceFragment = place_fragment6 true,
    Icmp = icmp6 true,
    PlaceError = place_error6 true,
    SendError = send_error6 true,
    Known = known6 true,
    Answer = answer6 true,
    ByRing = by_ring6 true,
    Make = make6 true,
    Clamp = clamp6 true,
    Send = send6 true,
    Refuse = refuse6 true,
}, too_big6);
