//! What the site is asked for: requests on new, kept and encrypted connections, relayed ones, and connections and datagrams through
//! the kernel half, some of them open all the time. Counted, not kept: it goes on for hours.

use crate::site::Site;
use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use lb_tests::{
    client::{Connection, Flows, curl, udp},
    netns::Namespace,
};
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Flows that stay open, and how often they speak.
const OPEN: usize = 100;
const BEAT: Duration = Duration::from_millis(500);
/// Requests of one run of curl, on one connection.
const STREAMS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);
/// Errors that are shown, of each kind of work.
const SHOWN: usize = 3;

/// Traffic that runs.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Work>>>,
}

/// One kind of work, and what came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    done: u64,
    failed: u64,
    /// The first errors.
    errors: Vec<String>,
}

impl Work {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn failed_share(&self) -> f64 {
        self.failed as f64 / (self.done + self.failed).max(1) as f64
    }

    fn count(&mut self, result: Result<()>, worth: u64) {
        match result {
            Ok(()) => self.done += worth,
            Err(error) => {
                self.failed += worth;
                if self.errors.len() < SHOWN {
                    self.errors.push(format!("{error:#}"));
                }
            }
        }
    }
}

impl Traffic {
    pub(crate) fn start(site: &Site) -> Self {
        let mut traffic = Self { stop: Arc::default(), threads: Vec::new() };
        let client = &site.lab.client;
        traffic.work(client, "request, new connection", |work, _| work.count(one(Site::web()), 1));
        let mut kept = None;
        traffic.work(client, "request, kept connection", move |work, _| {
            let result = ask_again(&mut kept);
            if result.is_err() {
                kept = None;
            }
            work.count(result, 1);
        });
        let inside = client.clone();
        traffic.work(client, "request, HTTP/2 over TLS", move |work, _| {
            let url = format!("https://{}/[1-{STREAMS}]", Site::encrypted());
            let fetched = curl(inside.command("curl"), &["--insecure", "--http2", &url]).map(drop);
            work.count(fetched, STREAMS.into());
            thread::sleep(BEAT / 5);
        });
        traffic.work(client, "connection, relayed", |work, client| work.count(echo(client, Site::relay()), 1));
        traffic.work(client, "connection, kernel half", |work, client| work.count(echo(client, Site::kernel()), 1));
        traffic.work(client, "datagram, kernel half", |work, _| {
            work.count(udp::ask_once(Site::kernel(), "hello").map(drop), 1);
        });
        for (name, place) in [("open connections, relayed", Site::relay()), ("open ones, kernel half", Site::kernel())]
        {
            let mut open = Flows::default();
            traffic.work(client, name, move |work, client| {
                let lacking = OPEN.saturating_sub(open.len());
                let result = Flows::open_some(client, place, lacking).and_then(|(more, _)| {
                    open.append(more);
                    open.exchange_some("still there")
                });
                match result {
                    Ok(broken) => {
                        work.done += u64::try_from(open.len()).unwrap_or_default();
                        for error in broken {
                            work.count(Err(error), 1);
                        }
                    }
                    Err(error) => work.count(Err(error), 1),
                }
                thread::sleep(BEAT);
            });
        }
        traffic
    }

    /// Does one kind of work from inside a namespace until told to stop.
    fn work(
        &mut self,
        client: &Namespace,
        name: &'static str,
        mut once: impl FnMut(&mut Work, &Namespace) + Send + 'static,
    ) {
        let (client, stop) = (client.clone(), Arc::clone(&self.stop));
        self.threads.push(thread::spawn(move || {
            client.enter()?;
            let mut work = Work { name, ..Work::default() };
            while !stop.load(Ordering::Relaxed) {
                once(&mut work, &client);
                thread::sleep(PAUSE);
            }
            Ok(work)
        }));
    }

    /// Lets what is under way end, and says what came of it all.
    pub(crate) fn stop(self) -> Result<Vec<Work>> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().ok().context("a client thread panicked")?).collect()
    }
}

fn one(address: std::net::SocketAddr) -> Result<()> {
    is_fine(&Connection::connect(address)?.get("/")?)
}

/// On the connection from before, if it is still there.
fn ask_again(kept: &mut Option<Connection>) -> Result<()> {
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(Connection::connect(Site::web())?),
    };
    is_fine(&connection.get("/far/away")?)
}

fn is_fine(answer: &lb_tests::client::Answer) -> Result<()> {
    ensure!(answer.status == 200, "status {}", answer.status);
    Ok(())
}

fn echo(client: &Namespace, address: std::net::SocketAddr) -> Result<()> {
    Flows::open(client, address, 1)?.exchange("hello")
}

/// What came of it all, for people.
pub(crate) fn table(works: &[Work]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["", "done", "failed", "%", "such as"]);
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for work in works {
        let first = work.errors.first().map(|error| error.lines().next().unwrap_or_default().to_owned());
        table.add_row([
            work.name.to_owned(),
            work.done.to_string(),
            work.failed.to_string(),
            format!("{:.3}", work.failed_share() * 100.0),
            first.unwrap_or_default(),
        ]);
    }
    table.to_string()
}
