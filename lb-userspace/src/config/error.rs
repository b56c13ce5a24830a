//! What is wrong with a configuration, and how it is shown: a message, the line, a caret, a way out.

use super::{
    bundle::Bundle,
    source::{Position, Source, Sources, Span},
};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};
use std::{error::Error, fmt};

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

impl Diagnostic {
    pub(crate) fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, message.into())
    }

    pub(crate) fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, message.into())
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
        let rendered: Vec<_> = self.list.iter().map(one).collect();
        let between = if format == Format::Short { "\n" } else { "\n\n" };
        let end = if rendered.is_empty() { "" } else { "\n" };
        rendered.join(between) + end
    }

    fn line(&self, diagnostic: &Diagnostic) -> String {
        let message = shown(&diagnostic.message);
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
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
        };
        let title = level.primary_title(shown(&diagnostic.message));
        let mut group = Group::with_title(title);
        let first = self.sources.of(diagnostic.span);
        let related =
            diagnostic.related.as_deref().and_then(|(span, label)| Some((self.sources.of(*span)?, *span, label)));
        if let Some(source) = first {
            let mut snippet = snippet(source).annotation(annotation(
                source,
                AnnotationKind::Primary,
                diagnostic.span,
                &diagnostic.label,
            ));
            if let Some((at, span, label)) = related
                && at.base == source.base
            {
                snippet = snippet.annotation(annotation(at, AnnotationKind::Context, span, label));
            }
            group = group.element(snippet);
        }
        if let Some((at, span, label)) = related
            && first.is_none_or(|source| source.base != at.base)
        {
            group = group.element(snippet(at).annotation(annotation(at, AnnotationKind::Context, span, label)));
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(shown(help)));
        }
        renderer.render(&[group])
    }
}

fn snippet(source: &Source) -> Snippet<'_, Annotation<'_>> {
    Snippet::source(&source.text).path(&source.path).fold(true)
}

fn annotation<'a>(source: &Source, kind: AnnotationKind, span: Span, label: &str) -> Annotation<'a> {
    let label = (!label.is_empty()).then(|| shown(label));
    kind.span(source.range(span)).label(label)
}

/// Text without what could steer a terminal or break a line: it may quote the configuration.
fn shown(text: &str) -> String {
    normalize_untrusted_str(text).replace('\n', "␊")
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
