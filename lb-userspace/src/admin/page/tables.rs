//! Tables of frontends and of the servers of a backend: HAProxy's columns, and beside them what the kernel half has.

use super::{
    Seen,
    fields::{Field, What, of_frontends, of_servers},
    graph,
    numbers::{bytes, count, grouped, percent, span},
    sides::Kernel,
};
use crate::admin::rows::{Column, Kind, Row, Value};
use lb_common::Counters;
use maud::{Markup, html};

/// A number in a column; `None`: it does not apply.
pub(super) fn number(row: &Row, column: Column) -> Option<u64> {
    match row.get(column)? {
        Value::U32(number) => Some((*number).into()),
        Value::U64(number) => Some(*number),
        Value::S32(number) => u64::try_from(*number).ok(),
        Value::Text(_) => None,
    }
}

/// The tone of a word for how something stands; the word itself is always there as well.
pub(super) fn tone(status: &str) -> &'static str {
    match status.split(' ').next().unwrap_or_default() {
        "UP" if status.contains('/') && !status.contains('(') => "going",
        "UP" | "OPEN" => "up",
        "DOWN" | "STOP" => "down",
        "MAINT" | "PAUSED" => "maint",
        "DRAIN" | "NOLB" => "drain",
        "FULL" => "going",
        _ => "none",
    }
}

/// A row of a table with what belongs to it.
struct Line<'a> {
    row: &'a Row,
    kernel: Option<Counters>,
    share: Option<f64>,
    trail: &'a [u32],
}

impl<'a> Line<'a> {
    fn of(seen: &'a Seen, kernel: &Kernel<'_>, row: &'a Row) -> Self {
        let (proxy, service) = (row.text(Column::Pxname), row.text(Column::Svname));
        let (counters, share) = match row.kind {
            Kind::Frontend => (kernel.frontend(proxy), None),
            Kind::Backend => (kernel.backend(proxy), None),
            Kind::Server => (kernel.server(proxy, service), kernel.share(proxy, service)),
        };
        let trail = seen.trails.get(&(proxy.to_owned(), service.to_owned())).map_or(&[][..], Vec::as_slice);
        Self { row, kernel: counters, share, trail }
    }

    fn cell(&self, field: &Field) -> Markup {
        let first = |column| number(self.row, column);
        let (number, shown): (Option<u64>, fn(u64) -> String) = match field.what {
            What::Count(column) => (first(column), count),
            What::Sum(one, other) => {
                let both = [first(one), first(other)];
                (both.iter().any(Option::is_some).then(|| both.into_iter().flatten().sum()), count)
            }
            What::Bytes(column) => (first(column), bytes),
            What::Span(column) => (first(column), span),
            What::Kernel(of) => (self.kernel.as_ref().map(of), count),
            What::KernelBytes(of) => (self.kernel.as_ref().map(of), bytes),
            What::Trail => {
                let is_flat = self.trail.iter().all(|rate| *rate == 0);
                return html! { td.graph.zero[is_flat] data-l=(field.label) { (graph::trail(self.trail)) } };
            }
            What::Share => {
                let Some(share) = self.share else { return html! { td.empty {} } };
                return html! {
                    td.graph.share data-l=(field.label) {
                        (graph::bar(share, "part of the ring")) " " span { (percent(share)) }
                    }
                };
            }
        };
        let Some(number) = number else { return html! { td.empty {} } };
        let shown = shown(number);
        let exact = grouped(number);
        html! {
            td.zero[number == 0] data-l=(field.label) title=[(exact != shown).then_some(exact)] { (shown) }
        }
    }
}

/// The two lines of a head.
fn head(fields: &[Field], first: &[&str]) -> Markup {
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for field in fields {
        match groups.last_mut() {
            Some((group, width)) if *group == field.group => *width += 1,
            Some(_) | None => groups.push((field.group, 1)),
        }
    }
    html! {
        thead {
            tr.groups {
                th colspan=(first.len()) {}
                @for (group, width) in &groups { th.group scope="colgroup" colspan=(width) { (group) } }
            }
            tr {
                // Two of words; what follows is a number.
                @for (place, name) in first.iter().enumerate() { th.words[place < 2] scope="col" { (name) } }
                @for (place, field) in fields.iter().enumerate() {
                    th.first[is_first(fields, place)] scope="col" { (field.head) }
                }
            }
        }
    }
}

/// Whether a group begins there.
fn is_first(fields: &[Field], place: usize) -> bool {
    let group = |place: usize| fields.get(place).map(|field| field.group);
    place.checked_sub(1).is_none_or(|before| group(before) != group(place))
}

/// How something stands: a word, and since when.
fn state(row: &Row) -> Markup {
    let status = row.text(Column::Status);
    html! {
        span.state.(tone(status)) { (status) }
        @if let Some(since) = number(row, Column::Lastchg) { " " small.since title="since its last change" { (span(since)) } }
    }
}

/// All frontends; nothing, if there are none.
pub(super) fn frontends(seen: &Seen, kernel: &Kernel<'_>, rows: &[&Row]) -> Markup {
    let is = |row: &&&Row, mode: &str| row.text(Column::Mode) == mode;
    let fields = of_frontends(rows.iter().any(|row| is(&row, "http")), rows.iter().any(|row| is(&row, "l4")));
    let binds = |row: &Row| {
        let frontend = seen.status.frontends.iter().find(|frontend| frontend.name == row.text(Column::Pxname));
        let binds = frontend.into_iter().flat_map(|frontend| &frontend.binds);
        binds.map(|bind| format!("{}/{}", bind.address, bind.protocol)).collect::<Vec<_>>().join(", ")
    };
    html! {
        section.card {
            h2 { "Frontends" }
            div.wide {
                table {
                    (head(&fields, &["Frontend", "State"]))
                    tbody {
                        @for row in rows {
                            @let line = Line::of(seen, kernel, row);
                            @let binds = binds(row);
                            tr {
                                th.name scope="row" {
                                    b { (row.text(Column::Pxname)) } " " span.tag { (row.text(Column::Mode)) }
                                    div.under title=(binds) { (binds) }
                                }
                                td.words { (state(row)) }
                                @for field in &fields { (line.cell(field)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Who may act on the servers of a table, and how they prove it; `None`: nobody.
pub(super) struct Acts<'a> {
    /// Where forms are sent.
    pub(super) link: &'a str,
    pub(super) token: &'a str,
}

/// A backend and its servers. `rows`: the servers', and its own last.
pub(super) fn backend(seen: &Seen, kernel: &Kernel<'_>, rows: &[&Row], acts: Option<&Acts<'_>>) -> Markup {
    let Some((own, servers)) = rows.split_last() else { return html! {} };
    let name = own.text(Column::Pxname);
    let ring = kernel.ring(name);
    let fields = of_servers(!seen.kernel_only.contains(name), ring.is_some(), own.text(Column::Mode) == "http");
    let (up, all) = own.servers;
    let table = html! {
        div.wide {
            table {
                (head(&fields, &["Server", "State", "Weight"]))
                tbody {
                    @for row in servers {
                        (server(row, &Line::of(seen, kernel, row), &fields, acts.is_some()))
                    }
                }
                tfoot {
                    @let line = Line::of(seen, kernel, own);
                    tr {
                        th.name scope="row" { b { "All" } }
                        td.words { (state(own)) }
                        td.weight data-l="Weight" { (number(own, Column::Weight).map(count).unwrap_or_default()) }
                        @for field in &fields { (line.cell(field)) }
                    }
                }
            }
        }
    };
    html! {
        section.card {
            header {
                h2 { (name) }
                // With a filter HAProxy's word says how many are up; it stands beside here.
                @let status = own.text(Column::Status).split(" (").next().unwrap_or_default();
                span.state.(tone(status)) { (status) }
                span.tag { (up) " of " (all) " up" }
                @if let Some(backups) = number(own, Column::Bck).filter(|backups| *backups > 0) {
                    span.tag { (backups) " backup" }
                }
                span.tag { (own.text(Column::Algo)) }
                span.tag { @if seen.kernel_only.contains(name) { "l4" } @else { (own.text(Column::Mode)) } }
                @if let Some(ring) = ring {
                    span.rings {
                        small { "Ring" }
                        (graph::shares(ring.shares.iter().map(|share| (share.server.as_str(), share.share))))
                        @if ring.changing > 0 { small { (count(ring.changing as u64)) " slots change hands" } }
                    }
                }
            }
            @match acts {
                Some(acts) => {
                    form method="post" action=(acts.link) {
                        input type="hidden" name="token" value=(acts.token);
                        input type="hidden" name="b" value=(name);
                        (table)
                        (super::document::buttons())
                    }
                }
                None => (table),
            }
        }
    }
}

fn server(row: &Row, line: &Line<'_>, fields: &[Field], may_act: bool) -> Markup {
    let (name, status) = (row.text(Column::Svname), row.text(Column::Status));
    let is_backup = number(row, Column::Bck) == Some(1);
    html! {
        tr.(tone(status)) {
            th.name scope="row" {
                @if may_act {
                    label { input type="checkbox" name="s" value=(name); " " b { (name) } }
                } @else {
                    b { (name) }
                }
                @if is_backup { " " span.tag { "backup" } }
                div.under { (row.text(Column::Addr)) }
            }
            td.words { (state(row)) (check(row)) }
            td.weight data-l="Weight" {
                (number(row, Column::Weight).map(count).unwrap_or_default())
                @if let Some(throttle) = number(row, Column::Throttle) { div.under { (throttle) "% of it" } }
            }
            @for field in fields { (line.cell(field)) }
        }
    }
}

/// What its check found last, and its agent; of one that is down, in the words of the check.
fn check(row: &Row) -> Markup {
    let part = |status: Column, code: Column, took: Column| {
        let name = row.text(status);
        let code = number(row, code).map(|code| format!("/{code}")).unwrap_or_default();
        let took = number(row, took).map(|took| format!(" in {}ms", grouped(took))).unwrap_or_default();
        (!name.is_empty()).then(|| format!("{name}{code}{took}"))
    };
    let check = part(Column::CheckStatus, Column::CheckCode, Column::CheckDuration);
    let agent = part(Column::AgentStatus, Column::AgentCode, Column::AgentDuration);
    let [words, said] = [Column::LastChk, Column::LastAgt].map(|column| row.text(column));
    let is_down = tone(row.text(Column::Status)) == "down";
    let tracked = row.text(Column::Tracked);
    html! {
        @if let Some(check) = check {
            div.under title=(format!("{}: {words}", row.text(Column::CheckDesc))) {
                (check) @if is_down && !words.is_empty() { ", " (words) }
            }
        }
        @if !tracked.is_empty() { div.under { "as " (tracked) } }
        @if let Some(agent) = agent {
            div.under title=(format!("{}: {said}", row.text(Column::AgentDesc))) {
                "agent " (agent) @if is_down && !said.is_empty() { ", " (said) }
            }
        }
    }
}
