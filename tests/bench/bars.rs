//! The bars: what share of another's cost ours may be.

use crate::statistics::Summary;

/// At most this share.
pub(crate) type Bar = f64;

/// Whether a ratio passes its bar, as a mark; a blank where there is no bar.
pub(crate) fn mark(ratio: Option<Summary>, bar: Option<Bar>) -> &'static str {
    match met(ratio, bar) {
        Some(true) => "✓",
        Some(false) => "✗",
        None => " ",
    }
}

/// Whether a ratio passes its bar; `None` where there is nothing to compare.
pub(crate) fn met(ratio: Option<Summary>, bar: Option<Bar>) -> Option<bool> {
    Some(ratio?.median <= bar?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        let ratio = Summary::of([0.4, 0.45, 0.9]);
        assert_eq!(met(ratio, Some(0.45)), Some(true));
        assert_eq!(met(ratio, Some(0.44)), Some(false));
        assert_eq!([mark(ratio, Some(0.44)), mark(ratio, None), mark(None, Some(1.0))], ["✗", " ", " "]);
    }
}
