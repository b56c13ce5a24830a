//! What is wrong with a configuration, and how it is shown: a message, the line, a caret, a way out.

use super::{
    bundle::Bundle,
    source::{Position, Source, Sources, Span},
};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use std::{error::Error, fmt};

/// Errors that are shown; of the others only how many there are. Nobody reads more, and a file that was spoiled as a whole
/// can have a hundred thousand.
const MOST_SHOWN: usize = 1_000;
/// Longest message in bytes: the longest of ours lists all keys of a table.
const MOST_WORDS: usize = 4 << 10;
/// Longest lines in bytes that are shown.
const MOST_TEXT: usize = 16 << 10;

/// One error or warning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Whether it keeps the configuration from being used.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to say right there; empty: only mark the place.
    pub label: String,
    /// How to go on.
    pub help: Option<String>,
    /// A second place that belongs to it, and what to say there. Boxed: most have none, and a diagnostic is often an
    /// `Err`.
    pub related: Option<Box<(Span, String)>>,
}

/// Whether a diagnostic keeps the configuration from being used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but look at it.
    Warning,
    /// It does not, and is as it was meant; but whoever reads it, or depends on it, would be better off otherwise.
    Note,
}

/// How diagnostics are shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// As rustc does: message, place, the line with a caret, help.
    #[default]
    Full,
    /// `Full` in the colours of a terminal.
    Colour,
    /// One line each, for editors: `file:line:column: error: message`.
    Short,
}

impl Severity {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Diagnostic {
    pub(crate) fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, message.into())
    }

    pub(crate) fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, message.into())
    }

    pub(crate) fn note(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, span, message.into())
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    fn new(severity: Severity, span: Span, message: String) -> Self {
        Self { severity, message, span, label: String::new(), help: None, related: None }
    }

    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn maybe_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    pub(crate) fn related(self, span: Span, label: impl Into<String>) -> Self {
        Self { related: Some(Box::new((span, label.into()))), ..self }
    }
}

/// All that was found in one configuration, in the order of its files and lines. Holds the configuration's text, to
/// show lines of it, but no certificate and no key; and of the environment only what was understood as an address or a
/// name.
#[derive(Clone)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    sources: Sources,
}

impl Diagnostics {
    pub(crate) fn new(bundle: &Bundle, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
        Self { list, sources: Sources::new(&bundle.files) }
    }

    /// In the order of the files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The file, line and column of one of these.
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<(&str, Position)> {
        let source = self.sources.of(diagnostic.span)?;
        Some((&source.path, source.position(diagnostic.span)))
    }

    /// All of it as text, ending with a newline unless empty.
    pub fn render(&self, format: Format) -> String {
        let one = |diagnostic| match format {
            Format::Full => self.snippet(diagnostic, &Renderer::plain()),
            Format::Colour => self.snippet(diagnostic, &Renderer::styled()),
            Format::Short => self.line(diagnostic),
        };
        let mut rendered: Vec<_> = self.list.iter().take(MOST_SHOWN).map(one).collect();
        let more = self.list.len().saturating_sub(MOST_SHOWN);
        if more > 0 {
            rendered.push(self.rest(more));
        }
        let between = if format == Format::Short { "\n" } else { "\n\n" };
        let end = if rendered.is_empty() { "" } else { "\n" };
        rendered.join(between) + end
    }

    /// That there are so many more, and where they begin.
    fn rest(&self, more: usize) -> String {
        let place = self.list.get(MOST_SHOWN).and_then(|next| self.place(next));
        let place = place.map_or_else(String::new, |(path, at)| format!("{path}:{}:{}: ", at.line, at.column));
        format!("{place}error: and {more} more")
    }

    fn line(&self, diagnostic: &Diagnostic) -> String {
        let message = shown(&diagnostic.message);
        let severity = diagnostic.severity.word();
        match self.place(diagnostic) {
            Some((path, Position { line, column })) => {
                format!("{path}:{line}:{column}: {severity}: {message}")
            }
            None => format!("{severity}: {message}"),
        }
    }

    fn snippet(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.primary_title(shown(&diagnostic.message));
        let mut group = Group::with_title(title);
        let first = self.sources.of(diagnostic.span);
        let related =
            diagnostic.related.as_deref().and_then(|(span, label)| Some((self.sources.of(*span)?, *span, label)));
        if let Some(source) = first {
            let mut marks = vec![(AnnotationKind::Primary, diagnostic.span, diagnostic.label.as_str())];
            if let Some((at, span, label)) = related
                && at.base == source.base
            {
                marks.push((AnnotationKind::Context, span, label));
            }
            group = shown_in(group, source, &marks);
        }
        if let Some((at, span, label)) = related
            && first.is_none_or(|source| source.base != at.base)
        {
            group = shown_in(group, at, &[(AnnotationKind::Context, span, label)]);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(shown(help)));
        }
        renderer.render(&[group])
    }
}

/// The lines of `source` with these marks: where, and what to say there. Of lines that nobody could read, only the place.
fn shown_in<'a>(group: Group<'a>, source: &'a Source, marks: &[(AnnotationKind, Span, &str)]) -> Group<'a> {
    let ranges: Vec<_> = marks.iter().map(|(_, span, _)| source.range(*span)).collect();
    let (text, start, line) = source.lines_of(&ranges);
    if text.len() > MOST_TEXT {
        let Some((_, span, _)) = marks.first() else { return group };
        let Position { line, column } = source.position(*span);
        return group.element(Origin::path(source.path.as_str()).line(line).char_column(column));
    }
    let mut snippet = Snippet::source(text).line_start(line).path(&source.path).fold(true);
    for ((kind, _, label), range) in marks.iter().zip(ranges) {
        let label = (!label.is_empty()).then(|| shown(label));
        snippet = snippet.annotation(kind.span(range.start - start..range.end - start).label(label));
    }
    group.element(snippet)
}

/// Text without what could steer a terminal or break a line: it may quote the configuration.
fn shown(text: &str) -> String {
    let cut = text.get(..text.floor_char_boundary(MOST_WORDS)).unwrap_or_default();
    let more = if cut.len() < text.len() { "…" } else { "" };
    normalize_untrusted_str(cut).replace('\n', "␊") + more
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Format::Full))
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Format::Short))
    }
}

impl Error for Diagnostics {}
