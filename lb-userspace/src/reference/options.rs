//! Every key of the configuration, by the doc comments of its tables and the shapes of its values.

use super::markdown::{code, codes, table};
use crate::config::{
    file,
    shape::{Key, Shape},
};
use std::fmt::Write as _;

const HEAD: &str = "\
# Options

Every key of the configuration. Unknown keys are refused, and `sluice check` shows all errors at once. In every string `${NAME}` is
replaced from the environment of the daemon; a literal `${` is written `$${`.

- *duration*: a whole number and `us`, `ms`, `s`, `m`, `h` or `d`, in quotes: `\"250ms\"`.
- *size*: a whole number and `B`, `KiB`, `MiB`, `GiB` (`k`, `M`, `G` are the same) or `kB`, `MB`, `GB` (of 1000), in quotes: `\"64MiB\"`.
- *or an array*: one value, or several in brackets.
- Bounds are those that the text states; what else may not be, `sluice check` says.

";

/// The page.
pub(super) fn page() -> String {
    let whole = file::layout();
    let mut text = HEAD.to_owned();
    for place in whole.all() {
        _ = write!(text, "## `{}`", place.path);
        text += &place.kind.map_or_else(String::new, |kind| format!(" of type `{kind}`"));
        _ = write!(text, "\n\n{}\n\n", place.about.split_whitespace().collect::<Vec<_>>().join(" "));
        text += &table(["Key", "Type", "Default", "Bounds", "Meaning"], place.keys.iter().map(row));
        for key in place.keys {
            let (_, more) = key.knob.summary();
            if !more.is_empty() {
                _ = writeln!(text, "- `{}`: {more}", key.knob.key);
            }
        }
        text.push('\n');
    }
    text.replace("\n\n\n", "\n\n").trim_end().to_owned() + "\n"
}

fn row(key: &Key) -> [String; 5] {
    let default = if key.knob.is_required() { Some("**required**".to_owned()) } else { key.knob.default() };
    let is_number = matches!(&key.shape, Shape::Integer | Shape::Text { what: "a duration", .. });
    let bounds = key.knob.bounds().filter(|_| is_number).map(|(least, most)| format!("{least} to {most}"));
    let (meaning, _) = key.knob.summary();
    [code(key.knob.key), kind(key), default.unwrap_or_default(), bounds.unwrap_or_default(), meaning]
}

/// The type, with the unit of a number that has one.
fn kind(key: &Key) -> String {
    let meaning = key.knob.meaning();
    let units =
        [("percent", ", percent"), ("ytes", ", bytes")].into_iter().filter(|_| matches!(key.shape, Shape::Integer));
    let unit = units.filter(|(word, _)| meaning.contains(word)).map(|(_, unit)| unit).next();
    words(&key.shape) + unit.unwrap_or_default()
}

fn words(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "boolean".to_owned(),
        Shape::Integer => "integer".to_owned(),
        Shape::Text { what, .. } => what.trim_start_matches("an ").trim_start_matches("a ").to_owned(),
        Shape::Words(words) => codes(words.iter().copied()),
        Shape::Either(shapes) => shapes.iter().map(words).collect::<Vec<_>>().join(" or "),
        Shape::OneOrMany(shape) => format!("{}, or an array", words(shape)),
        Shape::Many(_) => "array of tables".to_owned(),
        Shape::Named(shape) => format!("table of NAME = {}", words(shape)),
        Shape::Table(_) => "table".to_owned(),
    }
}

#[test]
fn every_table_and_kind_of_check_is_there() {
    let page = page();
    for heading in
        ["`global`", "`backend.NAME.agent`", "`backend.NAME.check` of type `pgsql`", "`backend.NAME.server.tls`"]
    {
        assert!(page.contains(&format!("## {heading}\n")), "{heading}");
    }
    assert!(page.contains("| `threads` | integer | one a CPU | 1 to 1024 | Threads that serve connections"), "{page}");
    assert!(page.contains("| `mode` | `l4`, `tcp`, `http` | **required** |"), "{page}");
}
