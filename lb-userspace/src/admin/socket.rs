//! The control socket, and those of `stats_socket`: who may ask, and one request after the other on its way to the worker's loop.
//! Two dialects are spoken there: one line of JSON each way ([`protocol`](super::protocol)), which begins with `{`, and the
//! [runtime API](super::runtime).

mod bind;

pub use bind::{Rights, bind};

use super::{
    protocol::{Answer, NO_REQUEST, REQUEST_LIMIT, Request},
    runtime::{self, Level, Peer, command},
};
use crate::model::Secret;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    os::unix::net::UnixListener as StdListener,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};
use tracing::{debug, info};

/// A client that does not send its request, or take its answer, within this time is cut. Of long answers each part has it.
const SILENCE: Duration = Duration::from_secs(5);
/// Clients served at once. Who comes then takes the place of the one that has been silent for longest; where all are being
/// answered, it waits in the backlog.
const CLIENTS: usize = 32;
/// Bytes of an answer that a client has to take within [`SILENCE`].
const PART: usize = 64 << 10;

/// Who may do what on a socket.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The user that started the daemon: that and root may do everything.
    pub owner: u32,
    /// What the others may that can connect.
    pub others: Level,
}

impl Access {
    fn level(self, uid: u32) -> Level {
        if self.is_owner(uid) { Level::Admin } else { self.others }
    }

    /// Root, or the user who started the daemon.
    const fn is_owner(self, uid: u32) -> bool {
        uid == 0 || uid == self.owner
    }
}

/// A request on its way to the worker's loop, and the way back for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// Serves clients until `requests` closes.
pub async fn serve(listener: StdListener, access: Access, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let (slots, silent) = (Arc::new(Semaphore::new(CLIENTS)), Rc::new(Silent::default()));
    loop {
        let (client, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "cannot accept on the control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(slot) = place(&slots, &silent).await else { return Ok(()) };
        let (requests, silent) = (requests.clone(), Rc::clone(&silent));
        tokio::task::spawn_local(async move {
            if let Err(error) = converse(client, access, silent, requests).await {
                debug!(%error, "a client of the control socket went away");
            }
            drop(slot);
        });
    }
}

/// A place for another client. Where all are taken one that is silent goes, once there is one.
async fn place(slots: &Arc<Semaphore>, silent: &Silent) -> Result<OwnedSemaphorePermit, AcquireError> {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return Ok(slot);
    }
    let mut slot = pin!(Arc::clone(slots).acquire_owned());
    while !silent.send_one_away() {
        tokio::select! {
            biased;
            slot = &mut slot => return slot,
            () = silent.another.notified() => {}
        }
    }
    slot.await
}

/// Clients that are waited for, by how long they have been.
#[derive(Default)]
struct Silent {
    clients: RefCell<BTreeMap<u64, Rc<Notify>>>,
    last: Cell<u64>,
    /// Another one is waited for.
    another: Notify,
}

impl Silent {
    /// Whether there was one.
    fn send_one_away(&self) -> bool {
        let first = self.clients.borrow_mut().pop_first();
        first.is_some_and(|(_, client)| {
            client.notify_one();
            true
        })
    }

    /// What a client says, unless its place is given to another meanwhile.
    async fn hear<T>(&self, said: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let (number, away) = (self.last.get() + 1, Rc::new(Notify::new()));
        self.last.set(number);
        self.clients.borrow_mut().insert(number, Rc::clone(&away));
        let _heard = Heard { number, of: self };
        self.another.notify_one();
        tokio::select! {
            biased;
            () = away.notified() => Err(io::Error::other("others have come since it was heard last")),
            heard = said => heard,
        }
    }
}

/// Nobody waits for that client any more: it was heard, or its time is over.
struct Heard<'a> {
    number: u64,
    of: &'a Silent,
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.of.clients.borrow_mut().remove(&self.number);
    }
}

/// A connection of a client.
struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    silent: Rc<Silent>,
    requests: mpsc::Sender<Asked>,
    uid: u32,
    /// `None`: it is of another namespace of processes.
    pid: Option<i32>,
}

/// Which dialect a client speaks is seen by its first byte.
async fn converse(
    client: UnixStream,
    access: Access,
    silent: Rc<Silent>,
    requests: mpsc::Sender<Asked>,
) -> io::Result<()> {
    let peer = client.peer_cred()?;
    let (uid, pid) = (peer.uid(), peer.pid());
    let (reader, writer) = client.into_split();
    let mut connection = Connection { reader: BufReader::new(reader), writer, silent, requests, uid, pid };
    let first = connection.first_byte().await?;
    if first == Some(b'{') {
        return connection.answer_json(access.level(uid), access.is_owner(uid)).await;
    }
    match connection.line(runtime::SILENCE).await? {
        Some(line) => runtime::converse(&mut connection, access.level(uid), line).await,
        None => Ok(()),
    }
}

impl Connection {
    async fn first_byte(&mut self) -> io::Result<Option<u8>> {
        let filled = timeout(runtime::SILENCE, self.silent.hear(self.reader.fill_buf()));
        Ok(filled.await??.first().copied())
    }

    /// A line with its end, if that has come, of at most so many bytes; shorter ones without it are the last.
    async fn read_line(&mut self, limit: usize, within: Duration) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(limit as u64);
        timeout(within, self.silent.hear(bounded.read_until(b'\n', &mut line))).await??;
        Ok(line)
    }

    async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        for part in text.chunks(PART) {
            timeout(SILENCE, self.writer.write_all(part)).await??;
        }
        Ok(())
    }

    /// One line of JSON each way.
    async fn answer_json(&mut self, level: Level, is_owner: bool) -> io::Result<()> {
        let line = self.read_line(REQUEST_LIMIT, SILENCE).await?;
        let uid = self.uid;
        let answer = match serde_json::from_slice::<Request>(&line) {
            Err(error) => Answer::Error(format!("{NO_REQUEST}: {error}")),
            Ok(request) if !permitted(&request, level, is_owner) => {
                debug!(uid, pid = self.pid, ?request, "refused over the control socket");
                Answer::Error(format!(
                    "permission denied: only root and the user who started the daemon may do that, and you are user {uid}"
                ))
            }
            Ok(request) => {
                let is_json =
                    matches!(&request, Request::Runtime { words, .. } if words.iter().any(|word| word == "json"));
                let answer = self.ask_worker(request).await;
                if is_json { answer.parsed() } else { answer }
            }
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        self.write(&text).await
    }

    async fn ask_worker(&self, request: Request) -> Answer {
        if request.changes_something() {
            info!(event = "asked", uid = self.uid, pid = self.pid, ?request, "asked over the control socket");
        }
        let stopping = || Answer::Error("the daemon is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Asked { request, answer }).await.is_err() {
            return stopping();
        }
        answered.await.unwrap_or_else(|_closed| stopping())
    }
}

impl Peer for Connection {
    async fn line(&mut self, within: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut line = self.read_line(runtime::LONGEST_LINE, within).await?;
        // What has no end is no line: the client has gone, or it is too long.
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        line.pop_if(|last| *last == b'\r');
        Ok(Some(line))
    }

    fn has_more(&self) -> bool {
        !self.reader.buffer().is_empty()
    }

    async fn answer(&mut self, text: String) -> io::Result<()> {
        self.write(text.as_bytes()).await
    }

    async fn ask(&mut self, words: Vec<String>, payload: Option<Secret>) -> String {
        match self.ask_worker(Request::Runtime { words, payload }).await {
            Answer::Ok(serde_json::Value::String(text)) | Answer::Error(text) => text,
            Answer::Ok(other) => other.to_string(),
        }
    }
}

/// Whether that may be asked at that level. What is about the daemon itself, beyond its servers, is for its owner alone.
fn permitted(request: &Request, level: Level, is_owner: bool) -> bool {
    match request {
        // What is not known is answered by words that say so.
        Request::Runtime { words, .. } => command::find(words).is_none_or(|(verb, rest)| verb.level(rest) <= level),
        Request::Server { .. } | Request::Weight { .. } => level == Level::Admin,
        // They tell who has asked for what.
        Request::Events { .. } => level >= Level::Operator,
        Request::Status
        | Request::Ready { .. }
        | Request::Metrics
        | Request::Outline
        | Request::Reload { .. }
        | Request::Try { .. }
        | Request::Confirm
        | Request::Upgrade { .. } => is_owner || !request.changes_something(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::Admin;
    use std::path::{Path, PathBuf};
    use tokio::{task::LocalSet, time::Instant};

    /// Serves a socket for as long as `asking` runs; whatever is asked is answered with `answer`.
    fn with_daemon<F: Future<Output = ()>>(owner: u32, answer: &str, asking: impl FnOnce(PathBuf) -> F) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/sluice.sock");
        let answer = Answer::Ok(answer.into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (requests, mut requests_in) = mpsc::channel::<Asked>(1);
            let access = Access { owner, others: Level::User };
            tokio::task::spawn_local(serve(bind(&path, Rights::OWNER).unwrap(), access, requests));
            tokio::task::spawn_local(async move {
                while let Some(asked) = requests_in.recv().await {
                    asked.answer.send(answer.clone()).unwrap_or_default();
                }
            });
            asking(path.clone()).await;
        });
    }

    async fn ask(path: &Path, line: &[u8]) -> String {
        let mut client = UnixStream::connect(path).await.unwrap();
        client.write_all(line).await.unwrap();
        let mut answer = String::new();
        BufReader::new(client).read_line(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn a_request_is_answered_by_one_line_and_nonsense_by_an_error() {
        with_daemon(0, "well", async |path| {
            assert_eq!(ask(&path, b"{\"verb\":\"status\"}\n").await, "{\"ok\":\"well\"}\n");
            for wrong in [&b"{\n"[..], b"{}\n", b"{\"verb\":\"explode\"}\n"] {
                let answer = ask(&path, wrong).await;
                assert!(answer.starts_with("{\"error\":\"not a request"), "{answer}");
            }
        });
    }

    #[test]
    fn a_request_without_end_is_cut_at_the_limit() {
        with_daemon(0, "well", async |path| {
            assert!(ask(&path, &vec![b'{'; REQUEST_LIMIT]).await.starts_with("{\"error\""));
            assert_eq!(ask(&path, &vec![b'x'; runtime::LONGEST_LINE]).await, "", "cut without a word, as HAProxy does");
        });
    }

    #[test]
    fn only_root_and_the_owner_change_something() {
        let level = |owner, uid| Access { owner, others: Level::User }.level(uid);
        assert_eq!([level(7, 7), level(7, 0), level(0, 0)], [Level::Admin; 3]);
        assert_eq!([level(7, 8), level(0, 8)], [Level::User; 2]);
        let server = Request::Server { backend: String::new(), server: String::new(), admin: Admin::Maint };
        let asks = |request: &Request, level| permitted(request, level, false);
        assert!(asks(&server, Level::Admin) && !asks(&server, Level::Operator));
        let upgrade = Request::Upgrade { binary: None, drop_flows: false };
        for of_daemon in [Request::Reload { only: None }, upgrade, Request::Outline, Request::Confirm] {
            assert!(permitted(&of_daemon, Level::Admin, true) && !asks(&of_daemon, Level::Admin), "{of_daemon:?}");
        }
        assert!(asks(&Request::Status, Level::User) && asks(&Request::Metrics, Level::User));
        let say =
            |words: &str| Request::Runtime { words: words.split(' ').map(str::to_owned).collect(), payload: None };
        assert!(asks(&say("show stat"), Level::User) && !asks(&say("show sess"), Level::User));
        assert!(!asks(&say("clear counters all"), Level::Operator));
    }

    #[test]
    fn the_first_byte_tells_the_dialect() {
        with_daemon(0, "well\n", async |path| {
            let mut client = UnixStream::connect(&path).await.unwrap();
            client.write_all(b"prompt\r\nshow info; show version\r\nquit\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "\n> well\n\n> well\n\n> ");
            let line = b"{\"verb\":\"runtime\",\"words\":[\"show\",\"version\"]}\n";
            assert_eq!(ask(&path, line).await, "{\"ok\":\"well\\n\"}\n");
        });
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_heard_in_time_leaves_no_trace_and_nobody_waits_for_it() {
        let silent = Silent::default();
        let never = || std::future::pending::<io::Result<()>>();
        assert!(timeout(SILENCE, silent.hear(never())).await.is_err());
        assert!(silent.clients.borrow().is_empty() && !silent.send_one_away());
        let slots = Arc::new(Semaphore::new(1));
        let taken = place(&slots, &silent).await.unwrap();
        let client = async {
            tokio::time::sleep(SILENCE).await; // It is answered, and silent then.
            assert!(silent.hear(never()).await.is_err());
            drop(taken);
        };
        let (another, ()) = timeout(SILENCE * 2, async { tokio::join!(place(&slots, &silent), client) }).await.unwrap();
        assert!(another.is_ok());
    }

    #[test]
    fn a_thousand_silent_clients_keep_nobody_out() {
        with_daemon(0, "well\n", async |path| {
            let begun = Instant::now();
            let mut silent = Vec::new();
            for _ in 0..1_000 {
                silent.push(UnixStream::connect(&path).await.unwrap());
                tokio::task::yield_now().await;
            }
            let mut answer = String::new();
            let mut client = UnixStream::connect(&path).await.unwrap();
            client.write_all(b"show info\n").await.unwrap();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "well\n\n");
            assert!(begun.elapsed() < runtime::SILENCE, "it waited for the others: {:?}", begun.elapsed());
            drop(silent);
        });
    }

    #[test]
    fn a_client_that_does_not_take_its_answer_is_cut() {
        let long = "x".repeat(1 << 20);
        with_daemon(0, &long, async |path| {
            let (mut deaf, begun) = (Vec::new(), Instant::now());
            for _ in 0..CLIENTS {
                let mut client = UnixStream::connect(&path).await.unwrap();
                client.write_all(b"{\"verb\":\"status\"}\n").await.unwrap();
                deaf.push(client);
            }
            let answer = timeout(SILENCE * 2, ask(&path, b"{\"verb\":\"status\"}\n")).await;
            assert!(answer.expect("the others hold all places for ever").len() > long.len());
            assert!(begun.elapsed() > SILENCE / 2, "they held none: {:?}", begun.elapsed());
        });
    }
}
