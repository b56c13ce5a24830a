//! Colour: only where somebody looks at it, and wants it.

use std::{
    env,
    ffi::OsStr,
    io::{IsTerminal, stderr},
};

/// Whether what goes to standard error may have colours.
pub(super) fn is_wanted() -> bool {
    decide(stderr().is_terminal(), env::var_os("NO_COLOR").as_deref())
}

/// `NO_COLOR` counts unless it is empty (<https://no-color.org>).
fn decide(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_whose_user_wants_them_gets_colours() {
        assert!(decide(true, None) && decide(true, Some(OsStr::new(""))));
        assert!(!decide(true, Some(OsStr::new("1"))) && !decide(false, None) && !decide(false, Some(OsStr::new(""))));
    }
}
