//! `rearm`: makes the packet of the next flow in place of what the last run left, then jumps to the program that is timed.
//!
//! With `BPF_PROG_TEST_RUN` and `repeat` each run finds the frame as the one before left it: with other headers, and longer
//! by those that it put in front. So the bounds are put back where they were, and the first bytes written anew. What the
//! wrapper itself costs is found with a target that does nothing.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, ProgramArray},
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use core::{hint::black_box, ptr};
use lb_ebpf_tools::rows::rearm::{Plan, TEMPLATE, Varies};

#[btf_map]
static PLAN: Array<Plan, 1> = Array::new();
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();
#[btf_map]
static TARGET_PLAIN: ProgramArray<1> = ProgramArray::new();

#[xdp(frags)]
fn rearm(context: XdpContext) -> u32 {
    run(&context, &TARGET)
}

#[xdp]
fn rearm_plain(context: XdpContext) -> u32 {
    run(&context, &TARGET_PLAIN)
}

#[inline(always)]
fn run(context: &XdpContext, target: &ProgramArray<1>) -> u32 {
    let Some(plan) = PLAN.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: the map has this row, and the runs of a test come one after the other.
    let plan = unsafe { &mut *plan };
    if put_back(context, plan).and_then(|()| write(context, plan)).is_some() {
        // SAFETY: nothing here is to be dropped.
        unsafe { target.tail_call(context, 0) };
    }
    plan.failed += 1;
    xdp_action::XDP_ABORTED
}

/// Puts both ends of the frame where they were in the first run.
#[inline(always)]
fn put_back(context: &XdpContext, plan: &mut Plan) -> Option<()> {
    // The verifier lets nobody keep a pointer, but a distance is a number, and the context does not move between runs.
    let frame_end = black_box(context.data_end() - context.ctx as usize) as u64;
    if plan.frame_end == 0 {
        plan.frame_end = frame_end;
    }
    let grown = frame_end.wrapping_sub(plan.frame_end) as i32;
    if grown != 0 {
        // SAFETY: the context is the one that the program was called with.
        let failed = unsafe { bpf_xdp_adjust_tail(context.ctx, -grown) } != 0;
        if failed {
            return None;
        }
    }
    let length = black_box(context.data_end() - context.data()) as u32;
    let added = length.wrapping_sub(plan.length) as i32;
    // Also where nothing was added: so the wrapper costs the same round every program.
    // SAFETY: as above.
    let failed = unsafe { bpf_xdp_adjust_head(context.ctx, added) } != 0;
    (!failed).then_some(())
}

/// Writes the packet of the next flow.
#[inline(always)]
fn write(context: &XdpContext, plan: &mut Plan) -> Option<()> {
    let start = context.data();
    if start + TEMPLATE > context.data_end() {
        return None;
    }
    // Word by word: a copy of this size would become a loop over bytes.
    let [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9] = plan.template;
    for (index, word) in [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9].into_iter().enumerate() {
        // SAFETY: the frame has room for it.
        unsafe { ptr::write_unaligned((start as *mut u64).wrapping_add(index), word) };
    }

    let flow = plan.next;
    plan.next = if flow + 1 == plan.end { plan.first } else { flow + 1 };
    let address = u32::from_be(plan.address).wrapping_add(flow >> 16).to_be();
    let port = (flow as u16).to_be();
    let (address_at, port_at) = Varies::ALL.into_iter().find(|varies| *varies as u32 == plan.varies)?.places();
    // SAFETY: all of these lie within the template.
    unsafe { ptr::write_unaligned((start + address_at) as *mut u32, address) };
    // SAFETY: as above.
    unsafe { ptr::write_unaligned((start + port_at) as *mut u16, port) };
    Some(())
}
