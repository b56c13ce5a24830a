//! A configuration of HAProxy's made into one of ours. Pure: text in, text and a list of differences out.
//!
//! 1. `statement`: text → sections of statements, each with the comments at it (`words`: quotes, escapes, variables);
//! 2. `global`, `proxy` and what these share out to: statements → tables of `output`, in their order. `defaults` sections are
//!    inherited as HAProxy does it; a `listen` becomes a frontend and a backend;
//! 3. `trial`: our own reader reads the result, and what it refuses becomes a comment and a difference. So whatever comes in,
//!    what comes out can be read, and nothing is lost in silence.
//!
//! Where a default of ours differs from HAProxy's, the result says HAProxy's.

mod across;
mod advice;
mod backend;
mod balance;
mod bind;
mod check;
mod difference;
mod forwarded;
mod frontend;
mod global;
mod log;
mod output;
mod proxy;
mod resolvers;
mod rule;
mod server;
mod servers;
mod statement;
mod stats_page;
mod time;
mod tls;
mod trial;
mod userlist;
mod words;
#[cfg(test)]
mod tests;

pub use difference::{Difference, Effect};

use difference::Place;
use output::{Item, Table, Value};
use statement::{Section, Statement};
use std::collections::BTreeMap;

/// A file to import.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// As it is named in differences.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Imported {
    /// The configuration.
    pub text: String,
    /// In the order of the statements that they are about.
    pub differences: Vec<Difference>,
}

impl Imported {
    /// Whether all of it is carried over and means the same.
    pub fn is_whole(&self) -> bool {
        self.differences.iter().all(|difference| difference.effect == Effect::Note)
    }
}

/// What is known of the whole while it is made.
#[derive(Debug, Default)]
struct Import {
    /// The files' names.
    paths: Vec<String>,
    found: Vec<(Place, Difference)>,
    tables: Vec<Table>,
    global: global::Global,
    /// Backends with `option abortonclose`.
    aborting: Vec<String>,
    /// The modes of backends, as far as they are said.
    modes: BTreeMap<String, String>,
    /// Servers may be known by name and found by `resolvers`.
    resolvers: Option<String>,
}

/// Makes a configuration of ours of files that HAProxy reads one after the other.
pub fn import(sources: &[Source]) -> Imported {
    let parsed = statement::parse(sources.iter().map(|source| source.text.as_str()));
    let mut import = Import { paths: sources.iter().map(|source| source.path.clone()).collect(), ..Import::default() };
    let mut head = Vec::new();
    for (statement, why, help) in &parsed.stray {
        head.extend(statement.before.iter().cloned());
        head.push(format!("# not carried over: {}", statement.shown()));
        import.differs(Effect::Lost, statement, *why, *help);
    }
    import.global.read(&parsed.sections);
    import.sections(&parsed.sections);
    import.finish_forwarded();
    import.finish_aborts();
    if let Some(first) = import.tables.first_mut() {
        first.head.before.splice(..0, head);
    }
    let text = import.trial(&parsed.tail);
    import.found.sort_by_key(|(place, difference)| (*place, difference.effect));
    import.found.dedup();
    Imported { text, differences: import.found.into_iter().map(|(_, difference)| difference).collect() }
}

impl Import {
    fn sections(&mut self, sections: &[Section]) {
        let proxies = |section: &&Section| matches!(section.kind(), "frontend" | "backend" | "listen");
        // One `defaults` before all of them is our `[defaults]`; else each proxy says what it has inherited.
        let mut before = sections.iter().filter(|section| section.kind() == "defaults" || proxies(section));
        let shared = sections.iter().filter(|section| section.kind() == "defaults").count() == 1
            && before.next().is_some_and(|section| section.kind() == "defaults");
        self.modes = proxy::modes(sections);
        let mut defaults: Vec<&Section> = Vec::new();
        for section in sections {
            match section.kind() {
                "global" => self.global(section),
                "defaults" => {
                    defaults.push(section);
                    self.defaults(section, shared);
                }
                "frontend" | "backend" | "listen" => {
                    let inherited = proxy::inherited(section, &defaults);
                    self.proxy(section, inherited, shared);
                }
                "resolvers" => self.resolvers(section),
                "userlist" => self.userlist(section),
                kind => {
                    let (why, help) = advice::section(kind);
                    self.differs(Effect::Lost, &section.head, why, help);
                    self.lost_section(section);
                }
            }
        }
    }

    /// Keeps a section that there is nothing for as comments.
    fn lost_section(&mut self, section: &Section) {
        let mut table = Table::new(&["lost"], &section.head);
        table.refused = true;
        table.name = section.head.shown();
        for statement in &section.body {
            let mut item = Item::comment(statement);
            item.before.push(format!("#     {}", statement.shown()));
            item.before.extend(item.after.take());
            table.say(item);
        }
        self.tables.push(table);
    }

    /// Names a difference.
    fn differs(&mut self, effect: Effect, at: &Statement, why: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.found.push((at.place, self.difference(effect, at.place, at.shown(), why.into(), help)));
    }

    fn difference(&self, effect: Effect, place: Place, words: String, why: String, help: Option<String>) -> Difference {
        let file = self.paths.get(place.file).cloned().unwrap_or_default();
        Difference { file, line: place.line, words, effect, why, help }
    }

    /// Leaves a statement out of a table, and says so there too.
    fn lost(&mut self, table: &mut Table, at: &Statement, why: impl Into<String>, help: impl Into<String>) {
        let why = why.into();
        let mut item = Item::comment(at);
        item.refuse(&why);
        table.say(item);
        self.differs(Effect::Lost, at, why, help);
    }

    /// Says what stands for a statement without any entry of its own.
    fn note(&mut self, table: &mut Table, at: &Statement, why: impl Into<String>) {
        let why = why.into();
        let mut item = Item::comment(at);
        item.before.push(format!("# {}: {why}", at.shown()));
        item.before.extend(item.after.take());
        table.say(item);
        self.differs(Effect::Note, at, why, "");
    }

    /// Keeps only the comments of a statement that is so by itself.
    fn by_itself(table: &mut Table, at: &Statement) {
        let item = Item::comment(at);
        if !item.before.is_empty() || item.after.is_some() {
            table.say(item);
        }
    }

    /// A number, or the difference.
    fn number(&mut self, table: &mut Table, at: &Statement, key: &str, typed: Option<&str>) {
        match typed.and_then(|typed| typed.parse().ok()) {
            Some(number) => table.put(key, Item::of(at, Value::Int(number))),
            None => self.lost(table, at, "this is no number that can be read here", "numbers stand in the file itself"),
        }
    }

    /// A time, or the difference.
    fn time(&mut self, table: &mut Table, at: &Statement, key: &str, typed: Option<&str>) {
        match typed.and_then(time::time) {
            Some(time) => table.put(key, Item::of(at, Value::text(time))),
            None => self.lost(table, at, "this is no time", "such as `timeout client 60s`"),
        }
    }
}
