//! What each command prints with `--json`: the structs that it prints, field by field, by their doc comments.

use super::{
    markdown::{code, table},
    source::{Source, files},
};
use std::{collections::BTreeSet, fmt::Write as _};

const HEAD: &str = "\
# JSON

What commands print with `--json`. Fields that are here stay as they are, and others are added: readers should not mind those that they do
not know. Where *or null* follows a type, it is not always known. Errors go to standard error in words, and the
[exit status](commands.md) is the same as without `--json`.

";

/// The file and the name of structs.
type Roots = &'static [(&'static str, &'static str)];

/// A command, what it prints, and the structs that this begins with.
const PRINTED: [(&str, &str, Roots); 17] = [
    ("sluice check", "One object, also where there are errors.", &[("cli/check.rs", "Report")]),
    ("sluice status", "One object.", &[("admin/status.rs", "Status")]),
    ("sluice maps", "One object.", &[("admin/kernel.rs", "KernelReport")]),
    ("sluice ring", "An array of these.", &[("admin/ring.rs", "RingReport")]),
    ("sluice flows", "One object.", &[("admin/flows.rs", "FlowsReport")]),
    ("sluice plan", "One object.", &[("admin/plan.rs", "Plan")]),
    ("sluice explain", "One object.", &[("l7/explain.rs", "Explanation")]),
    (
        "sluice explain --packet, --pcap, --hex",
        "Of one packet one object; of a capture an object of `packets`, an array of these, and `failed`, an array of those that cannot \
        be run: `number` and `error`.",
        &[("admin/explain.rs", "Explained")],
    ),
    ("sluice preflight", "An array of these.", &[("preflight.rs", "Finding")]),
    ("sluice top --once", "An array of these.", &[("cli/top/rows.rs", "Row")]),
    ("sluice events", "One object a line.", &[("events/event.rs", "Event")]),
    ("sluice ready", "One object.", &[("admin/ready.rs", "Ready")]),
    ("sluice reload", "One object.", &[("channel/message.rs", "ReloadReport")]),
    ("sluice upgrade", "One object.", &[("channel/message.rs", "UpgradeReport")]),
    (
        "sluice import",
        "One object: `whole` (boolean: all of it means the same), `configuration` (string, or null with `--output`), and \
        `differences`, an array of these.",
        &[("import/difference.rs", "Difference")],
    ),
    ("sluice detach", "One object: `interfaces` and `directories`, arrays of strings, of what was taken away.", &[]),
    ("sluice server, sluice confirm", "A string: what was done.", &[]),
];

/// A struct or an enum that is printed.
struct Shape {
    name: String,
    path: String,
    about: String,
    /// Name, type, doc; of an enum words without types.
    fields: Vec<[String; 3]>,
    is_enum: bool,
}

/// The page.
pub(super) fn page() -> String {
    let shapes: Vec<_> = files("").iter().flat_map(shapes).collect();
    let mut text = HEAD.to_owned();
    for (command, about, roots) in PRINTED {
        _ = write!(text, "## {}\n\n{about}\n\n", code(command));
        let (mut shown, mut left) = (BTreeSet::new(), Vec::new());
        for (path, name) in roots {
            left.push(shapes.iter().find(|shape| shape.name == *name && shape.path == *path).unwrap());
        }
        while let Some(shape) = left.pop() {
            if !shown.insert(&shape.name) {
                continue;
            }
            if shown.len() > 1 {
                _ = write!(text, "{}: {}\n\n", code(&shape.name), shape.about);
            }
            let heads = if shape.is_enum { ["Word", "", "Meaning"] } else { ["Field", "Type", "Meaning"] };
            let typed = shape.fields.iter().map(|[name, kind, doc]| [code(name), json_type(kind), doc.clone()]);
            text += &table(heads, typed);
            let inner = shape.fields.iter().rev().filter_map(|[_, kind, _]| found(kind, &shape.path, &shapes));
            left.extend(inner);
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// The innermost type: `Server` of `Option<Vec<Server>>`.
fn innermost(kind: &str) -> &str {
    let inner = ["Option<", "Vec<", "Box<", "Arc<"].iter().find_map(|of| kind.strip_prefix(of)?.strip_suffix('>'));
    inner.map_or(kind, innermost)
}

/// What is printed for a type, of which there may be several of one name: one of the same file, else of what operators see.
fn found<'a>(kind: &str, path: &str, shapes: &'a [Shape]) -> Option<&'a Shape> {
    let name = innermost(kind);
    let all: Vec<_> = shapes.iter().filter(|shape| shape.name == name).collect();
    let near = all.iter().find(|shape| shape.path == path);
    near.or_else(|| all.iter().find(|shape| shape.path.starts_with("admin") || shape.path.starts_with("channel")))
        .or_else(|| all.first())
        .copied()
}

fn json_type(kind: &str) -> String {
    let within = |of: &str| kind.strip_prefix(of).and_then(|rest| rest.strip_suffix('>'));
    if let Some(inner) = within("Option<") {
        return format!("{} or null", json_type(inner));
    }
    if let Some(inner) = within("Vec<") {
        return format!("array of {}", json_type(inner));
    }
    if let Some(inner) = within("Box<").or_else(|| within("Arc<")) {
        return json_type(inner);
    }
    if kind.starts_with("BTreeMap<") {
        return "object".to_owned();
    }
    if let Some(inner) = kind.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let parts: Vec<_> = inner.split(", ").map(json_type).collect();
        return format!("array: {}", parts.join(", "));
    }
    match kind {
        "" => String::new(),
        "bool" => "boolean".to_owned(),
        "f64" => "number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "integer".to_owned(),
        "String" | "&'static str" | "str" | "SocketAddr" | "IpAddr" | "PathBuf" => "string".to_owned(),
        "Value" => "anything".to_owned(),
        other => code(other),
    }
}

/// The structs and enums of a file that are printed.
fn shapes(source: &Source) -> Vec<Shape> {
    let (mut found, mut docs, mut words_small, mut is_printed) = (Vec::new(), Vec::new(), false, false);
    let mut lines = source.text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_end();
        if let Some(doc) = line.strip_prefix("/// ") {
            docs.push(doc);
        } else if line.starts_with("#[derive(") {
            is_printed = line.contains("Serialize");
        } else if line.starts_with("#[serde(") {
            words_small = line.contains("lowercase");
        } else if !line.starts_with("#[") {
            let of =
                |what: &str| line.split_once(what).filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
            let (of_struct, of_enum) = (of("struct "), of("enum "));
            if let Some((_, rest)) = of_struct.or(of_enum).filter(|(_, rest)| is_printed && rest.ends_with(" {")) {
                let body: Vec<_> = lines.by_ref().take_while(|line| *line != "}").collect();
                let name = rest.trim_end_matches(" {").to_owned();
                let fields = fields(&body, of_enum.is_some(), words_small);
                let (path, about) = (source.path.clone(), plain(&docs.join(" ")));
                found.push(Shape { name, path, about, fields, is_enum: of_enum.is_some() });
            }
            (docs, words_small, is_printed) = (Vec::new(), false, false);
        }
    }
    found
}

fn fields(body: &[&str], is_enum: bool, words_small: bool) -> Vec<[String; 3]> {
    let (mut found, mut docs) = (Vec::new(), Vec::new());
    for line in body.iter().map(|line| line.trim()) {
        if let Some(doc) = line.strip_prefix("/// ") {
            docs.push(doc);
        } else if !line.starts_with('#') && !line.is_empty() {
            let field = ["pub ", "pub(crate) "].iter().find_map(|public| line.strip_prefix(public)).unwrap_or(line);
            let field = field.trim_end_matches(',');
            let doc = plain(&docs.join(" "));
            match field.split_once(": ") {
                Some((name, kind)) if !is_enum => found.push([name.to_owned(), kind.to_owned(), doc]),
                _ if is_enum => {
                    let word = if words_small { field.to_lowercase() } else { field.to_owned() };
                    found.push([word, String::new(), doc]);
                }
                Some(_) | None => {}
            }
            docs.clear();
        }
    }
    found
}

/// A doc comment without its links.
fn plain(doc: &str) -> String {
    let doc = doc.replace("`None`", "null");
    let mut parts = doc.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    let text = parts.fold(first, |text, part| text + part.split_once(')').map_or("", |(_, rest)| rest));
    text.replace("[`", "`").replace("`]", "`")
}

#[test]
fn every_command_that_prints_json_is_there_with_its_fields() {
    let page = page();
    for command in crate::cli::visible().get_subcommands() {
        if command.get_arguments().any(|argument| argument.get_long() == Some("json")) {
            assert!(page.contains(&format!("sluice {}", command.get_name())), "{}", command.get_name());
        }
    }
    for row in [
        "| `worker_pid` | integer | Process of the worker",
        "| `help` | string or null |",
        "| `shares` | array of `ShareReport` |",
    ] {
        assert!(page.contains(row), "{row} is not in:\n{page}");
    }
}
