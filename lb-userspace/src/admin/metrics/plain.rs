//! Plain: the text format that came before OpenMetrics (version 0.0.4), which every tool reads.

use std::fmt::Write as _;

/// The same metrics in the older format. There the name of a counter has its `_total` also where it is declared, and nothing
/// marks the end.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    // The help comes before the type, which says what to call it.
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let total = if kind == "counter" { "_total" } else { "" };
            let help = help.take().filter(|(of, _)| *of == name).map_or("", |(_, help)| help);
            // Writing to a string cannot fail.
            _ = writeln!(plain, "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}");
        } else if !line.starts_with('#') {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_declared_as_they_are_called_and_the_rest_stays() {
        let open = "# HELP a Of something.\n# TYPE a counter\na_total{x=\"# HELP\"} 1\n# HELP b Other.\n# TYPE b gauge\n\
                    # UNIT b seconds\nb{} 2.5\n# EOF\n";
        let plain = "# HELP a_total Of something.\n# TYPE a_total counter\na_total{x=\"# HELP\"} 1\n# HELP b Other.\n\
                     # TYPE b gauge\nb{} 2.5\n";
        assert_eq!(from_open_metrics(open), plain);
    }
}
