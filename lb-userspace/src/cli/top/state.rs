//! The state of `sluice top`, and what keys make of it. Pure.

use super::rows::{Id, Kind, Row, Sample};
use crate::servers::Admin;
use std::{cmp::Ordering, time::Duration};

/// Rows of a page.
const PAGE: usize = 10;

/// All that is on the screen.
#[derive(Debug)]
pub(crate) struct Top {
    /// The last two looks.
    pub(crate) now: Sample,
    before: Option<Sample>,
    /// What the last look has come to.
    pub(crate) rows: Vec<Row>,
    /// The row that keys are about.
    pub(crate) chosen: Option<Id>,
    /// By what rows are sorted.
    pub(crate) sort: Sort,
    /// The other way round.
    pub(crate) reversed: bool,
    /// Only what has this in its name.
    pub(crate) filter: String,
    /// What keys do.
    pub(crate) mode: Mode,
    /// What the last deed has come to, or what is wrong.
    pub(crate) message: Option<String>,
    /// No further looks.
    pub(crate) paused: bool,
    /// The time between two looks.
    pub(crate) interval: Duration,
}

/// By what rows are sorted; those with most of it first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Sort {
    /// As in the configuration.
    #[default]
    File,
    Name,
    Open,
    New,
    Errors,
    Bytes,
    Packets,
}

impl Sort {
    const ALL: [Self; 7] = [Self::File, Self::Name, Self::Open, Self::New, Self::Errors, Self::Bytes, Self::Packets];

    fn next(self) -> Self {
        let mut all = Self::ALL.into_iter().cycle();
        all.find(|sort| *sort == self);
        all.next().unwrap_or_default()
    }

    /// In a word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Name => "name",
            Self::Open => "open",
            Self::New => "new",
            Self::Errors => "errors",
            Self::Bytes => "bytes",
            Self::Packets => "packets",
        }
    }

    fn compare(self, one: &Row, other: &Row) -> Ordering {
        let by = |of: fn(&Row) -> f64| of(other).total_cmp(&of(one));
        match self {
            Self::File => Ordering::Equal,
            Self::Name => one.id.name.cmp(&other.id.name),
            Self::Open => other.open.cmp(&one.open),
            Self::New => by(|row| row.rates.connections),
            Self::Errors => by(|row| row.rates.errors),
            Self::Bytes => by(|row| row.rates.bytes_in + row.rates.bytes_out),
            Self::Packets => by(|row| row.rates.packets),
        }
    }
}

/// What keys do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Each has a meaning.
    #[default]
    Watch,
    /// They are typed into the filter.
    Filter,
    /// Yes or no.
    Confirm(Deed),
    /// Any one goes back.
    Help,
}

/// What is to be done to a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Deed {
    pub(crate) backend: String,
    pub(crate) server: String,
    pub(crate) admin: Admin,
}

/// A key, as far as one means something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    /// Control and C.
    Interrupt,
    Char(char),
}

/// What a key asks for beyond the screen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    Nothing,
    End,
    /// Another look, now.
    Look,
    Do(Deed),
}

impl Top {
    /// After the first look.
    pub(crate) fn new(first: Sample, interval: Duration) -> Self {
        let rows = first.rows(None);
        Self {
            now: first,
            before: None,
            rows,
            chosen: None,
            sort: Sort::default(),
            reversed: false,
            filter: String::new(),
            mode: Mode::default(),
            message: None,
            paused: false,
            interval,
        }
    }

    /// After another one.
    pub(crate) fn looked(&mut self, sample: Sample) {
        self.rows = sample.rows(Some(&self.now));
        self.before = Some(std::mem::replace(&mut self.now, sample));
    }

    /// Whether there are rates yet.
    pub(crate) fn has_rates(&self) -> bool {
        self.before.is_some()
    }

    /// The rows as they are shown: frontends, then each backend before its servers.
    pub(crate) fn visible(&self) -> Vec<&Row> {
        let filter = self.filter.to_lowercase();
        let has = |name: &str| name.to_lowercase().contains(&filter);
        let of = |backend: &str| {
            let servers = self.rows.iter().filter(move |row| row.id.backend.as_deref() == Some(backend));
            servers.filter(move |row| has(backend) || has(&row.id.name)).collect::<Vec<_>>()
        };
        let mut visible: Vec<_> =
            self.rows.iter().filter(|row| row.id.kind == Kind::Frontend && has(&row.id.name)).collect();
        self.sort(&mut visible);
        let mut backends: Vec<_> = self.rows.iter().filter(|row| row.id.kind == Kind::Backend).collect();
        self.sort(&mut backends);
        for backend in backends {
            let mut servers = of(&backend.id.name);
            if servers.is_empty() && !has(&backend.id.name) {
                continue;
            }
            self.sort(&mut servers);
            visible.push(backend);
            visible.append(&mut servers);
        }
        visible
    }

    fn sort(&self, rows: &mut [&Row]) {
        rows.sort_by(|one, other| self.sort.compare(one, other));
        if self.reversed {
            rows.reverse();
        }
    }

    /// Where the chosen row is among the visible ones; the first, if it is not.
    pub(crate) fn place(&self) -> usize {
        let visible = self.visible();
        visible.iter().position(|row| Some(&row.id) == self.chosen.as_ref()).unwrap_or_default()
    }

    fn choose(&mut self, place: usize) {
        let visible = self.visible();
        let last = visible.len().saturating_sub(1);
        self.chosen = visible.get(place.min(last)).map(|row| row.id.clone());
    }

    /// A key was pressed.
    pub(crate) fn press(&mut self, key: Key) -> Wanted {
        if key == Key::Interrupt {
            return Wanted::End;
        }
        match std::mem::take(&mut self.mode) {
            Mode::Watch => self.watch(key),
            Mode::Filter => self.type_filter(key),
            Mode::Confirm(deed) => {
                self.message = None;
                if matches!(key, Key::Char('y' | 'Y')) { Wanted::Do(deed) } else { Wanted::Nothing }
            }
            Mode::Help => Wanted::Nothing,
        }
    }

    fn watch(&mut self, key: Key) -> Wanted {
        self.message = None;
        let place = self.place();
        match key {
            Key::Up | Key::Char('k') => self.choose(place.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.choose(if self.chosen.is_some() { place + 1 } else { 0 }),
            Key::PageUp => self.choose(place.saturating_sub(PAGE)),
            Key::PageDown => self.choose(place + PAGE),
            Key::Home => self.choose(0),
            Key::End => self.choose(usize::MAX),
            Key::Escape if !self.filter.is_empty() => self.filter.clear(),
            Key::Char('q') => return Wanted::End,
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Char('s') => self.sort = self.sort.next(),
            Key::Char('R') => self.reversed = !self.reversed,
            Key::Char('p') => self.paused = !self.paused,
            Key::Char('+') => self.interval = (self.interval / 2).max(Duration::from_millis(250)),
            Key::Char('-') => self.interval = (self.interval * 2).min(Duration::from_mins(1)),
            Key::Char(' ') => return Wanted::Look,
            Key::Char('d') => self.ask(Admin::Drain),
            Key::Char('r') => self.ask(Admin::Ready),
            Key::Char('m') => self.ask(Admin::Maint),
            Key::Enter | Key::Escape | Key::Backspace | Key::Interrupt | Key::Char(_) => {}
        }
        Wanted::Nothing
    }

    fn ask(&mut self, admin: Admin) {
        let chosen = self.chosen.clone().filter(|id| id.kind == Kind::Server);
        match chosen.and_then(|Id { backend, name, .. }| Some(Deed { backend: backend?, server: name, admin })) {
            Some(deed) => self.mode = Mode::Confirm(deed),
            None => self.message = Some("choose a server first, by the arrow keys".to_owned()),
        }
    }

    fn type_filter(&mut self, key: Key) -> Wanted {
        match key {
            Key::Enter => return Wanted::Nothing,
            Key::Escape => {
                self.filter.clear();
                return Wanted::Nothing;
            }
            Key::Backspace => _ = self.filter.pop(),
            Key::Char(letter) => self.filter.push(letter),
            Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Interrupt => {}
        }
        self.mode = Mode::Filter;
        Wanted::Nothing
    }
}
