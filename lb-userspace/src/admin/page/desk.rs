//! Desk: what all statistics pages of a worker share, which is the way to its loop and the last thing that came back.

use super::view::View;
use crate::{
    admin::{
        door::Last,
        kernel::KernelReport,
        protocol::{Answer, Request},
        rows::Rows,
        socket::Asked,
        status::Status,
    },
    model::StatsPage,
};
use bytes::Bytes;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::spawn_blocking,
    time::Instant,
};

/// Who asks again within this time sees the same.
const FRESH: Duration = Duration::from_secs(1);
/// Pages of one moment that are kept: by what is asked for, and who asks.
const DRAWN: usize = 16;
/// Passwords that are tried at once.
const TURNS: usize = 4;
/// Somebody with a wrong password is named in the log so often at most.
const NAMED: Duration = Duration::from_secs(1);

/// A way for the worker's loop to answer somebody who looks.
pub type Look = oneshot::Sender<Seen>;

/// Rates of the last seconds, the newest last, by frontend or backend and by what `svname` has.
pub type Trails = BTreeMap<(String, String), Vec<u32>>;

/// One moment of the daemon.
#[derive(Debug, Default)]
pub struct Seen {
    /// What `show stat` prints.
    pub rows: Rows,
    /// What `sluice status` shows.
    pub status: Status,
    /// What `sluice maps` shows; `None`: there is no kernel half.
    pub kernel: Option<KernelReport>,
    /// Backends to which the proxy sends nothing.
    pub kernel_only: BTreeSet<String>,
    /// How it was in the last minute.
    pub trails: Trails,
    /// For how long the worker has been there.
    pub uptime: Duration,
    /// When this was, in microseconds of the Unix epoch.
    pub at_us: u64,
}

/// What is drawn once for all who ask for it.
type Drawn = BTreeMap<(String, String, View), Bytes>;

/// What the pages of a worker share.
pub struct Desk {
    pages: RefCell<Vec<Rc<StatsPage>>>,
    looks: mpsc::Sender<Look>,
    requests: mpsc::Sender<Asked>,
    last: Last<Arc<Seen>>,
    /// With the moment that it is of.
    drawn: Mutex<(Arc<Seen>, Drawn)>,
    named: Cell<Option<Instant>>,
    turns: Arc<Semaphore>,
    /// Each address, and the page that it was first for: what is listened to does not change with a reload.
    bound: RefCell<BTreeMap<SocketAddr, String>>,
}

impl Desk {
    /// Without a page yet. `looks` and `requests` lead to the worker's loop.
    pub fn new(looks: mpsc::Sender<Look>, requests: mpsc::Sender<Asked>) -> Self {
        Self {
            pages: RefCell::default(),
            looks,
            requests,
            last: Last::new(FRESH),
            drawn: Mutex::default(),
            named: Cell::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
            bound: RefCell::default(),
        }
    }

    /// These are the pages from now on.
    pub fn configure(&self, pages: &[StatsPage]) {
        let mut bound = self.bound.borrow_mut();
        for page in pages {
            for bind in &page.binds {
                bound.entry(*bind).or_insert_with(|| page.name.clone());
            }
        }
        *self.pages.borrow_mut() = pages.iter().cloned().map(Rc::new).collect();
    }

    /// The page that is served there: one whose address that is, or was before a reload. `None`: not yet, or no more.
    pub(super) fn page_at(&self, address: SocketAddr) -> Option<Rc<StatsPage>> {
        let (pages, bound) = (self.pages.borrow(), self.bound.borrow());
        let now = pages.iter().find(|page| page.binds.contains(&address));
        let before = || pages.iter().find(|page| bound.get(&address) == Some(&page.name));
        now.or_else(before).map(Rc::clone)
    }

    /// A turn to try a password; `None`: there will be none.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// What there is to see; `None`: the daemon is starting or stopping.
    pub(super) async fn seen(&self) -> Option<Arc<Seen>> {
        let look = async {
            let (look, seen) = oneshot::channel();
            self.looks.send(look).await.ok()?;
            seen.await.ok().map(Arc::new)
        };
        self.last.or_find(look).await
    }

    /// What `draw` makes of it, once for all who ask for the same; one at a time, beside the worker's loop.
    pub(super) async fn drawn(
        &self,
        seen: &Arc<Seen>,
        key: (String, String, View),
        draw: impl FnOnce(&Seen) -> String + Send + 'static,
    ) -> Option<Bytes> {
        let mut drawn = self.drawn.lock().await;
        if !Arc::ptr_eq(&drawn.0, seen) || drawn.1.len() >= DRAWN {
            *drawn = (Arc::clone(seen), Drawn::new());
        }
        if let Some(known) = drawn.1.get(&key) {
            return Some(known.clone());
        }
        let seen = Arc::clone(seen);
        let text = Bytes::from(spawn_blocking(move || draw(&seen)).await.ok()?);
        drawn.1.insert(key, text.clone());
        Some(text)
    }

    /// Does what the runtime API does at these words.
    pub(super) async fn say(&self, words: Vec<String>) -> Result<(), String> {
        let stopping = || "the daemon is stopping".to_owned();
        let (answer, answered) = oneshot::channel();
        let request = Request::Runtime { words, payload: None };
        self.requests.send(Asked { request, answer }).await.map_err(|_closed| stopping())?;
        let answer = answered.await.map_err(|_closed| stopping())?;
        self.last.forget().await;
        match answer {
            Answer::Ok(_) => Ok(()),
            Answer::Error(why) => Err(why),
        }
    }

    /// Whether the log should name somebody who may not see a page.
    pub(super) fn may_name(&self) -> bool {
        let now = Instant::now();
        let may = self.named.get().is_none_or(|named| now >= named + NAMED);
        if may {
            self.named.set(Some(now));
        }
        may
    }
}
