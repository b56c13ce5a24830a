//! Why packets leave the path early, and what else is counted of them.

use super::markdown::{code, table};
use lb_common::{Note, Stop};

/// The page.
pub(super) fn page() -> String {
    let stops = Stop::ALL.into_iter().map(|stop| [code(stop.name()), stop.help().to_owned()]);
    let notes = Note::ALL.into_iter().map(|note| [code(note.name()), note.help().to_owned()]);
    format!(
        "# Reasons\n\nEach packet that the kernel half does not forward is counted under one of these: `sluice maps` shows them, and \
         `/metrics` as `sluice_stopped_packets_total{{reason=\"…\"}}`. nftables and tcpdump of the balancer see only those that are \
         passed to the stack.\n\n{}## Notes\n\nWhat else happened to packets that went on: \
         `sluice_noted_packets_total{{note=\"…\"}}`.\n\n{}",
        table(["Reason", "What became of the packet, and why"], stops),
        table(["Note", "What happened"], notes)
    )
    .trim_end()
    .to_owned()
        + "\n"
}
