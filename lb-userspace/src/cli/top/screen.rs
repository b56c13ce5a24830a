//! Draws the state of `sluice top`.

use super::{
    rows::{Kind, Row, short},
    state::{Mode, Top},
};
use crate::config::units::show_duration;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Text},
    widgets::{Block, Cell, Clear, Paragraph, Row as Shown, Table, TableState},
};

/// A column: its head, its width, and how soon it makes room where there is little: 0 never, then the highest first.
type Column = (&'static str, u16, u8);

const COLUMNS: [Column; 12] = [
    ("NAME", 24, 0),
    ("STATE", 16, 0),
    ("WEIGHT", 6, 4),
    ("SHARE", 13, 3),
    ("OPEN", 6, 2),
    ("NEW/s", 6, 1),
    ("REQ/s", 6, 6),
    ("ERR/s", 6, 5),
    ("IN/s", 6, 7),
    ("OUT/s", 6, 8),
    ("PKT/s", 6, 0),
    ("CHECK", 16, 9),
];
/// Blocks of a bar that stands for a whole ring.
const BAR: usize = 5;

const KEYS: &str = "q end  ? help  arrows choose  d drain  r ready  m maint  / filter  s sort  R reverse  p pause";

const HELP: [&str; 17] = [
    "up, down, j, k    choose a row",
    "page up, down     ten rows at once",
    "home, end         the first, the last",
    "d                 drain the chosen server: it keeps what it has",
    "r                 ready: it takes traffic again",
    "m                 maint: it takes nothing",
    "/                 show only what has this in its name; Esc ends it",
    "s                 sort by: file, name, open, new, errors, bytes, packets",
    "R                 the other way round",
    "p                 pause, and go on",
    "+, -              look twice as often, half as often",
    "space             look now",
    "q, Ctrl-C         end",
    "",
    "NEW: connections; of servers of http, requests. PKT, and IN and OUT of",
    "l4, are the kernel half's. SHARE: a server's part of the ring there.",
    "Any key goes back.",
];

/// Draws all of it. `plain`: without colours.
pub(crate) fn draw(frame: &mut Frame<'_>, top: &Top, plain: bool) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Paragraph::new(heads(top)), head);
    rows(frame, top, body, plain);
    frame.render_widget(Paragraph::new(foot_line(top)).style(Style::new().add_modifier(Modifier::REVERSED)), foot);
    if top.mode == Mode::Help {
        help(frame);
    }
}

fn heads(top: &Top) -> Text<'static> {
    let status = &top.now.status;
    let most = if status.max_connections > 0 { format!(" of {}", status.max_connections) } else { String::new() };
    let interfaces: Vec<_> = status.interfaces.iter().map(|link| format!("{} {}", link.name, link.mode)).collect();
    let kernel = match (&top.now.kernel, interfaces.as_slice()) {
        (_, []) => "no kernel half".to_owned(),
        (None, _) => "the kernel half cannot be read; try as root".to_owned(),
        (Some(_), all) => format!("XDP {}", all.join(", ")),
    };
    let first = format!(
        "sluice {}, configuration {}, {}{most} connections, {kernel}",
        status.version, status.generation, status.connections
    );
    let sum = |of: fn(&Row) -> f64| {
        let frontends = top.rows.iter().filter(|row| row.id.kind == Kind::Frontend);
        short(frontends.map(of).sum())
    };
    let second = if top.has_rates() {
        format!(
            "a second: {} new, {} requests, {} errors, {}B in, {}B out, {} packets",
            sum(|row| row.rates.connections),
            sum(|row| row.rates.requests),
            sum(|row| row.rates.errors),
            sum(|row| row.rates.bytes_in),
            sum(|row| row.rates.bytes_out),
            sum(|row| row.rates.packets),
        )
    } else {
        "a second: (after the next look)".to_owned()
    };
    Text::from(vec![Line::from(first), Line::from(second)])
}

fn rows(frame: &mut Frame<'_>, top: &Top, area: Rect, plain: bool) {
    let columns = columns(area.width);
    let visible = top.visible();
    let shown = visible.iter().map(|row| {
        let cells = columns.iter().map(|(head, width, _)| cell(head, *width, row));
        Shown::new(cells.collect::<Vec<_>>()).style(if plain { Style::new() } else { style(row) })
    });
    let heads = columns.iter().map(|(head, width, _)| Cell::from(aligned(head, *width, (*head).to_owned())));
    let widths = columns.iter().map(|(head, width, _)| {
        if ["NAME", "CHECK"].contains(head) { Constraint::Min(*width) } else { Constraint::Length(*width) }
    });
    let table = Table::new(shown.collect::<Vec<_>>(), widths.collect::<Vec<_>>())
        .header(Shown::new(heads.collect::<Vec<_>>()).style(Style::new().add_modifier(Modifier::BOLD)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(top.chosen.as_ref().map(|_| top.place()));
    frame.render_stateful_widget(table, area, &mut state);
}

/// As many as there is room for, with a blank between them.
fn columns(width: u16) -> Vec<Column> {
    let mut columns = COLUMNS.to_vec();
    let needed = |columns: &[Column]| columns.iter().map(|(_, width, _)| usize::from(*width) + 1).sum::<usize>();
    while needed(&columns) > usize::from(width) + 1 {
        let Some(rank) = columns.iter().map(|(.., rank)| *rank).max().filter(|rank| *rank > 0) else { break };
        columns.retain(|(.., other)| *other != rank);
    }
    columns
}

fn cell(head: &str, width: u16, row: &Row) -> Cell<'static> {
    let is_of = |kind| row.id.kind == kind;
    let rates = &row.rates;
    let text = match head {
        "NAME" => match row.id.kind {
            Kind::Frontend => format!("> {}", row.id.name),
            Kind::Backend => row.id.name.clone(),
            Kind::Server => format!("  {}", row.id.name),
        },
        "STATE" => row.state.clone(),
        "WEIGHT" => row.weight.map(|weight| weight.to_string()).unwrap_or_default(),
        "SHARE" => row.share.map(share).unwrap_or_default(),
        "OPEN" => row.open.to_string(),
        "NEW/s" => short(rates.connections),
        "REQ/s" if is_of(Kind::Frontend) => short(rates.requests),
        "ERR/s" => short(rates.errors),
        "IN/s" => short(rates.bytes_in),
        "OUT/s" => short(rates.bytes_out),
        "PKT/s" => short(rates.packets),
        "CHECK" => row.check.clone(),
        _ => String::new(),
    };
    Cell::from(aligned(head, width, text))
}

/// Numbers are flush right.
fn aligned(head: &str, width: u16, text: String) -> String {
    let width = usize::from(width);
    if ["NAME", "STATE", "CHECK"].contains(&head) { text } else { format!("{text:>width$}") }
}

/// A bar, and the part in percent.
fn share(share: f64) -> String {
    let full = [0.1, 0.3, 0.5, 0.7, 0.9].into_iter().filter(|least| share >= *least).count();
    format!("{:<BAR$} {:5.1}%", "▇".repeat(full), share * 100.0)
}

fn style(row: &Row) -> Style {
    let word = row.state.split(' ').next().unwrap_or_default();
    match (row.id.kind, word) {
        (Kind::Frontend, "withdrawn" | "no") | (Kind::Server, "down") => Style::new().fg(Color::Red),
        (Kind::Frontend, _) => Style::new().fg(Color::Cyan),
        (Kind::Backend, _) if !row.takes => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        (Kind::Backend, _) => Style::new().add_modifier(Modifier::BOLD),
        (Kind::Server, "drain" | "drained") => Style::new().fg(Color::Yellow),
        (Kind::Server, "maint") => Style::new().fg(Color::Magenta),
        (Kind::Server, _) if row.takes => Style::new().fg(Color::Green),
        (Kind::Server, _) => Style::new(),
    }
}

fn foot_line(top: &Top) -> String {
    match &top.mode {
        Mode::Filter => return format!("filter: {}_", top.filter),
        Mode::Confirm(deed) => return format!("{} {}/{}? y or n", deed.admin, deed.backend, deed.server),
        Mode::Watch | Mode::Help => {}
    }
    if let Some(message) = &top.message {
        return message.clone();
    }
    let mut words = vec![KEYS.to_owned()];
    if top.paused {
        words.insert(0, "PAUSED".to_owned());
    }
    if !top.filter.is_empty() {
        words.insert(0, format!("filter {}", top.filter));
    }
    let way = if top.reversed { ", reversed" } else { "" };
    words.insert(0, format!("by {}{way}, every {}", top.sort.word(), show_duration(top.interval)));
    words.join("  ")
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (area.width.min(76), area.height.min(u16::try_from(HELP.len()).unwrap_or(u16::MAX) + 2));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let lines: Vec<_> = HELP.iter().map(|line| Line::from(*line)).collect();
    let block = Block::bordered().title(" Keys ").title_alignment(Alignment::Center);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
