//! CONTROL PATH 4: the kernel as userspace sees it. Only this folder names aya and netlink.
//!
//! Two processes use it. The privileged supervisor loads, attaches and pins (`load`, `attach`, `pins`), creates the maps
//! of new rings (`rings`) and writes what comes from netlink (`routing`). The worker has no capability: it writes what
//! comes from the planner (`maps`) and reads the counters (`counters`) through descriptors that it was given.

pub mod object;
pub mod writer;
pub mod memory;
pub mod raw;
pub mod shape;
pub mod pins;
pub mod handed;
pub mod load;
pub mod attach;
pub mod rings;
pub mod lookup;
pub mod maps;
pub mod counters;
pub mod flows;
pub mod carry;
pub mod replica;
pub mod heartbeat;
pub mod routing;
mod batch;
mod keys;
