//! Requests that are broken off, in great number: afterwards every place is free, and nothing counts as open.

use super::{
    model::{backend, http_frontend},
    plain::{self, beside, is_long},
    proxy::Proxy,
};
use crate::model::{Balance, FrontendKind};
use socket2::SockRef;
use std::{net::SocketAddr, sync::atomic::Ordering::SeqCst, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

/// Clients at once.
const CLIENTS: usize = 64;

/// What a client sends before it breaks off.
const SENT: [&[u8]; 6] = [
    b"",
    b"GET /later HT",
    b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    b"GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /later HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// A client that breaks off, in one of many ways.
async fn abort(address: SocketAddr, number: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    // A reset, or an orderly end.
    if !number.is_multiple_of(4) {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    stream.write_all(SENT[number % SENT.len()]).await?;
    match number / SENT.len() % 5 {
        0 => {}
        1 => tokio::task::yield_now().await,
        2 => tokio::time::sleep(Duration::from_millis(1 + number as u64 % 9)).await,
        3 => stream.shutdown().await?,
        _ => {
            // Begins to read, if there is anything in time.
            let mut some = [0; 100];
            drop(tokio::time::timeout(Duration::from_millis(8), stream.read(&mut some)).await);
        }
    }
    Ok(())
}

#[tokio::test]
async fn after_many_requests_that_were_broken_off_every_place_is_free() {
    let (count, within) =
        if is_long() { (1_000_000, Duration::from_hours(1)) } else { (20_000, Duration::from_mins(2)) };
    let mut web = backend("web", [plain::serve(), plain::serve(), plain::serve()]);
    web.balance = Balance::LeastConn;
    web.pressure.timeout_queue = Some(Duration::from_millis(50));
    for server in &mut web.servers {
        server.limits.maxconn = 2;
    }
    // One of them has less room while there is little to do.
    web.servers[0].limits.minconn = 1;
    let proxy = Proxy::with(FrontendKind::Http(http_frontend()), vec![web], |www| www.maxconn = 48);
    let address = proxy.address;
    let start = Instant::now();
    let failed = beside(move || async move {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(async move {
                let mut failed = 0;
                for number in (client..count).step_by(CLIENTS) {
                    failed += usize::from(abort(address, number).await.is_err());
                }
                failed
            });
        }
        clients.join_all().await.into_iter().sum::<usize>()
    });
    let failed = tokio::time::timeout(within, failed).await.expect("in time").expect("the clients");
    let report = format!("{count} requests broken off in {:?}, {failed} by the other side", start.elapsed());
    println!("{report}");

    let (web, www) = (proxy.live.backend("web").expect("backend"), proxy.frontend_live());
    let left = || {
        let servers = web
            .servers
            .iter()
            .map(|live| (live.load.0.served.load(SeqCst), live.load.0.queued.load(SeqCst), live.connections()));
        (servers.collect::<Vec<_>>(), web.gate.waiting(), web.load(), www.connections(), proxy.threads.connections())
    };
    // Kept connections to servers are closed after a while.
    let patience = Instant::now() + Duration::from_secs(20);
    let nothing = (vec![(0, 0, 0); 3], 0, 0, 0, 0);
    while left() != nothing && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left(), nothing, "{report}");
    let counts = &www.counts;
    assert!(counts.sum(|counts| &counts.opened) > count as u64 / 2, "{report}");
    let total: u64 = web.servers.iter().map(|live| live.counts.sum(|counts| &counts.total)).sum();
    assert!(total > count as u64 / 20, "servers were asked {total} times; {report}");
    // All places can be taken again.
    for _ in 0..20 {
        assert!(proxy.ask_path("a", "/").await.ends_with("ok"), "{report}");
    }
}
