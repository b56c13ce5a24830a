//! Slow clients: they are cut when their time is over, and meanwhile others do not notice them.

use super::{
    plain::{self, LARGE, beside, is_long},
    proxy::{Proxy, eventually},
};
use crate::config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, interval_at, sleep_until, timeout},
};

/// Clients that want to be served meanwhile, and how often each asks.
const OTHERS: usize = 200;
const PACE: Duration = Duration::from_millis(200);

/// How a client is slow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Slow {
    /// The head of its request trickles, and never ends: slowloris.
    Head,
    /// It sends half the body.
    Body,
    /// It reads nothing of the answer.
    Reading,
}

/// One in so many reads nothing: the kernel keeps megabytes for each.
const READING: usize = 20;

impl Slow {
    const fn of(number: usize) -> Self {
        match number % READING {
            0 => Self::Reading,
            number if number % 2 == 0 => Self::Body,
            _ => Self::Head,
        }
    }
}

/// The scale of a run.
#[derive(Clone, Copy)]
struct Scale {
    slow: usize,
    /// The time that clients are given.
    patience: Duration,
    /// How many requests each of the others makes before, and meanwhile.
    requests: u32,
    /// What is allowed beyond twice the p99 without them, for what else the machine does.
    noise: Duration,
}

/// The answers of the others: their times in order.
struct Times(Vec<Duration>);

impl Times {
    fn p99(&self) -> Duration {
        self.0[self.0.len() * 99 / 100]
    }

    fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }
}

/// Requests of the others, each on a connection that is kept, at the same pace whatever the answers take.
async fn others(address: SocketAddr, requests: u32) -> Times {
    let start = Instant::now() + Duration::from_millis(100);
    let mut clients = JoinSet::new();
    for number in 0..OTHERS {
        let first = start + PACE * u32::try_from(number).expect("small") / u32::try_from(OTHERS).expect("small");
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("connect");
            let mut times = Vec::new();
            for request in 0..requests {
                let due = first + PACE * request;
                sleep_until(due).await;
                stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\nok") {
                    assert!(stream.read_buf(&mut answer).await.expect("read") > 0, "closed");
                }
                times.push(due.elapsed());
            }
            times
        });
    }
    let mut times = clients.join_all().await.concat();
    times.sort_unstable();
    Times(times)
}

/// One slow client, until the proxy has cut it. What it was told, and after how long.
async fn slow(number: usize, address: SocketAddr, begun: Arc<AtomicUsize>, patience: Duration) -> Told {
    let how = Slow::of(number);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("connect");
    let start = Instant::now();
    let request: &[u8] = match how {
        Slow::Head => b"GET / HTTP/1.1\r\nHost: a\r\n",
        Slow::Body => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx",
        Slow::Reading => b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    stream.write_all(request).await.expect("write");
    begun.fetch_add(1, SeqCst);
    let (mut reader, mut writer) = stream.split();
    let mut told = Vec::new();
    let ended = match how {
        Slow::Head => {
            // Not all at the same time.
            let first = start + patience / 5 * u32::try_from(number % 97).expect("small") / 97;
            let mut beat = interval_at(first, patience / 5);
            let trickle = async {
                loop {
                    beat.tick().await;
                    if writer.write_all(b"X").await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                () = trickle => unreachable!("it never ends"),
                read = reader.read_to_end(&mut told) => read.map(|_| ()),
            }
        }
        Slow::Body => reader.read_to_end(&mut told).await.map(|_| ()),
        Slow::Reading => {
            // It is told nothing while its buffer is full: looks when it should have been cut for long.
            sleep_until(start + patience * 3 / 2 + Duration::from_secs(2)).await;
            reader.read_to_end(&mut told).await.map(|_| ())
        }
    };
    let took = start.elapsed();
    // A reset also ends it.
    drop(ended);
    let first_line = String::from_utf8_lossy(&told).lines().next().unwrap_or_default().to_owned();
    Told { how, first_line, bytes: told.len(), took }
}

/// What became of a slow client.
#[derive(Debug)]
struct Told {
    how: Slow,
    /// Of what it was told.
    first_line: String,
    bytes: usize,
    /// Until it was cut.
    took: Duration,
}

impl Told {
    fn check(&self, patience: Duration) {
        match self.how {
            Slow::Head | Slow::Body => {
                assert_eq!(self.first_line, "HTTP/1.1 408 Request Time-out", "{self:?}");
                // It was accepted a moment before it knew.
                let (early, late) = (Duration::from_millis(200), Duration::from_secs(5));
                assert!((patience..patience + late).contains(&(self.took + early)), "{self:?}");
            }
            Slow::Reading => assert!(self.bytes < LARGE, "{self:?}"),
        }
    }
}

/// Slow clients of all kinds, on a thread of their own: what each was told.
fn crowd(scale: Scale, address: SocketAddr, begun: &Arc<AtomicUsize>) -> JoinHandle<Vec<Told>> {
    let begun = Arc::clone(begun);
    let all = beside(move || async move {
        let mut clients = JoinSet::new();
        for number in 0..scale.slow {
            clients.spawn(slow(number, address, Arc::clone(&begun), scale.patience));
            if number % 32 == 31 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        clients.join_all().await
    });
    tokio::spawn(async move { all.await.expect("the slow clients") })
}

/// A proxy whose slow clients have a server of their own, so that what others wait for is the proxy alone.
fn proxy(patience: Duration) -> Proxy {
    let (patience, longer) = (patience.as_secs(), patience.as_secs() * 3);
    let (web, other) = (plain::serve(), plain::serve());
    let text = format!(
        r#"
[defaults]
timeout_client = "{patience}s"
timeout_http_request = "{patience}s"
timeout_http_keep_alive = "{longer}s"
timeout_server = "{longer}s"

[frontend.www]
mode = "http"
bind = "127.0.0.1:80"
rule = [{{ if = "{{ method POST }} or {{ path /large }}", use = "slow" }}]
default_backend = "web"

[backend.web]
server = [{{ name = "web1", address = "{web}" }}]

[backend.slow]
server = [{{ name = "slow1", address = "{other}" }}]
"#
    );
    let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    Proxy::of(2, loaded.model)
}

#[tokio::test]
async fn slow_clients_are_cut_in_time_and_others_do_not_notice_them() {
    let scale = if is_long() {
        Scale { slow: 5_000, patience: Duration::from_secs(12), requests: 40, noise: Duration::from_millis(20) }
    } else {
        Scale { slow: 300, patience: Duration::from_secs(4), requests: 6, noise: Duration::from_millis(400) }
    };
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).expect("more open files");
    let proxy = proxy(scale.patience);
    let address = proxy.address;

    let before = beside(move || others(address, scale.requests)).await.expect("the others");
    let begun = Arc::new(AtomicUsize::new(0));
    let slow = crowd(scale, address, &begun);
    let wait = async {
        while begun.load(SeqCst) < scale.slow {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(scale.patience, wait).await.expect("all slow clients are there before the first is cut");
    let sent = || proxy.frontend_live().counts.sum(|counts| &counts.bytes_out);
    let mut before_pause = 0;
    while before_pause != sent() {
        // Those that read nothing have buffers to be filled.
        before_pause = sent();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let meanwhile = beside(move || others(address, scale.requests)).await.expect("the others");
    let deadline = scale.patience * 3 + Duration::from_secs(20);
    let told = timeout(deadline, slow).await.expect("all are cut").expect("the slow clients");
    eventually("nobody is left", || proxy.frontend_live().connections() == 0).await;
    // What else the machine does may have changed.
    let after = beside(move || others(address, scale.requests)).await.expect("the others");
    let report = format!(
        "{} slow clients, {} bytes sent to each that reads none; {} requests of {OTHERS} others, before, meanwhile, after: \
         median {:?}, {:?}, {:?}; p99 {:?}, {:?}, {:?}",
        scale.slow,
        before_pause / (scale.slow / READING) as u64,
        before.0.len(),
        before.median(),
        meanwhile.median(),
        after.median(),
        before.p99(),
        meanwhile.p99(),
        after.p99(),
    );
    println!("{report}");
    for told in &told {
        told.check(scale.patience);
    }
    assert_eq!(told.len(), scale.slow);
    assert!(meanwhile.p99() <= before.p99().max(after.p99()) * 2 + scale.noise, "{report}");
}
