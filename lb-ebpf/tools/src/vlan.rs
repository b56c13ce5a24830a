//! `vlan_push` and `vlan_pop`: the two ends of a link with VLAN tags, for machines whose kernels have no such devices.
//!
//! `vlan_push` stands at the switch's end of a machine's cable and tags what the machine sends; `vlan_pop` stands at the
//! machine's end and takes the tags off what it gets. Not all that a machine sends gets tags: a balancer without VLAN
//! devices lets its program see tagged frames, but not its stack. So what the stack must have stays as it is: ARP,
//! neighbour discovery, what is sent to many, and what is for one address of the balancer's.
#![expect(unsafe_code, reason = "references into maps are only as valid as the kernel's rules make them")]

use crate::frame::{ETHERNET, Frame, IPV4, IPV6, TYPE};
use aya_ebpf::{
    Global, bindings::xdp_action, btf_maps::PerCpuArray, macros::btf_map, macros::xdp, programs::XdpContext,
};

/// The tags, the outer one first: priority and VLAN, as they stand in the frame; 0 stands for none. Set by the loader.
#[unsafe(no_mangle)]
static TAGS: Global<[u16; 2]> = Global::new([0; 2]);
/// What is sent to this address gets no tag; set by the loader.
#[unsafe(no_mangle)]
static UNTAGGED4: Global<[u8; 4]> = Global::new([0; 4]);
/// As [`UNTAGGED4`].
#[unsafe(no_mangle)]
static UNTAGGED6: Global<[u32; 4]> = Global::new([0; 4]);

/// Frames by what became of them: the rows below.
#[btf_map]
static TAGGED: PerCpuArray<u64, 3> = PerCpuArray::new();

/// Tags were put on or taken off.
const CHANGED: u32 = 0;
/// A frame that stays, or was, without tags.
const PLAIN: u32 = 1;
/// Dropped: other tags than this link has.
const WRONG: u32 = 2;

/// An inner tag, or the only one (IEEE 802.1Q).
const CUSTOMER: [u8; 2] = [0x81, 0x00];
/// The outer one of two.
const SERVICE: [u8; 2] = [0x88, 0xa8];
/// Bytes of a tag.
const TAG: usize = 4;

#[xdp(frags)]
fn vlan_push(context: XdpContext) -> u32 {
    let mut frame = Frame::new(&context);
    finish(if is_for_stack(&frame).unwrap_or(true) { PLAIN } else { push(&mut frame).map_or(WRONG, |()| CHANGED) })
}

#[xdp(frags)]
fn vlan_pop(context: XdpContext) -> u32 {
    finish(pop(&mut Frame::new(&context)).unwrap_or(WRONG))
}

#[inline(always)]
fn finish(row: u32) -> u32 {
    if let Some(frames) = TAGGED.get_ptr_mut(row) {
        // SAFETY: the row is this CPU's own, and the program is not interrupted by itself.
        unsafe { *frames += 1 };
    }
    if row == WRONG { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

/// Whether the balancer's stack must understand the frame.
#[inline(always)]
fn is_for_stack(frame: &Frame) -> Option<bool> {
    /// The bit of an Ethernet address that stands for a group (IEEE 802 §8.2).
    const GROUP: u8 = 1;
    let [first, ..] = frame.read::<[u8; 6]>(0)?;
    if first & GROUP != 0 {
        return Some(true);
    }
    match frame.read::<[u8; 2]>(TYPE)? {
        IPV4 => Some(frame.read::<[u8; 4]>(ETHERNET + 16)? == UNTAGGED4.load()),
        IPV6 => {
            const ICMP: u8 = 58;
            // Router solicitation to redirect: RFC 4861 §4.
            let discovery =
                frame.read::<u8>(ETHERNET + 6)? == ICMP && matches!(frame.read(ETHERNET + 40)?, 133..=137_u8);
            Some(discovery || frame.read::<[u32; 4]>(ETHERNET + 24)? == UNTAGGED6.load())
        }
        _ => Some(true),
    }
}

#[inline(always)]
fn push(frame: &mut Frame) -> Option<()> {
    let [outer, inner] = TAGS.load();
    if inner != 0 {
        frame.shift(-(TAG as i32), CUSTOMER)?;
        frame.write(ETHERNET, inner)?;
    }
    frame.shift(-(TAG as i32), if inner == 0 { CUSTOMER } else { SERVICE })?;
    frame.write(ETHERNET, outer)
}

#[inline(always)]
fn pop(frame: &mut Frame) -> Option<u32> {
    let [outer, inner] = TAGS.load();
    let kind = frame.read::<[u8; 2]>(TYPE)?;
    if kind != CUSTOMER && kind != SERVICE {
        return Some(PLAIN);
    }
    pop_one(frame, if inner == 0 { CUSTOMER } else { SERVICE }, outer)?;
    if inner != 0 {
        pop_one(frame, CUSTOMER, inner)?;
    }
    Some(CHANGED)
}

/// Takes the outermost tag off, if it is this one.
#[inline(always)]
fn pop_one(frame: &mut Frame, kind: [u8; 2], tag: u16) -> Option<()> {
    let (found, control) = (frame.read::<[u8; 2]>(TYPE)?, frame.read::<u16>(ETHERNET)?);
    let next = frame.read::<[u8; 2]>(TYPE + TAG)?;
    if found != kind || control != tag {
        return None;
    }
    frame.shift(TAG as i32, next)
}
