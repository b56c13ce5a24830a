//! Small graphs as SVG in the page itself.

use super::numbers::{count, percent};
use maud::{Markup, html};
use std::fmt::Write as _;

/// How many looks a graph has room for, as many as are remembered.
const POINTS: usize = 60;
/// In its own units; the style says how large it is.
const HEIGHT: f64 = 20.0;

/// How a rate was in the last minute, the newest at the right.
pub(super) fn trail(rates: &[u32]) -> Markup {
    let rates = rates.get(rates.len().saturating_sub(POINTS)..).unwrap_or_default();
    let most = rates.iter().copied().max().unwrap_or(0);
    let (first, last) = (POINTS - rates.len(), rates.last().copied().unwrap_or(0));
    let x = |place: usize| place * 2 + 1;
    let y = |rate: u32| HEIGHT - 1.0 - f64::from(rate) / f64::from(most.max(1)) * (HEIGHT - 3.0);
    let mut line = String::new();
    for (place, rate) in (first..).zip(rates) {
        // Writing to a string does not fail.
        _ = write!(line, "{}{},{:.1}", if line.is_empty() { "" } else { " " }, x(place), y(*rate));
    }
    let title = format!("last minute: now {}/s, most {}/s", count(last.into()), count(most.into()));
    html! {
        svg.trail viewBox="0 0 120 20" preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            polyline.none points="1,19 119,19" {}
            @if most > 0 {
                polygon points=(format!("{},{HEIGHT} {line} {},{HEIGHT}", x(first), x(POINTS - 1))) {}
                polyline points=(line) {}
            }
        }
    }
}

/// A part of a whole, 0 to 1.
pub(super) fn bar(part: f64, title: &str) -> Markup {
    let width = format!("{:.1}", part.clamp(0.0, 1.0) * 100.0);
    html! {
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            rect.all width="100" height="6" {}
            rect.part width=(width) height="6" {}
        }
    }
}

/// Whose the slots of a ring are, side by side.
pub(super) fn shares<'a>(shares: impl IntoIterator<Item = (&'a str, f64)>) -> Markup {
    let mut start = 0.0;
    let parts: Vec<_> = shares
        .into_iter()
        .map(|(name, share)| {
            let part = (start, share * 100.0, format!("{name} {}", percent(share)));
            start += share * 100.0;
            part
        })
        .collect();
    html! {
        svg.ring viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="shares of the ring" {
            @for (place, (start, width, title)) in parts.iter().enumerate() {
                rect class=(if place % 2 == 0 { "even" } else { "odd" })
                    x=(format!("{start:.2}")) width=(format!("{width:.2}")) height="8" { title { (title) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_as_high_as_its_highest_rate_and_ends_at_the_right() {
        let graph = trail(&[0, 5, 10]).into_string();
        assert!(graph.contains("<polyline points=\"115,19.0 117,10.5 119,2.0\">"), "{graph}");
        assert!(graph.contains("now 10/s, most 10/s"), "{graph}");
        let long: Vec<u32> = (0..500).collect();
        assert_eq!(
            trail(&long).into_string().matches(' ').count(),
            trail(&long[440..]).into_string().matches(' ').count()
        );
        for flat in [&[][..], &[0, 0]] {
            assert_eq!(trail(flat).into_string().matches("<polyline").count(), 1, "the line below alone");
        }
        assert!(!trail(&[u32::MAX; 90]).into_string().contains("NaN"));
    }

    #[test]
    fn shares_stand_side_by_side_and_names_are_escaped() {
        let ring = shares([("<b>", 0.25), ("c", 0.75)]).into_string();
        assert!(ring.contains("x=\"0.00\" width=\"25.00\"") && ring.contains("x=\"25.00\" width=\"75.00\""), "{ring}");
        assert!(ring.contains("&lt;b&gt; 25.0%") && !ring.contains("<b>"), "{ring}");
        assert!(bar(7.0, "\"").into_string().contains("width=\"100.0\""));
    }
}
