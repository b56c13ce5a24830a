//! Markdown: tables, and text that is in them.

/// A table.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(heads.map(str::to_owned)) + &line([(); N].map(|()| "---".to_owned()));
    rows.into_iter().for_each(|row| text += &line(row.map(|cell| cell.replace('|', "\\|").replace('\n', " "))));
    text + "\n"
}

/// Text as code, whatever is in it.
pub(super) fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// Words as code, one after the other.
pub(super) fn codes<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(code).collect::<Vec<_>>().join(", ")
}
