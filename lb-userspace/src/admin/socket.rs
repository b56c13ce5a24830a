//! The control socket: who may ask, and one request after the other on its way to the worker's loop.

use super::protocol::{Answer, REQUEST_LIMIT, Request};
use std::{io, os::unix::net::UnixListener as StdListener, path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};
use tracing::{debug, info};

/// A client that says nothing for this long is cut.
const SILENCE: Duration = Duration::from_secs(5);
/// Clients served at once; more wait in the backlog.
const CLIENTS: usize = 16;

/// A request on its way to the worker's loop, and the way back for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// Makes the listening socket at `path`, for the owner alone; replaces a file that a dead daemon left there.
pub fn bind(path: &Path) -> io::Result<StdListener> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = StdListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves clients until `requests` closes. `owner` is the user that started the daemon.
pub async fn serve(listener: StdListener, owner: u32, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(CLIENTS));
    loop {
        let Ok(slot) = std::sync::Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
        let (client, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "cannot accept on the control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let requests = requests.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = converse(client, owner, &requests).await {
                debug!(%error, "a client of the control socket went away");
            }
            drop(slot);
        });
    }
}

async fn converse(client: UnixStream, owner: u32, requests: &mpsc::Sender<Asked>) -> io::Result<()> {
    let uid = client.peer_cred()?.uid();
    let (reader, mut writer) = client.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(REQUEST_LIMIT));
    tokio::time::timeout(SILENCE, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Request>(&line) {
        Err(error) => Answer::Error(format!("not a request: {error}")),
        Ok(request) if request.changes_something() && uid != owner && uid != 0 => Answer::Error(format!(
            "permission denied: only root and the user who started the daemon may do that, and you are user {uid}"
        )),
        Ok(request) => {
            if request.changes_something() {
                info!(uid, ?request, "asked over the control socket");
            }
            ask(request, requests).await
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    writer.write_all(&text).await
}

async fn ask(request: Request, requests: &mpsc::Sender<Asked>) -> Answer {
    let stopping = || Answer::Error("the daemon is stopping".to_owned());
    let (answer, answered) = oneshot::channel();
    if requests.send(Asked { request, answer }).await.is_err() {
        return stopping();
    }
    answered.await.unwrap_or_else(|_closed| stopping())
}
