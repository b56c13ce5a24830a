//! Checks by programs of one's own, HAProxy's `external-check`. Here they are only asked for: the [runner](crate::runner) runs
//! them.

use super::{
    Code, Finding,
    finding::{bounded, is_ours, quote},
};
use crate::{
    channel::Channel,
    model::{Model, check::ExecCheck},
    runner::message::{Ended, Facts, How, JOBS, Job},
    servers::{Live, live::ServerLive},
};
use std::{collections::HashMap, io, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::warn;

/// The way to the runner that there is now; `None`: none yet. One that is gone stays until another comes.
pub(super) type Runner = watch::Receiver<Option<mpsc::Sender<Asked>>>;

/// A job, and who waits for its end.
pub(super) type Asked = (Job, oneshot::Sender<Ended>);

/// How long the runner may be late.
const GRACE: Duration = Duration::from_secs(1);

/// What a probe by a program needs beside its target.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) runner: Runner,
    /// Whose connections the program is told the number of.
    pub(super) live: Option<Arc<ServerLive>>,
}

/// One probe. A runner that is not there is waited for.
pub(super) async fn probe(check: &ExecCheck, told: Option<(&Facts, &Means)>, deadline: Instant) -> Finding {
    let nobody = || Finding::new(Code::SocketError, "nobody is there to run the program");
    let Some((facts, Means { runner, live })) = told else { return nobody() };
    let mut runner = runner.clone();
    let there = runner.wait_for(|way| way.as_ref().is_some_and(|way| !way.is_closed()));
    let Ok(Ok(Some(way))) = timeout_at(deadline, there).await.map(|way| way.map(|way| way.clone())) else {
        return nobody();
    };
    let job = Job {
        number: 0,
        check: check.clone(),
        facts: facts.clone(),
        connections: live.as_ref().map_or(0, |live| live.connections()),
        timeout: deadline.saturating_duration_since(Instant::now()),
    };
    let (answer, answered) = oneshot::channel();
    let ended = async {
        if way.send((job, answer)).await.is_err() {
            return None;
        }
        answered.await.ok()
    };
    match timeout_at(deadline + GRACE, ended).await {
        Ok(Some(ended)) => finding(&ended),
        // None of these says anything of the server.
        Ok(None) => Finding::new(Code::SocketError, "what runs the program is gone"),
        Err(_) => Finding::new(Code::SocketError, "what runs the program says nothing"),
    }
}

/// Passes jobs to a runner and its answers to who waits for them, until either side is gone: then nobody is answered any more.
pub(super) async fn converse(line: OwnedFd, mut asked: mpsc::Receiver<Asked>) {
    let line = match Channel::new(line) {
        Ok(line) => line,
        Err(error) => return warn!(%error, "cannot talk to what runs checks"),
    };
    let (mut number, mut waiting) = (0, HashMap::new());
    loop {
        tokio::select! {
            // The next ones wait where they are, until there is an answer to one of these.
            asked = asked.recv(), if waiting.len() < JOBS => {
                let Some((job, answer)) = asked else { return };
                if answer.is_closed() {
                    continue; // Nobody waits for it any more.
                }
                number += 1;
                if let Err(error) = line.send(&Job { number, ..job }, &[]).await {
                    warn!(%error, "cannot ask for a check");
                    continue;
                }
                waiting.insert(number, answer);
            }
            ended = line.receive::<Ended>() => match ended {
                Ok(Some((ended, _))) => {
                    if let Some(answer) = waiting.remove(&ended.number) {
                        answer.send(ended).unwrap_or_default(); // Who gave up does not mind.
                    }
                }
                Ok(None) => return,
                Err(error) => return warn!(%error, "what runs checks breaks the line"),
            },
        }
    }
}

/// By HAProxy's codes and words, and what the program said first.
fn finding(Ended { how, said, .. }: &Ended) -> Finding {
    let (code, words) = match *how {
        How::Exited(0) => (Code::ProcessOk, "External check passed".to_owned()),
        How::Exited(status) => (Code::ProcessError, format!("External check error, code: {status}")),
        How::Killed(signal) => (Code::ProcessError, format!("External check error, signal: {signal}")),
        How::TimedOut => (Code::ProcessTimeout, "External check timeout".to_owned()),
        How::Failed(number) => {
            let error = io::Error::from_raw_os_error(number);
            let code = if is_ours(&error) { Code::SocketError } else { Code::ProcessError };
            (code, bounded(format!("cannot run the program: {error}")))
        }
        How::Crowded => (Code::SocketError, "too many programs ran to run another".to_owned()),
        How::Refused => (Code::SocketError, "the program is not among those that may be run".to_owned()),
    };
    let first = said.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    match first {
        Some(line) => Finding::new(code, format!("{words}: {}", quote(line))),
        None => Finding::new(code, words),
    }
}

/// What the program of a server's check is told.
pub(super) fn facts(model: &Model, backend: usize, server: usize) -> Option<Facts> {
    let (of, it) = (model.backends.get(backend)?, model.backends.get(backend)?.servers.get(server)?);
    Some(Facts {
        backend: of.name.clone(),
        backend_id: backend + 1,
        server: it.name.clone(),
        server_id: server + 1,
        address: it.address,
        maxconn: it.limits.maxconn,
        tls: it.tls.is_some(),
    })
}

/// What the serving threads count of it.
pub(super) fn live(live: &Live, facts: &Facts) -> Option<Arc<ServerLive>> {
    live.backend(&facts.backend)?.servers.get(facts.server_id.checked_sub(1)?).map(Arc::clone)
}

#[cfg(test)]
mod tests;
