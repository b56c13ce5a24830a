//! Binary upgrade: another program takes over what this one serves, without a connection refused or a packet lost.
//!
//! The old supervisor starts the new binary as its child (`sluice run --take-over`, with the line between them as its standard
//! input), and then (old: `give`, new: `take`; `message` has what they say, `binary` which file may be started):
//!
//! 1. **Greeting.** Both name their protocol. One that does not know the other's says so, and that is the end.
//! 2. **Gifts.** The new one gets the sockets themselves (what waits in a backlog waits on), and the locks: an flock belongs to
//!    the open file, so that there is no moment without. It reads the configuration *as it is on disk*, opens what is missing,
//!    has the kernel verify its program, starts its worker, and says that it is prepared. Nothing has changed yet.
//! 3. **Hold.** The old worker stops judging and writing, and tells what it knows of servers; the old supervisor stops to follow
//!    the network. Connections and packets go on. From here on the new one alone writes maps.
//! 4. **Take.** The new supervisor follows the network, its worker takes up what the old one knew, then the configuration,
//!    and accepts beside the old one. Last its program takes the place of the old one, a link at a time and in place. Ready.
//! 5. **Retirement.** The old worker lets go of the sockets, which the new one has, ends its connections as a drain does, within
//!    `hard_stop_after`, and both old processes end.
//!
//! Whatever fails before the new one is ready ends it, and the old one goes on: if it had been held, its program is put back,
//! the maps are read and made again what its configuration wants. If the old supervisor dies before it has let go (3), the new
//! one gives up; after that it goes on alone. If the new one dies before it is ready, that is a failure like others.
//!
//! Maps of the same schema are simply the same maps. Into those of another one the planner's tables and the flows are copied
//! before the program is replaced, and the flows again after it ([`carry`](crate::dataplane::carry)); if that cannot be, the
//! upgrade is refused, unless it is asked for with `--drop-flows`.

mod binary;
mod give;
mod message;
mod take;

pub use binary::started_from;

use std::{path::PathBuf, time::Duration};

/// What starts must answer the greeting within this time.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// And be ready within this time, from its start.
const UPGRADE_TIMEOUT: Duration = Duration::from_mins(1);

/// An upgrade that somebody has asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The new binary. `None`: what is now at the place that we were started from.
    pub(super) binary: Option<PathBuf>,
    /// Go on where flows cannot be carried into maps of another schema.
    pub(super) drop_flows: bool,
    /// Whether it was asked for by the worker, which waits for an answer.
    pub(super) is_answered: bool,
}
