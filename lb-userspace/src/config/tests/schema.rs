//! The schema for editors takes what we take, and refuses what an editor can tell; and what comments say of bounds is what is checked.

use super::{Bundle, ConfigFile, load};
use crate::config::{
    file,
    schema::schema,
    shape::{Key, Shape, TableShape},
    units::duration,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

const EXAMPLE: &str = include_str!("../../../examples/sluice.toml");

/// Debian's, for which `cargo xtask setup` installs python3-jsonschema.
const PYTHON: &str = "/usr/bin/python3";

/// Says of each file the places where it breaks the schema: `FILE KEY.KEY.KEY`.
const VALIDATE: &str = r#"
import json, sys, tomllib, jsonschema
validator = jsonschema.Draft7Validator(json.load(open(sys.argv[1])))
validator.check_schema(validator.schema)
def leaves(error):
    for inner in error.context or [error]:
        yield from leaves(inner) if inner is not error else [error]
for path in sys.argv[2:]:
    for error in validator.iter_errors(tomllib.load(open(path, "rb"))):
        for leaf in [error, *leaves(error)]:
            print(path, ".".join(map(str, leaf.absolute_path)))
"#;

/// What the schema refuses of these files.
fn refused(files: &[PathBuf]) -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("schema.json");
    fs::write(&path, schema().to_string()).unwrap();
    let output = Command::new(PYTHON).args(["-c", VALIDATE]).arg(&path).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn all_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            found.push(path);
        }
    }
}

#[test]
fn every_example_is_as_the_schema_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("package/sluice.toml")];
    all_below(&root.join("examples"), &mut files);
    assert!(files.len() > 10, "{files:?}");
    assert_eq!(refused(&files), BTreeSet::new());
}

#[test]
fn what_an_editor_can_tell_is_refused() {
    let wrong = [
        ("[global]\nthread = 4\n", "global"),
        ("[global]\nthreads = 0\n", "global.threads"),
        ("[global]\nstop_timeout = 30\n", "global.stop_timeout"),
        ("[global]\nmax_memory = \"1 GiB\"\n", "global.max_memory"),
        ("[frontend.a]\nbind = \"*:80\"\n", "frontend.a"),
        ("[frontend.a]\nmode = \"https\"\nbind = \"*:80\"\n", "frontend.a.mode"),
        ("[frontend.a]\nmode = \"http\"\nbind = [{ address = \"*\" }]\n", "frontend.a.bind.0.address"),
        ("[backend.b]\nbalance = \"round-robin\"\n", "backend.b.balance"),
        ("[backend.b]\nserver = [{ name = \"s\" }]\n", "backend.b.server.0"),
        ("[backend.b]\ncheck = { type = \"tcp\", path = \"/\" }\n", "backend.b.check"),
        ("[backend.b]\ncheck = { type = \"pgsql\" }\n", "backend.b.check"),
        ("[backend.b]\nrule = [{ deny = \"yes\" }]\n", "backend.b.rule.0.deny"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let file = |index: usize| directory.path().join(format!("{index}.toml"));
    for (index, (text, _)) in wrong.iter().enumerate() {
        fs::write(file(index), text).unwrap();
    }
    let refused = refused(&(0..wrong.len()).map(file).collect::<Vec<_>>());
    for (index, (text, place)) in wrong.iter().enumerate() {
        let line = format!("{} {place}", file(index).display());
        assert!(refused.contains(&line), "{text}\nis refused by {refused:#?}");
    }
}

#[test]
fn what_the_environment_says_may_stand_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    let text = "[frontend.a]\nmode = \"${MODE}\"\nbind = \"${WHERE}\"\ntimeout_client = \"${LONG}s\"\n";
    fs::write(&file, text).unwrap();
    assert_eq!(refused(&[file]), BTreeSet::new());
}

/// Calls `each` with every number and duration below a table: its key, and where its value stands.
fn amounts<'k>(table: &DeTable<'_>, keys: &'k [Key], each: &mut impl FnMut(&'k Key, std::ops::Range<usize>)) {
    for (name, value) in table {
        if let Some(key) = keys.iter().find(|key| key.knob.key == name.get_ref()) {
            within(value, key, &key.shape, each);
        }
    }
}

fn within<'k>(
    value: &Spanned<DeValue<'_>>,
    key: &'k Key,
    shape: &'k Shape,
    each: &mut impl FnMut(&'k Key, std::ops::Range<usize>),
) {
    match (shape, value.get_ref()) {
        (Shape::Integer, DeValue::Integer(_)) | (Shape::Text { what: "a duration", .. }, DeValue::String(_)) => {
            each(key, value.span());
        }
        (Shape::Either(shapes), _) => shapes.iter().for_each(|shape| within(value, key, shape, each)),
        (Shape::OneOrMany(shape) | Shape::Many(shape), DeValue::Array(values)) => {
            values.iter().for_each(|value| within(value, key, shape, each));
        }
        (Shape::OneOrMany(shape), _) => within(value, key, shape, each),
        (Shape::Named(shape), DeValue::Table(table)) => {
            table.iter().for_each(|(_, value)| within(value, key, shape, each));
        }
        (Shape::Table(TableShape { keys, kinds, .. }), DeValue::Table(table)) => {
            amounts(table, keys, each);
            let kind = table.get("type").and_then(|kind| kind.get_ref().as_str());
            let own = kinds.iter().find(|(name, _)| Some(*name) == kind);
            amounts(table, own.map_or(&[], |(_, keys)| keys), each);
        }
        _ => {}
    }
}

/// Each number and duration of the reference configuration is made too large: what is said of it then has the bounds.
#[test]
fn bounds_in_comments_are_those_that_are_checked() {
    let whole = file::layout();
    let document = DeTable::parse(EXAMPLE).unwrap();
    let mut places = Vec::new();
    amounts(document.get_ref(), &whole.keys, &mut |key, span| places.push((key, span)));
    let (mut compared, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    // "24h" and "1d" are the same.
    let amount = |text: &str| duration(text).map_or_else(|_| text.to_owned(), |it| format!("{it:?}"));
    for (key, span) in places {
        let beyond = if matches!(key.shape, Shape::Integer) { "9000000000000000000" } else { "\"9000000d\"" };
        let (before, after) = (EXAMPLE.get(..span.start).unwrap(), EXAMPLE.get(span.end..).unwrap());
        let files = vec![ConfigFile { path: "sluice.toml".to_owned(), text: format!("{before}{beyond}{after}") }];
        let Err(errors) = load(&Bundle { files, cpus: 1, ..Bundle::default() }) else { continue };
        let begins = format!("`{}` must be from ", key.knob.key);
        let said = errors.iter().find_map(|error| error.message.strip_prefix(begins.as_str())?.split_once(" to "));
        if let (Some((least, most)), Some((first, last))) = (said, key.knob.bounds()) {
            compared.insert(key.knob.key);
            if (amount(least), amount(most)) != (amount(&first), amount(&last)) {
                wrong.insert(format!("`{}`: {first} to {last} in the comment, but {least} to {most}", key.knob.key));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared.len() > 20, "{compared:?}");
}
