//! What is on the page, and what is never.

use super::*;
use crate::admin::page::{document::document, view::View};

fn drawn(seen: &Seen, page: &StatsPage, target: &str, token: Option<&str>) -> String {
    document(seen, page, &View::of(&page.uri, target).unwrap(), token)
}

#[test]
fn servers_stand_with_their_words_numbers_and_both_halves() {
    let text = drawn(&seen(""), &page(&[]), "/stats", None);
    for part in [
        "<span class=\"state up\">UP</span>",
        "<span class=\"state down\">DOWN</span> <small class=\"since\" title=\"since its last change\">1m 1s</small>",
        "title=\"1,234,567\">1.23M</td>",
        "data-l=\"Kernel packets\" title=\"123,456\">123k</td>",
        "<span>100.0%</span>",
        "1 of 2 up",
        "web/web2</b> for 1m 1s<span class=\"why\"> · Connection refused</span>",
        "192.0.2.1:80/tcp",
        "<polyline points=\"115,16.6 117,14.1 119,2.0\"></polyline>",
        "1d 1h",
        "9.8.7",
        "1m 0s ago",
        "class=\"zero\" data-l=\"Bytes in\">0</td>",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("<form method=\"post\""), "nobody may act");
}

#[test]
fn whatever_things_are_called_is_text() {
    let page = StatsPage { node: Some(HOSTILE.to_owned()), ..page(&[]) };
    let text = drawn(&seen(HOSTILE), &page, "/stats", Some("token"));
    assert!(text.contains("web1&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), "{text}");
    assert!(!text.contains("<script") && !text.contains(HOSTILE), "{text}");
    // No name ends an attribute: without texts between quotes, no piece of one is left.
    let outside: String = text.split('"').step_by(2).collect();
    assert!(!outside.contains("alert(1)&lt;/script&gt;&quot; "), "{outside}");
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let text = drawn(&seen(""), &page(&[]), "/stats", Some("token"));
    let lower = text.to_ascii_lowercase();
    for never in
        ["<script", " style=", "javascript:", "http://", "https://", " onclick", "@import", "url(", "<img", "<iframe"]
    {
        assert!(!lower.contains(never), "{never}");
    }
    assert_eq!(lower.matches("<style>").count(), 1);
}

#[test]
fn who_may_act_has_forms_with_the_token_and_enter_sets_a_weight() {
    let text = drawn(&seen(""), &page(&[]), "/stats;up;st=DONE", Some("t0ken"));
    assert!(text.contains("<form method=\"post\" action=\"/stats;up\">"), "{text}");
    assert!(text.contains("<input type=\"hidden\" name=\"token\" value=\"t0ken\">"), "{text}");
    assert!(text.contains("<input type=\"checkbox\" name=\"s\" value=\"web1\">"), "{text}");
    let first = text.split_once("<button").unwrap().1.split_once('>').unwrap().0;
    assert!(first.contains("value=\"weight\"") && first.contains("unseen"), "{first}");
    assert!(text.contains("Action processed successfully."));
}

#[test]
fn what_is_asked_for_behind_the_uri_is_haproxys() {
    let of = |target: &str| View::of("/stats", target);
    assert_eq!(of("/other"), None);
    assert_eq!(of("/stats"), Some(View::default()));
    let all = of("/stats;up;no-maint;norefresh;csv").unwrap();
    assert!(all.hide_down && all.hide_maint && all.no_refresh && all.rows.is_some());
    // Telegraf asks so.
    assert!(of("/stats/;csv").unwrap().rows.is_some());
    assert!(View::of("/haproxy?stats", "/haproxy?stats;csv;norefresh").unwrap().rows.is_some());
    for (target, scope) in [
        ("/stats?scope=web", "web"),
        ("/stats;scope=web;up", "web"),
        ("/stats?scope=a&b=c", "a"),
        ("/stats?scope=%3Cb%3E", ""),
        ("/stats?scope=012345678901234567890", ""),
    ] {
        assert_eq!(of(target).unwrap().scope, scope, "{target}");
        let view = of(target).unwrap();
        assert_eq!(View::of("/stats", &view.link("/stats")), Some(view));
    }
    assert_eq!(of("/stats;st=<b>").unwrap().outcome, None);
    let rows = |target: &str| {
        let rows = of(target).unwrap().rows(seen("").rows);
        rows.0.iter().map(|row| row.text(Column::Svname).to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(rows("/stats;up"), "FRONTEND web1 BACKEND");
    assert_eq!(rows("/stats?scope=WW"), "FRONTEND");
    assert_eq!(rows("/stats?scope=none"), "");
}

#[test]
fn a_version_is_hidden_if_that_is_asked_for() {
    let page = StatsPage { hide_version: true, ..page(&[]) };
    assert!(!drawn(&seen(""), &page, "/stats", None).contains("9.8.7"));
}

#[test]
fn an_empty_daemon_has_a_page_too() {
    let text = drawn(&Seen::default(), &page(&[]), "/stats", None);
    assert!(text.contains("0/0") || text.contains("0<small>/0</small>"), "{text}");
}
