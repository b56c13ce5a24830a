//! What is on the screen, and what keys make of it.

use super::*;
use crate::{
    admin::{
        kernel::{CountersReport, ServerReport, VipReport},
        ring::{RingReport, ShareReport},
        status::{BackendStatus, CheckStatus, FrontendStatus, ServerStatus},
    },
    channel::message::Interface,
    servers::{Admin, FrontendTotals, ServerTotals},
};
use ratatui::backend::TestBackend;
use rows::Id;
use state::{Mode, Sort};

fn server(name: &str, id: u16, total: u64, state: &str) -> ServerStatus {
    ServerStatus {
        name: name.to_owned(),
        id,
        state: state.to_owned(),
        available: state == "up",
        current_weight: 10,
        total,
        connections: total / 10,
        check: Some(CheckStatus { last: Some(format!("L4OK of {name}")), ..CheckStatus::default() }),
        ..ServerStatus::default()
    }
}

fn backend(name: &str, servers: Vec<ServerStatus>) -> BackendStatus {
    let totals = ServerTotals { total: servers.iter().map(|server| server.total).sum(), ..ServerTotals::default() };
    BackendStatus { name: name.to_owned(), servers, totals, ..BackendStatus::default() }
}

fn frontend(name: &str, mode: &str, totals: FrontendTotals) -> FrontendStatus {
    FrontendStatus {
        name: name.to_owned(),
        mode: mode.to_owned(),
        has_quorum: true,
        totals,
        ..FrontendStatus::default()
    }
}

fn counted(packets: u64) -> CountersReport {
    CountersReport { packets, bytes: packets * 100, return_packets: packets / 2, ..CountersReport::default() }
}

/// A look after so many seconds, in each of which came 50 requests of 1,000 bytes, and 2,000 packets.
fn look(seconds: u64) -> Sample {
    let proxied = FrontendTotals {
        connections: 20 * seconds,
        requests: 50 * seconds,
        bytes_in: 50_000 * seconds,
        request_errors: seconds / 2,
        ..FrontendTotals::default()
    };
    let status = Status {
        version: "1.2.3".to_owned(),
        generation: 4,
        connections: 7,
        max_connections: 100,
        interfaces: vec![Interface { name: "eth0".to_owned(), mode: "native".to_owned(), ..Interface::default() }],
        frontends: vec![frontend("www", "http", proxied), frontend("dns", "l4", FrontendTotals::default())],
        backends: vec![
            backend("web", vec![server("web1", 1, 10 * seconds, "up"), server("web2", 2, 40 * seconds, "up")]),
            backend("names", vec![server("ns1", 3, 0, "up"), server("ns2", 4, 0, "down")]),
        ],
        ..Status::default()
    };
    let row = |id, name: &str, packets| ServerReport {
        id,
        backend: Some("names".to_owned()),
        name: Some(name.to_owned()),
        address: "10.0.0.1:53".parse().unwrap(),
        state: "up",
        next_hop: 1,
        counters: counted(packets),
    };
    let share = |server: &str, share| ShareReport { server: server.to_owned(), share, ..ShareReport::default() };
    let kernel = KernelReport {
        vips: vec![VipReport {
            frontend: Some("dns".to_owned()),
            address: "192.0.2.10:53".to_owned(),
            protocol: "udp".to_owned(),
            forward: "direct",
            backend: Some("names".to_owned()),
            ring: 1,
            withdrawn: false,
            counters: counted(2_000 * seconds),
        }],
        servers: vec![row(3, "ns1", 2_000 * seconds), row(4, "ns2", 0)],
        rings: vec![RingReport {
            backend: Some("names".to_owned()),
            shares: vec![share("ns1", 1.0)],
            ..RingReport::default()
        }],
        ..KernelReport::default()
    };
    Sample { at: Duration::from_secs(seconds), status, kernel: Some(kernel) }
}

fn top() -> Top {
    let mut top = Top::new(look(10), Duration::from_secs(2));
    top.looked(look(12));
    top
}

fn names(top: &Top) -> Vec<String> {
    top.visible().iter().map(|row| row.id.name.clone()).collect()
}

fn press(top: &mut Top, keys: &str) -> Wanted {
    keys.chars().map(|letter| top.press(Key::Char(letter))).last().unwrap()
}

fn screen(top: &Top, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::draw(frame, top, false)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn rates_are_what_came_between_two_looks_of_both_halves() {
    let top = top();
    let rates = |name: &str| top.rows.iter().find(|row| row.id.name == name).unwrap().rates;
    assert_eq!((rates("www").requests, rates("www").connections, rates("www").bytes_in), (50.0, 20.0, 50_000.0));
    assert_eq!((rates("dns").packets, rates("dns").bytes_in), (3_000.0, 200_000.0));
    assert_eq!((rates("web").connections, rates("web2").connections), (50.0, 40.0));
    assert_eq!((rates("ns1").packets, rates("ns2").packets), (3_000.0, 0.0));
    let shares = |name: &str| top.rows.iter().find(|row| row.id.name == name).unwrap().share;
    assert_eq!((shares("ns1"), shares("ns2"), shares("web1")), (Some(1.0), Some(0.0), None));
}

#[test]
fn a_daemon_that_was_started_anew_counts_from_zero() {
    let mut top = Top::new(look(100), Duration::from_secs(2));
    top.looked(Sample { at: Duration::from_secs(102), ..look(1) });
    assert!(top.rows.iter().all(|row| row.rates == rows::Rates::default()));
}

#[test]
fn servers_stay_below_their_backend_however_they_are_sorted() {
    let mut top = top();
    assert_eq!(names(&top), ["www", "dns", "web", "web1", "web2", "names", "ns1", "ns2"]);
    press(&mut top, "s");
    assert_eq!(
        (top.sort, names(&top)),
        (Sort::Name, ["dns", "www", "names", "ns1", "ns2", "web", "web1", "web2"].map(str::to_owned).to_vec())
    );
    press(&mut top, "ss");
    assert_eq!(
        (top.sort, names(&top)),
        (Sort::New, ["www", "dns", "web", "web2", "web1", "names", "ns1", "ns2"].map(str::to_owned).to_vec())
    );
    press(&mut top, "R");
    assert_eq!(names(&top)[..2], ["dns", "www"]);
}

#[test]
fn a_filter_shows_servers_with_their_backend_and_backends_with_their_servers() {
    let mut top = top();
    press(&mut top, "/WEB2");
    assert_eq!((top.mode.clone(), names(&top)), (Mode::Filter, vec!["web".to_owned(), "web2".to_owned()]));
    assert_eq!(top.press(Key::Enter), Wanted::Nothing);
    assert_eq!((top.mode.clone(), top.filter.as_str()), (Mode::Watch, "WEB2"));
    top.press(Key::Escape);
    press(&mut top, "/na");
    assert_eq!(names(&top), ["names", "ns1", "ns2"]);
    top.press(Key::Backspace);
    top.press(Key::Escape);
    assert_eq!(names(&top).len(), 8);
}

#[test]
fn a_chosen_server_is_changed_after_a_question() {
    let mut top = top();
    assert_eq!(press(&mut top, "d"), Wanted::Nothing);
    assert!(top.message.take().unwrap().contains("choose a server"));
    top.press(Key::End);
    assert_eq!(top.chosen.as_ref().map(|id| id.name.as_str()), Some("ns2"));
    press(&mut top, "m");
    assert!(screen(&top, 100, 20).last().unwrap().starts_with("maint names/ns2? y or n"));
    assert_eq!(press(&mut top, "n"), Wanted::Nothing);
    for (key, admin) in [("d", Admin::Drain), ("r", Admin::Ready), ("m", Admin::Maint)] {
        press(&mut top, key);
        let deed = Deed { backend: "names".to_owned(), server: "ns2".to_owned(), admin };
        assert_eq!(press(&mut top, "y"), Wanted::Do(deed));
    }
    top.press(Key::Home);
    press(&mut top, "m");
    assert_eq!(top.mode, Mode::Watch, "a frontend is no server");
}

#[test]
fn what_was_chosen_stays_chosen_when_rows_move() {
    let mut top = top();
    (0..4).for_each(|_| drop(top.press(Key::Down)));
    let chosen = |top: &Top| top.chosen.as_ref().map(|id| id.name.clone());
    assert_eq!(chosen(&top).as_deref(), Some("web1"));
    press(&mut top, "sR");
    top.looked(look(14));
    assert_eq!(top.visible()[top.place()].id.name, "web1");
    top.press(Key::PageDown);
    top.press(Key::PageDown);
    top.press(Key::Down);
    assert_eq!(top.place(), 7, "the last one");
    top.press(Key::PageUp);
    assert_eq!(top.place(), 0);
    top.chosen = Some(Id { name: "gone".to_owned(), ..Id::default() });
    assert_eq!(top.place(), 0);
}

#[test]
fn the_other_keys_end_pause_and_hurry() {
    let mut top = top();
    assert_eq!(press(&mut top, "q"), Wanted::End);
    assert_eq!(press(&mut top, " "), Wanted::Look);
    press(&mut top, "p+");
    assert_eq!((top.paused, top.interval), (true, Duration::from_secs(1)));
    press(&mut top, "++++++");
    assert_eq!(top.interval, Duration::from_millis(250));
    press(&mut top, "?");
    assert_eq!((top.mode.clone(), press(&mut top, "q"), top.mode.clone()), (Mode::Help, Wanted::Nothing, Mode::Watch));
    press(&mut top, "/");
    assert_eq!(top.press(Key::Interrupt), Wanted::End);
}

#[test]
fn the_screen_has_rows_with_numbers_flush_right() {
    let shown = screen(&top(), 140, 14);
    assert_eq!(shown[0], "sluice 1.2.3, configuration 4, 7 of 100 connections, XDP eth0 native");
    assert_eq!(shown[1], "a second: 20 new, 50 requests, 0.5 errors, 250kB in, 0B out, 3k packets");
    let line = |name: &str| shown.iter().find(|line| line.contains(name)).unwrap();
    let end = |line: &str, word: &str| line[..line.find(word).unwrap() + word.len()].chars().count();
    assert_eq!(end(line("NAME"), "PKT/s"), end(line("> dns"), "3k"), "{shown:#?}");
    assert_eq!(end(line("NAME"), "NEW/s"), end(line("  web2"), " 40"), "{shown:#?}");
    assert!(line("  ns1").contains("▇▇▇▇▇ 100.0%") && line("  ns2").contains("down"), "{shown:#?}");
    assert!(line("  web1").ends_with("L4OK of web1"), "{shown:#?}");
    assert!(shown[13].starts_with("by file, every 2s  q end  ? help"), "{shown:#?}");
}

#[test]
fn in_little_room_there_is_what_matters_most_and_nothing_breaks() {
    let mut top = top();
    let narrow = screen(&top, 60, 10);
    assert!(narrow[2].contains("NAME") && narrow[2].contains("PKT/s") && !narrow[2].contains("CHECK"), "{narrow:#?}");
    top.mode = Mode::Help;
    for (width, height) in [(1, 1), (2, 9), (20, 3), (60, 10), (300, 80)] {
        screen(&top, width, height);
    }
    assert!(screen(&top, 100, 30).iter().any(|line| line.contains("Any key goes back.")));
}

#[test]
fn numbers_are_short() {
    let shown = [0.0, 0.3, 7.0, 12.34, 999.0, 1_234.0, 12_345.0, 999_960.0, 1.2e6, 3.4e13].map(short);
    assert_eq!(shown, ["0", "0.3", "7", "12.3", "999", "1.2k", "12.3k", "1M", "1.2M", "34T"]);
}

#[test]
fn programs_get_rows_with_numbers() {
    let rows = serde_json::to_value(&top().rows).unwrap();
    assert_eq!(rows.pointer("/0/kind"), Some(&"frontend".into()));
    assert_eq!(rows.pointer("/3/backend"), Some(&"web".into()));
    assert_eq!(rows.pointer("/0/rates/requests"), Some(&50.0.into()));
    let table = render(&top().rows);
    assert!(table.contains("web/web2") && table.contains("NEW/s"), "{table}");
}
