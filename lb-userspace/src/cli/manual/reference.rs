//! sluice.toml(5), made of the reference configuration: comments are text, tables are headings, keys are entries.

use super::source;
use std::{fmt::Write as _, mem};

/// A line of this begins a chapter.
const RULE: &str = "# -----";

/// The page.
pub(super) fn page(reference: &str, date: &str) -> String {
    let mut page = Page {
        text: format!(
            ".TH sluice.toml 5 \"{date}\" \"{}\" \"Sluice\"\n.SH NAME\nsluice.toml \\- configuration of the load balancer \
             Sluice\n.SH DESCRIPTION\n",
            source()
        ),
        ..Page::default()
    };
    let mut lines = reference.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with(RULE) {
            page.flush();
            page.chapter = true;
        } else if let Some(comment) = line.strip_prefix('#') {
            page.comment(comment);
        } else if line.starts_with('[') {
            page.table(line);
        } else if line.is_empty() {
            page.flush();
        } else {
            let mut value = vec![line];
            while depth(&value) > 0 {
                value.extend(lines.next());
                if lines.peek().is_none() {
                    break;
                }
            }
            page.key(&value);
        }
    }
    page.flush();
    page.text + ".SH SEE ALSO\n.BR sluice (8)\n"
}

/// Brackets that are open at the end of these lines; those within strings and comments count for none.
fn depth(lines: &[&str]) -> i32 {
    let (mut depth, mut quote) = (0, None);
    for line in lines {
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), letter) if open == letter => quote = None,
                (None, '"' | '\'') => quote = Some(letter),
                (None, '#') => break,
                (None, '[' | '{') => depth += 1,
                (None, ']' | '}') => depth -= 1,
                (Some(_) | None, _) => {}
            }
        }
        quote = None;
    }
    depth
}

#[derive(Default)]
struct Page {
    text: String,
    /// Lines of the comment that is not used yet, without `#`.
    comment: Vec<String>,
    /// The next comment begins a chapter.
    chapter: bool,
    /// Keys that the comment is about.
    keys: Vec<Vec<String>>,
}

impl Page {
    fn comment(&mut self, line: &str) {
        if !self.keys.is_empty() {
            self.flush();
        }
        if mem::take(&mut self.chapter) {
            let heading = line.trim().trim_end_matches('.');
            _ = writeln!(self.text, ".SH \"{}\"", escape(heading).to_uppercase());
        } else {
            self.comment.push(line.to_owned());
        }
    }

    /// What was said before a table is about the table.
    fn table(&mut self, line: &str) {
        if !self.keys.is_empty() {
            self.flush();
        }
        _ = writeln!(self.text, ".SS {}", escape(line.split(" #").next().unwrap_or(line).trim_end()));
        self.flush();
    }

    fn key(&mut self, lines: &[&str]) {
        self.keys.push(lines.iter().map(|line| (*line).to_owned()).collect());
    }

    /// Writes keys and their comment, or a comment by itself.
    fn flush(&mut self) {
        let (comment, keys) = (mem::take(&mut self.comment), mem::take(&mut self.keys));
        for (index, key) in keys.iter().enumerate() {
            let first = key.first().map(String::as_str).unwrap_or_default();
            let (name, value) = first.split_once('=').unwrap_or((first, ""));
            let (tag, value) = (escape(name.trim()), escape(value.trim()));
            _ = writeln!(self.text, "{}\n\\fB{tag}\\fR = {value}", if index == 0 { ".TP" } else { ".TQ" });
        }
        if comment.is_empty() && !keys.is_empty() && keys.iter().all(|key| key.len() == 1) {
            self.text.push_str("\\&\n");
        }
        self.paragraphs(&comment, !keys.is_empty());
        for key in keys.iter().filter(|key| key.len() > 1) {
            self.literal(key.iter().map(String::as_str));
        }
    }

    /// Lines that are indented, or that go on in columns, stay as they are; the others flow.
    fn paragraphs(&mut self, lines: &[String], begun: bool) {
        let is_literal =
            |line: &String| line.starts_with("   ") || line.trim().contains("  ") || line.starts_with(" [[");
        if !begun && !lines.is_empty() && !after_heading(&self.text) {
            self.text.push_str(".PP\n");
        }
        for block in lines.chunk_by(|one, other| is_literal(one) == is_literal(other)) {
            if block.first().is_some_and(is_literal) {
                self.literal(block.iter().map(String::as_str));
                continue;
            }
            for line in block.iter().map(|line| line.trim()) {
                match line {
                    "" => self.text.push_str(if begun { ".sp\n" } else { ".PP\n" }),
                    _ if line.starts_with("- ") && !self.after_request() => self.text.push_str(".br\n"),
                    _ => {}
                }
                if !line.is_empty() {
                    _ = writeln!(self.text, "{}", escape(line));
                }
            }
        }
    }

    fn after_request(&self) -> bool {
        self.text.lines().next_back().is_some_and(|line| line.starts_with('.'))
    }

    fn literal<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        self.text.push_str(".nf\n");
        for line in lines {
            _ = writeln!(self.text, "{}", escape(line));
        }
        self.text.push_str(".fi\n");
    }
}

fn after_heading(text: &str) -> bool {
    text.lines().next_back().is_some_and(|line| line.starts_with(".S"))
}

/// As roff wants text: no line is a request, and quotes, hyphens and backslashes are what they look like.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::manual::REFERENCE;

    #[test]
    fn every_key_and_table_of_the_reference_is_in_the_page() {
        let page = page(REFERENCE, "2026-01-01");
        let lines: Vec<_> = REFERENCE.lines().filter(|line| !line.starts_with('#')).collect();
        for line in &lines {
            if let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| !name.starts_with([' ', '[', '{'])) {
                assert!(page.contains(&format!("\\fB{}\\fR = ", escape(name))), "{name}");
            } else if line.starts_with('[') {
                assert!(page.contains(&format!(".SS {}", escape(line.split(" #").next().unwrap()))), "{line}");
            }
        }
    }

    #[test]
    fn comments_flow_keys_share_theirs_and_values_of_lines_stay() {
        let page = page(
            "# Two\n# - dots.\n\n[a]\n# For \\both.\nb = 1\nc = 2\nd = [\n  \"]\", # ]\n]\n# T:\n#   x   y\ne = {}\n",
            "d",
        );
        let body = page.split_once("DESCRIPTION\n").unwrap().1;
        assert_eq!(
            body,
            "Two\n.br\n\\- dots.\n.SS [a]\n.TP\n\\fBb\\fR = 1\n.TQ\n\\fBc\\fR = 2\n.TQ\n\\fBd\\fR = [\nFor \\eboth.\n.nf\nd = [\n  \
             \\(dq]\\(dq, # ]\n]\n.fi\n.TP\n\\fBe\\fR = {}\nT:\n.nf\n   x   y\n.fi\n.SH SEE ALSO\n.BR sluice (8)\n"
        );
    }
}
