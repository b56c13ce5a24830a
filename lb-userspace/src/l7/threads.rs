//! The serving threads: each with a runtime, its own listening sockets and its own idle connections to servers.

use super::{
    accept::{self, Listening},
    ask::{http1::Connection, http2::Connections},
    idle::Idle,
    log::Pen,
    memory::{Gauge, Press, Watch},
    own::Owners,
    panics,
    roll::{self, Listing, Present, Roll},
    scarce::{Near, Scarce},
    seats::Seats,
    snapshot::Snapshot,
};
use crate::servers::live::Over;
use arc_swap::ArcSwapOption;
use rustix::process::{Resource, getrlimit};
use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeSet, HashSet},
    io,
    net::{SocketAddr, TcpListener},
    ops::Deref,
    rc::Rc,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    runtime,
    sync::{Notify, mpsc, oneshot},
    task::LocalSet,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often idle connections to servers are looked through for old ones.
const SWEEP: Duration = Duration::from_secs(1);

/// A thread that says nothing for so long is not waited for.
const BUSY: Duration = Duration::from_secs(1);

/// A listening socket and whose it is.
#[derive(Debug)]
pub struct BoundListener {
    /// Name of the frontend.
    pub frontend: String,
    /// The address as the model has it.
    pub address: SocketAddr,
    /// Which thread serves it; taken modulo the number of threads.
    pub thread: usize,
    /// The socket: bound, listening, nonblocking. See [`bind`](super::bind).
    pub listener: TcpListener,
}

/// The serving threads. Dropped, they end at once and so do their connections; see [`drain`](Self::drain).
#[derive(Debug)]
pub struct Threads {
    snapshot: Arc<ArcSwapOption<Snapshot>>,
    serving: Vec<Handle>,
    /// `None`: nobody looks how far the memory is used.
    memory: Option<Watch>,
}

#[derive(Debug)]
struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    connections: TaskTracker,
    thread: JoinHandle<()>,
}

/// What a serving thread is told.
#[derive(Debug)]
pub(super) enum Command {
    /// The snapshot has changed; these listeners are new.
    Apply(Vec<BoundListener>),
    /// Memory is short, or not any more.
    Press(Press),
    /// The time of a removed frontend or server is over.
    Over,
    /// Tell of at most so many connections of clients, or of the one that has this id.
    Tell(usize, Option<u64>, oneshot::Sender<Vec<Present>>),
    /// Cut that one, and tell whether it was there.
    Cut(u64, oneshot::Sender<bool>),
    /// End within that time and tell how many connections had to be cut. What waits in sockets is accepted first where these
    /// say so.
    Drain(Duration, Closing, oneshot::Sender<usize>),
}

/// Which listening sockets are closed for good, so that what waits in them must be accepted.
#[derive(Clone, Debug)]
pub(super) enum Closing {
    All,
    /// Others go on elsewhere.
    Only(Arc<BTreeSet<SocketAddr>>),
}

impl Threads {
    /// Starts `threads` threads that serve nothing yet. At least one. Errors: no thread or no runtime to be had.
    pub fn start(threads: usize) -> io::Result<Self> {
        let snapshot = Arc::new(ArcSwapOption::empty());
        let near = Arc::new(Near::default());
        let start = |index| Handle::start(index, &snapshot, &near);
        let serving = (0..threads.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { snapshot, serving, memory: None })
    }

    /// Has clients wait while memory is short, from the next configuration on.
    pub fn measure_by(&mut self, gauge: Gauge) -> io::Result<()> {
        let threads = self.serving.iter().map(|handle| (handle.commands.downgrade(), handle.connections.clone()));
        self.memory = Some(Watch::start(gauge, threads.collect())?);
        Ok(())
    }

    /// Says that memory is short, or not any more.
    #[cfg(test)]
    pub fn press(&self, short: bool) {
        for handle in &self.serving {
            drop(handle.commands.send(Command::Press(if short { Press::On } else { Press::Off })));
        }
    }

    /// Serves another configuration from now on. Running exchanges finish with the one that they began with. Listeners
    /// that it does not name stop accepting, after what already waits in them; one that is given again is replaced.
    pub fn apply(&self, snapshot: Arc<Snapshot>, listeners: Vec<BoundListener>) {
        let open_files = getrlimit(Resource::Nofile).current;
        let (model, live) = (Arc::clone(snapshot.model()), Arc::clone(snapshot.live()));
        self.snapshot.store(Some(snapshot));
        live.limit(&model, model.most_connections(open_files));
        if let Some(memory) = &self.memory {
            memory.limit(model.global.max_memory);
        }
        let mut shares: Vec<Vec<_>> = self.serving.iter().map(|_| Vec::new()).collect();
        let count = shares.len().max(1);
        for listener in listeners {
            if let Some(share) = shares.get_mut(listener.thread % count) {
                share.push(listener);
            }
        }
        for (handle, share) in self.serving.iter().zip(shares) {
            // A thread that has ended needs no configuration.
            drop(handle.commands.send(Command::Apply(share)));
        }
    }

    /// Cuts what connections there are of frontends and servers whose [time is over](crate::servers::live::Over).
    pub fn cut_what_is_over(&self) {
        for handle in &self.serving {
            drop(handle.commands.send(Command::Over));
        }
    }

    /// Of at most so many connections of clients on each thread, or the one that has this id; the oldest first. Threads that are too
    /// busy for long are left out.
    pub async fn present(&self, most: usize, id: Option<u64>) -> Vec<Present> {
        let mut told = Vec::new();
        let is_asked = |index| id.is_none_or(|id| roll::thread_of(id) == index);
        for (_, handle) in self.serving.iter().enumerate().filter(|(index, _)| is_asked(*index)) {
            let (tell, wait) = oneshot::channel();
            drop(handle.commands.send(Command::Tell(most, id, tell)));
            told.push(wait);
        }
        let (mut all, until) = (Vec::new(), time::Instant::now() + BUSY);
        for wait in told {
            if let Ok(Ok(present)) = time::timeout_at(until, wait).await {
                all.extend(present);
            }
        }
        all.sort_by_key(|present: &Present| Reverse(present.age));
        all
    }

    /// Cuts the connection that has this id. Whether there is one.
    pub async fn cut(&self, id: u64) -> bool {
        let Some(handle) = self.serving.get(roll::thread_of(id)) else { return false };
        let (tell, told) = oneshot::channel();
        drop(handle.commands.send(Command::Cut(id, tell)));
        matches!(time::timeout(BUSY, told).await, Ok(Ok(true)))
    }

    /// What is being served.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Connections of clients that are open now.
    pub fn connections(&self) -> usize {
        self.serving.iter().map(|handle| handle.connections.len()).sum()
    }

    /// Accepts what waits in the sockets, which would be reset with them, and nothing after it, lets running exchanges
    /// end with `Connection: close`, closes idle connections, waits until all are gone or `timeout` is over, and ends the
    /// threads. Returns how many connections were cut.
    pub async fn drain(self, timeout: Duration) -> usize {
        self.end(timeout, &Closing::All).await
    }

    /// As [`drain`](Self::drain), but the sockets go on in another process, which accepts what waits in them; but for those of
    /// the addresses that are `gone`. `None`: waits for as long as it takes.
    pub async fn retire(self, within: Option<Duration>, gone: BTreeSet<SocketAddr>) -> usize {
        self.end(within.unwrap_or(Duration::MAX), &Closing::Only(Arc::new(gone))).await
    }

    async fn end(self, timeout: Duration, closing: &Closing) -> usize {
        let mut answers = Vec::with_capacity(self.serving.len());
        for handle in &self.serving {
            let (tell, told) = oneshot::channel();
            drop(handle.commands.send(Command::Drain(timeout, closing.clone(), tell)));
            answers.push(told);
        }
        let mut cut = 0;
        for (handle, answer) in self.serving.into_iter().zip(answers) {
            cut += answer.await.unwrap_or(0);
            if handle.thread.join().is_err() {
                tracing::error!("a serving thread had panicked");
            }
        }
        cut
    }
}

impl Handle {
    fn start(index: usize, snapshot: &Arc<ArcSwapOption<Snapshot>>, near: &Arc<Near>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let connections = TaskTracker::new();
        let (commands, receiver) = mpsc::unbounded_channel();
        let (snapshot, near, tracker) = (Arc::clone(snapshot), Arc::clone(near), connections.clone());
        let run = move || {
            let drain = CancellationToken::new();
            let thread = Rc::new(Thread {
                index,
                shared: snapshot,
                cached: RefCell::default(),
                idle: RefCell::new(Idle::default()),
                multiplexed: RefCell::default(),
                owners: RefCell::default(),
                roll: Roll::new(index),
                pen: RefCell::new(Pen::new(index)),
                connections: tracker,
                background: TaskTracker::new(),
                shed: RefCell::new(drain.child_token()),
                drain,
                pressed: Cell::new(false),
                lets_one_in: Cell::new(false),
                eased: Notify::new(),
                over: Notify::new(),
                seats: Seats::default(),
                scarce: Scarce::new(near),
            });
            LocalSet::new().block_on(&runtime, run(thread, receiver));
        };
        let thread = std::thread::Builder::new().name(format!("{}{index}", panics::THREAD_NAME)).spawn(run)?;
        Ok(Self { commands, connections, thread })
    }
}

/// A snapshot as one thread holds it: counting its users here does not touch the count that all threads share.
pub(super) struct Loaded(Arc<Snapshot>);

impl Deref for Loaded {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// What belongs to one serving thread; never leaves it.
pub(super) struct Thread {
    /// From 0.
    pub(super) index: usize,
    shared: Arc<ArcSwapOption<Snapshot>>,
    cached: RefCell<Option<Rc<Loaded>>>,
    /// Open connections to servers that nobody uses.
    pub(super) idle: RefCell<Idle<Connection>>,
    /// Open connections to servers that carry several exchanges.
    pub(super) multiplexed: RefCell<Connections>,
    /// Those that are one client's alone.
    pub(super) owners: RefCell<Owners>,
    /// What it writes lines of access logs with.
    pub(super) pen: RefCell<Pen>,
    /// Connections of clients: a drain waits for these.
    pub(super) connections: TaskTracker,
    /// The same, for whoever asks who is there.
    pub(super) roll: Roll,
    /// What serves them beside their own task.
    pub(super) background: TaskTracker,
    /// Cancelled once a drain begins.
    pub(super) drain: CancellationToken,
    /// Wakes whoever may be of a removed frontend or server whose time is over, or is to be cut.
    over: Notify,
    /// Cancelled, for the clients of now, once those that have nothing under way are sent away.
    pub(super) shed: RefCell<CancellationToken>,
    /// Memory is short.
    pub(super) pressed: Cell<bool>,
    /// One client may come in nevertheless.
    pub(super) lets_one_in: Cell<bool>,
    /// Memory is not short any more, or one client may come in.
    pub(super) eased: Notify,
    /// What connections of clients take of the room there is.
    pub(super) seats: Seats,
    /// Whether descriptors run out.
    pub(super) scarce: Scarce,
}

impl Thread {
    /// Ends once the time of a frontend or server is over that a reload has removed, or the operator cuts its connections.
    pub(super) async fn over(&self, over: &Over) {
        self.over_or(over, || false).await;
    }

    /// The same of the connection of a client that is listed so, which may be cut alone.
    pub(super) async fn over_or_cut(&self, over: &Over, listing: Listing) {
        self.over_or(over, || self.roll.is_cut(listing)).await;
    }

    async fn over_or(&self, over: &Over, is_cut: impl Fn() -> bool) {
        let begun = over.begin();
        loop {
            let woken = self.over.notified();
            if over.is_over_since(begun) || is_cut() {
                return;
            }
            woken.await;
        }
    }

    /// The snapshot of now.
    pub(super) fn snapshot(&self) -> Option<Rc<Loaded>> {
        let shared = self.shared.load();
        let mut cached = self.cached.borrow_mut();
        let is_current = match (&*cached, &*shared) {
            (Some(cached), Some(shared)) => Arc::ptr_eq(&cached.0, shared),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_current {
            *cached = shared.as_ref().map(|snapshot| Rc::new(Loaded(Arc::clone(snapshot))));
        }
        cached.clone()
    }
}

async fn run(thread: Rc<Thread>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut listening: Vec<Listening> = Vec::new();
    let mut sweep = time::interval(SWEEP);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Apply(new)) => apply(&thread, &mut listening, new),
                Some(Command::Press(press)) => thread.press(press),
                Some(Command::Over) => thread.over.notify_waiters(),
                // Whoever has asked may not wait any more.
                Some(Command::Tell(most, id, tell)) => {
                    tell.send(thread.roll.present(most, id)).unwrap_or_default();
                }
                Some(Command::Cut(id, tell)) => {
                    tell.send(thread.roll.cut(id)).unwrap_or_default();
                    thread.over.notify_waiters();
                }
                Some(Command::Drain(timeout, closing, tell)) => {
                    let closes = |listening: &Listening| match &closing {
                        Closing::All => true,
                        Closing::Only(gone) => gone.contains(&listening.address),
                    };
                    let end = |it: Listening| if closes(&it) { it.retire() } else { it.leave() };
                    let retiring: Vec<_> = listening.drain(..).map(end).collect();
                    for accepting in retiring {
                        accepting.await.unwrap_or_default(); // One that panicked accepts nothing any more.
                    }
                    thread.drain.cancel();
                    thread.connections.close();
                    // Either way the number that is left says it all.
                    time::timeout(timeout, thread.connections.wait()).await.unwrap_or_default();
                    // Nobody waits for the number if the drain itself was dropped.
                    tell.send(thread.connections.len()).unwrap_or_default();
                    return;
                }
            },
            now = sweep.tick() => {
                thread.idle.borrow_mut().sweep(now);
                thread.multiplexed.borrow_mut().sweep(now);
                thread.owners.borrow_mut().sweep(now);
                thread.seats.settle();
            }
        }
    }
}

fn apply(thread: &Rc<Thread>, listening: &mut Vec<Listening>, new: Vec<BoundListener>) {
    let Some(snapshot) = thread.snapshot() else { return };
    thread.seats.apply(&snapshot);
    let replaced: HashSet<(&str, SocketAddr)> = new.iter().map(|new| (new.frontend.as_str(), new.address)).collect();
    let is_replaced = |old: &Listening| replaced.contains(&(old.frontend.as_str(), old.address));
    let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(listening)
        .into_iter()
        .partition(|old| snapshot.serves(&old.frontend, old.address) && !is_replaced(old));
    for kept in &kept {
        kept.goes_on(&snapshot);
    }
    *listening = kept;
    let sockets: HashSet<_> = new.iter().filter_map(|new| accept::socket_of(&new.listener)).collect();
    for listening in gone {
        // What waits in a socket that goes on waits there for whoever has it now.
        if !listening.socket.is_some_and(|socket| sockets.contains(&socket)) {
            drop(listening.retire()); // It goes on by itself.
        }
    }
    for bound in new {
        let (frontend, address) = (bound.frontend.clone(), bound.address);
        match accept::listen(thread, bound) {
            Ok(started) => listening.push(started),
            Err(error) => tracing::error!(frontend, %address, %error, "cannot serve a listener"),
        }
    }
}
