//! Document: the whole page around the tables.

use super::{
    Seen,
    act::{BUTTONS, MORE},
    graph,
    numbers::{count, grouped, span},
    sides::Kernel,
    tables::{self, Acts, number, tone},
    view::{Rowed, View},
};
use crate::{
    admin::{
        rows::{Column, Kind, Row},
        status::{Failover, Status},
    },
    model::StatsPage,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// All of the page's style; nothing else has any.
pub(super) const STYLE: &str = include_str!("style.css");
/// What needs attention is listed up to here, and changes as well.
const LISTED: usize = 8;

/// The page, as asked for. `token`: for those who may act.
pub(super) fn document(seen: &Seen, page: &StatsPage, view: &View, token: Option<&str>) -> String {
    let rows = view.rows(seen.rows.clone());
    let kernel = Kernel::of(seen);
    let link = view.but(|_| {}).link(&page.uri);
    let acts = token.map(|token| Acts { link: &link, token });
    let frontends: Vec<&Row> = rows.0.iter().filter(|row| row.kind == Kind::Frontend).collect();
    let others: Vec<&Row> = rows.0.iter().filter(|row| row.kind != Kind::Frontend).collect();
    // Servers stand before their backend.
    let backends = others.split_inclusive(|row| row.kind == Kind::Backend);
    let title = page.node.as_deref().map_or_else(|| "Sluice".to_owned(), |node| format!("{node} · Sluice"));
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (top(seen, page))
                (controls(page, view))
                main {
                    @if let Some(outcome) = view.outcome {
                        p.outcome.good[outcome.is_good()] role="status" {
                            (outcome.words()) " " a href=(link) { "Close" }
                        }
                    }
                    (attention(&seen.rows.0))
                    @if !frontends.is_empty() { (tables::frontends(seen, &kernel, &frontends)) }
                    @for rows in backends { (tables::backend(seen, &kernel, rows, acts.as_ref())) }
                    @if rows.0.is_empty() { p.nothing { "There is nothing of that name." } }
                    div.lists {
                        (changes(&seen.status, seen.at_us))
                        (leaving(&seen.status))
                        (kernel_half(seen))
                    }
                }
            }
        }
    };
    document.into_string()
}

/// Who this is, and how it stands as a whole.
fn top(seen: &Seen, page: &StatsPage) -> Markup {
    let status = &seen.status;
    let backends = || seen.rows.0.iter().filter(|row| row.kind == Kind::Backend);
    let (up, all) = backends().fold((0, 0), |sum, row| (sum.0 + row.servers.0, sum.1 + row.servers.1));
    let has_http = seen.status.frontends.iter().any(|frontend| frontend.mode == "http");
    let trail = together(seen);
    let rate = trail.last().copied().unwrap_or(0);
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        header.top {
            h1 { "Sluice" @if let Some(node) = &page.node { " " span { (node) } } }
            dl {
                (fact("Servers up", html! {
                    span.state.(if up == all { "up" } else { "going" }) { (up) small { "/" (all) } }
                }))
                (fact("Connections", html! {
                    (count(status.connections as u64))
                    @if status.max_connections > 0 { small { "/" (count(status.max_connections as u64)) } }
                }))
                (fact(if has_http { "Requests per second" } else { "Connections per second" }, html! { (count(rate.into())) " " (graph::trail(&trail)) }))
                (fact("Uptime", html! { (span(seen.uptime.as_secs())) }))
                @if !status.interfaces.is_empty() {
                    (fact("Kernel half", html! {
                        @for interface in &status.interfaces {
                            span.state.(if interface.mode == "none" { "down" } else { "up" }) { (interface.name) }
                            " " small { (interface.mode) } " "
                        }
                    }))
                }
                (fact("Configuration", html! { "no. " (status.generation) }))
                @if !page.hide_version {
                    (fact("Version", html! { (status.version) " " small { "pid " (status.pid) } }))
                }
            }
        }
    }
}

/// The rates of all frontends together.
fn together(seen: &Seen) -> Vec<u32> {
    let trails = || seen.trails.iter().filter(|((_, service), _)| service == "FRONTEND").map(|(_, trail)| trail);
    let mut sum = vec![0_u32; trails().map(Vec::len).max().unwrap_or(0)];
    for trail in trails() {
        // The newest are last, however far back it goes.
        for (all, one) in sum.iter_mut().rev().zip(trail.iter().rev()) {
            *all = all.saturating_add(*one);
        }
    }
    sum
}

/// What can be asked for.
fn controls(page: &StatsPage, view: &View) -> Markup {
    let link = |view: View| view.link(&page.uri);
    let switch = |name: &str, is_on: bool, to: View| {
        html! { a.on[is_on] href=(link(to)) aria-current=[is_on.then_some("true")] { (name) } }
    };
    html! {
        nav {
            (switch("All servers", !view.hide_down && !view.hide_maint,
                view.but(|view| (view.hide_down, view.hide_maint) = (false, false))))
            (switch("Hide down", view.hide_down, view.but(|view| view.hide_down = !view.hide_down)))
            (switch("Hide maintenance", view.hide_maint, view.but(|view| view.hide_maint = !view.hide_maint)))
            // A form would leave out what a URI has behind a question mark.
            @if !page.uri.contains('?') {
                form method="get" action=(view.but(|view| view.scope.clear()).link(&page.uri)) role="search" {
                    input type="search" name="scope" maxlength="20" pattern="[A-Za-z0-9_.:\\-]*"
                        placeholder="Find by name" aria-label="Find by name" value=(view.scope);
                }
            }
            span.right {
                @if let Some(refresh) = page.refresh {
                    @if view.no_refresh {
                        a href=(link(view.but(|view| view.no_refresh = false))) { "Resume refresh" }
                    } @else {
                        span { "Every " (span(refresh.as_secs())) } " "
                        a href=(link(view.but(|view| view.no_refresh = true))) { "Pause" }
                    }
                }
                a href=(link(view.but(|_| {}))) { "Refresh now" }
                a href=(link(view.but(|view| view.rows = Some(Rowed::Csv)))) { "CSV" }
                a href=(link(view.but(|view| view.rows = Some(Rowed::Json)))) { "JSON" }
            }
        }
    }
}

/// What is not as it should be, in one place.
fn attention(rows: &[Row]) -> Markup {
    let is_down = |row: &&Row| row.kind != Kind::Frontend && tone(row.text(Column::Status)) == "down";
    // A backend that is down says more than each of its servers.
    let mut down: Vec<_> = rows.iter().filter(is_down).collect();
    down.sort_by_key(|row| row.kind != Kind::Backend);
    html! {
        @if !down.is_empty() {
            section.attention aria-label="down" {
                @for row in down.iter().take(LISTED) {
                    @let proxy = row.text(Column::Pxname);
                    div {
                        span.state.down { (row.text(Column::Status)) } " "
                        b { @if row.kind == Kind::Backend { (proxy) } @else { (proxy) "/" (row.text(Column::Svname)) } }
                        @if row.kind == Kind::Backend { " takes nothing new" }
                        @if let Some(since) = number(row, Column::Lastchg) { " for " (span(since)) }
                        @let words = row.text(Column::LastChk);
                        @if !words.is_empty() { span.why { " · " (words) } }
                    }
                }
                @if down.len() > LISTED { div { "and " (grouped((down.len() - LISTED) as u64)) " more" } }
            }
        }
    }
}

/// Below the servers of a backend. The button that stands first is the one that Enter presses, and should do no harm.
pub(super) fn buttons() -> Markup {
    html! {
        div.acts {
            span { "With the chosen:" }
            button.unseen name="action" value="weight" tabindex="-1" aria-hidden="true" { "Set weight" }
            @for (word, name) in BUTTONS { button name="action" value=(word) { (name) } }
            span.pair {
                input name="w" size="5" maxlength="6" inputmode="numeric" autocomplete="off" placeholder="100%"
                    aria-label="Weight: 0 to 256, or a percentage";
                button name="action" value="weight" { "Set weight" }
            }
            span.pair {
                select name="more" aria-label="More actions" {
                    option value="" { "More…" }
                    @for (word, name) in MORE { option value=(word) { (name) } }
                }
                button name="action" value="more" { "Apply" }
            }
        }
    }
}

/// The last changes of health, the newest first.
fn changes(status: &Status, now_us: u64) -> Markup {
    let ago = |at_us: u64| span(now_us.saturating_sub(at_us) / 1_000_000);
    html! {
        @if !status.failovers.is_empty() {
            section.card {
                h2 { "Last changes" }
                ol {
                    @for Failover { backend, server, to, reason, at_us, .. } in status.failovers.iter().rev().take(LISTED) {
                        li {
                            small { (ago(*at_us)) " ago" }
                            div {
                                b { (backend) "/" (server) }
                                " " span.state.(if to.serves() { "up" } else { "down" }) { (to) }
                                div.under title=(reason) { (reason) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What reloads have removed and still has something.
fn leaving(status: &Status) -> Markup {
    html! {
        @if !status.leaving.is_empty() {
            section.card {
                h2 { "Leaving" }
                ol {
                    @for one in status.leaving.iter().take(LISTED) {
                        li {
                            small { (one.kind) }
                            div {
                                b { (one.name) } " " (one.address.as_deref().unwrap_or_default())
                                div.under {
                                    (count(one.connections)) " connections, " (count(one.flows)) " flows, cut after "
                                    (span(one.within))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The kernel half as a whole.
fn kernel_half(seen: &Seen) -> Markup {
    let Some(report) = &seen.kernel else { return html! {} };
    let mut stops: Vec<_> = report.stops.iter().filter(|stop| stop.packets > 0).collect();
    stops.sort_by_key(|stop| std::cmp::Reverse(stop.packets));
    // Both are far from what is not exact as such.
    let part = |entries: usize, capacity: usize| {
        let exact = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        exact(entries) / exact(capacity.max(1))
    };
    html! {
        section.card {
            h2 { "Kernel half" }
            table.plain {
                tbody {
                    @for table in seen.status.tables.iter().filter(|table| table.capacity > 0) {
                        tr {
                            th scope="row" { (table.table.replace('_', " ")) " IPv" (table.family) }
                            td { (graph::bar(part(table.entries, table.capacity), "fill")) }
                            td { (count(table.entries as u64)) small { " of " (count(table.capacity as u64)) } }
                        }
                    }
                    @if !stops.is_empty() { tr { th scope="rowgroup" colspan="3" { small { "Packets that it has not forwarded" } } } }
                    @for stop in stops.iter().take(LISTED) {
                        tr {
                            th scope="row" colspan="2" title=(stop.help) { (stop.name.replace('_', " ")) }
                            td { (count(stop.packets)) small { " packets" } }
                        }
                    }
                }
            }
        }
    }
}
