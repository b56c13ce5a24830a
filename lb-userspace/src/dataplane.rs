//! CONTROL PATH 4: the kernel as userspace sees it. Only this folder names aya.
//!
//! The supervisor loads, attaches and pins (`load`, `attach`) and writes what comes from netlink (`routing`); the
//! worker writes what comes from the planner (`maps`), through descriptors that it was given.

pub mod object;
pub mod writer;
pub mod memory;
