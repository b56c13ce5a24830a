//! The control socket: who may ask, and one request after the other on its way to the worker's loop.

use super::protocol::{Answer, NO_REQUEST, REQUEST_LIMIT, Request};
use std::{io, os::unix::net::UnixListener as StdListener, path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};
use tracing::{debug, info, warn};

/// A client that does not send its request, or take its answer, within this time is cut.
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

/// Makes the listening socket at `path`, in place of one that a dead daemon left there. Only its owner and root may
/// connect, so that nobody else can keep the operator waiting; [`serve`] looks at the peer's credentials besides.
pub fn bind(path: &Path) -> io::Result<StdListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = StdListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
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
    let peer = client.peer_cred()?;
    let (uid, pid) = (peer.uid(), peer.pid());
    let (reader, mut writer) = client.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(REQUEST_LIMIT));
    tokio::time::timeout(SILENCE, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Request>(&line) {
        Err(error) => Answer::Error(format!("{NO_REQUEST}: {error}")),
        Ok(request) if !permitted(&request, uid, owner) => {
            warn!(event = "asked", uid, pid, ?request, "refused over the control socket");
            Answer::Error(format!(
                "permission denied: only root and the user who started the daemon may do that, and you are user {uid}"
            ))
        }
        Ok(request) => {
            if request.changes_something() {
                info!(event = "asked", uid, pid, ?request, "asked over the control socket");
            }
            ask(request, requests).await
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    tokio::time::timeout(SILENCE, writer.write_all(&text)).await?
}

/// Whether `uid` may ask that of a daemon that `owner` started.
fn permitted(request: &Request, uid: u32, owner: u32) -> bool {
    !request.changes_something() || uid == owner || uid == 0
}

async fn ask(request: Request, requests: &mpsc::Sender<Asked>) -> Answer {
    let stopping = || Answer::Error("the daemon is stopping".to_owned());
    let (answer, answered) = oneshot::channel();
    if requests.send(Asked { request, answer }).await.is_err() {
        return stopping();
    }
    answered.await.unwrap_or_else(|_closed| stopping())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::Admin;
    use std::path::PathBuf;
    use tokio::{
        task::LocalSet,
        time::{Instant, timeout},
    };

    /// Serves a socket for as long as `asking` runs; whatever is asked is answered with `answer`.
    fn with_daemon<F: Future<Output = ()>>(owner: u32, answer: &str, asking: impl FnOnce(PathBuf) -> F) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/sluice.sock");
        let answer = Answer::Ok(answer.into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (requests, mut requests_in) = mpsc::channel::<Asked>(1);
            tokio::task::spawn_local(serve(bind(&path).unwrap(), owner, requests));
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
            for wrong in [&b"\n"[..], b"{}\n", b"{\"verb\":\"explode\"}\n"] {
                let answer = ask(&path, wrong).await;
                assert!(answer.starts_with("{\"error\":\"not a request"), "{answer}");
            }
        });
    }

    #[test]
    fn a_request_without_end_is_cut_at_the_limit() {
        with_daemon(0, "well", async |path| {
            let endless = vec![b' '; usize::try_from(REQUEST_LIMIT).unwrap()];
            assert!(ask(&path, &endless).await.starts_with("{\"error\""));
        });
    }

    #[test]
    fn only_root_and_the_owner_change_something() {
        let asks = |owner, uid| permitted(&Request::Reload { only: None }, uid, owner);
        assert!(asks(7, 7) && asks(7, 0) && asks(0, 0));
        assert!(!asks(7, 8) && !asks(0, 8));
        let server = Request::Server { backend: String::new(), server: String::new(), admin: Admin::Maint };
        assert!(!permitted(&server, 8, 7));
        assert!(permitted(&Request::Status, 8, 7) && permitted(&Request::Metrics, 8, 7));
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

    #[test]
    fn what_a_dead_daemon_left_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sluice.sock");
        drop(bind(&path).unwrap());
        bind(&path).unwrap();
        let file = directory.path().join("sluice.toml");
        std::fs::write(&file, "precious").unwrap();
        assert_eq!(bind(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
