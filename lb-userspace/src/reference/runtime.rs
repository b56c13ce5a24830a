//! The commands of the runtime API, as its `help` has them.

use super::markdown::{code, table};
use crate::admin::runtime::commands;

/// The page.
pub(super) fn page() -> String {
    let rows = commands().into_iter().map(|(usage, about, level)| {
        let level = format!("{level:?}").to_lowercase();
        [code(&usage), level, about]
    });
    format!(
        "# Runtime API\n\nHAProxy's words and answers, on the control socket and those of `[global] stats_socket`: one line a \
         connection, several commands in it between `;`, or a conversation after `prompt`. *Level*: who may say it; root and \
         whoever started the daemon may say everything, others what the socket's `level` allows. `clear counters all` takes \
         `admin`.\n\nA line that begins with `{{` is a request of the JSON protocol that the command line uses.\n\n{}",
        table(["Command", "Level", "What it does"], rows)
    )
    .trim_end()
    .to_owned()
        + "\n"
}
