//! The page as text, and as it is served.

mod served;
mod shown;

use super::*;
use crate::{
    admin::{
        kernel::{CountersReport, KernelReport, ServerReport},
        ring::{RingReport, ShareReport},
        rows::{Column, Kind, Row, Rows},
        status::{BindStatus, Failover, FrontendStatus, Status},
    },
    model::{
        StatsPage,
        userlist::{Password, Userlist},
    },
    servers::Health,
};
use std::time::Duration;

/// What nobody may take for a part of the page.
const HOSTILE: &str = "<script>alert(1)</script>\"'&;";

/// A page that `users` may see, by their names; their passwords are the same backwards.
fn page(users: &[&str]) -> StatsPage {
    let user = |name: &&str| ((*name).to_owned(), Password::Clear(name.chars().rev().collect()));
    StatsPage {
        name: "ops".to_owned(),
        binds: vec!["127.0.0.1:8404".parse().unwrap()],
        uri: "/stats".to_owned(),
        refresh: Some(Duration::from_secs(10)),
        users: Userlist { name: "ops".to_owned(), users: users.iter().map(user).collect() },
        realm: "Sluice".to_owned(),
        admin: true,
        hide_version: false,
        node: None,
    }
}

fn row(kind: Kind, proxy: &str, service: &str, status: &str) -> Row {
    let mut row = Row::new(kind, (proxy, 2), (service, 1));
    row.set(Column::Status, status);
    row.set(Column::Mode, "http");
    row
}

/// A frontend, and a backend of two servers in both halves, of which the second one is down; the names of all of it end so.
fn seen(ending: &str) -> Seen {
    let name = |name: &str| format!("{name}{ending}");
    let mut www = row(Kind::Frontend, &name("www"), "FRONTEND", "OPEN");
    www.set(Column::Rate, 7_u32);
    let mut first = row(Kind::Server, &name("web"), &name("web1"), "UP");
    first.set(Column::Stot, 1_234_567_u64);
    first.set(Column::Bin, 0_u64);
    let mut second = row(Kind::Server, &name("web"), &name("web2"), "DOWN");
    second.set(Column::CheckStatus, "L4CON");
    second.set(Column::LastChk, name("Connection refused"));
    second.set(Column::Lastchg, 61_u32);
    let mut web = row(Kind::Backend, &name("web"), "BACKEND", "UP");
    web.servers = (1, 2);
    let counters = CountersReport { connections: 5, packets: 123_456, ..CountersReport::default() };
    let server = ServerReport {
        id: 1,
        backend: Some(name("web")),
        name: Some(name("web1")),
        address: "10.0.0.1:80".parse().unwrap(),
        state: "up",
        next_hop: 1,
        counters,
    };
    let share = ShareReport { server: name("web1"), slots: 1, share: 1.0, leaving: 0 };
    let ring = RingReport { backend: Some(name("web")), shares: vec![share], ..RingReport::default() };
    let kernel = KernelReport { servers: vec![server], rings: vec![ring], ..KernelReport::default() };
    let bind = BindStatus { address: "192.0.2.1:80".to_owned(), protocol: name("tcp") };
    let failover = Failover {
        backend: name("web"),
        server: name("web2"),
        to: Health::Down,
        reason: name("refused"),
        at_us: 1_000_000,
        probe_to_map_us: 5,
    };
    let status = Status {
        version: "9.8.7".to_owned(),
        frontends: vec![FrontendStatus { name: name("www"), binds: vec![bind], ..FrontendStatus::default() }],
        failovers: vec![failover],
        ..Status::default()
    };
    Seen {
        rows: Rows(vec![www, first, second, web]),
        status,
        kernel: Some(kernel),
        trails: [((name("www"), "FRONTEND".to_owned()), vec![1, 2, 7])].into(),
        uptime: Duration::from_secs(90_061),
        at_us: 61_000_000,
        ..Seen::default()
    }
}
