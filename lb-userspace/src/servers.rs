//! HEALTH PATH 2: what we know of each server now, and who may therefore take traffic. One truth for both halves.

pub mod state;
pub mod turns;
pub mod counts;
pub mod observed;
pub mod answers;
pub mod live;
pub mod gate;
pub mod room;
pub mod slowstart;
pub mod quorums;
pub mod leaving;
pub mod refused;
pub mod times;
pub mod totals;
pub mod registry;
mod said;
mod pools;

pub use answers::Answers;
pub use counts::{FrontendLive, Padded, Sharded};
pub use gate::{Entry, Gate, Place, Refusal, Slot};
pub use leaving::{Leaving, LeavingVip};
pub use live::{BackendLive, Live, ServerLive};
pub use observed::Seen;
pub use quorums::{Proven, Quorums};
pub use refused::Refused;
pub use registry::{Registry, RegistryError, Remembered, Rows};
pub use room::Room;
pub use said::{By, Weight};
pub use slowstart::{Rising, Throttle};
pub use state::{Admin, Health, Reserve, Stand, Standing, stands};
pub use totals::{FrontendTotals, ServerTotals};
pub use turns::Available;
