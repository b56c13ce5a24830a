//! Trial: a configuration that goes unless somebody says that it works, as with Junos' `commit confirmed`. An operator who has
//! locked himself out of the host by it gets the host back.
//!
//! What there is to go back to is always what was confirmed last: reloads meanwhile do not confirm, whoever asks for them. It
//! is kept in a file beside the control socket as well: a daemon that is started again, because the one before died, begins
//! with it, and not with what stands in the files of the configuration. That file goes once the configuration is confirmed,
//! once another one is taken up for good, and when the daemon is told to stop.

use super::{Options, Supervisor, configuration::Configuration};
use crate::{
    channel::ToWorker,
    config::{Bundle, units::show_duration},
};
use anyhow::ensure;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

/// From one attempt to go back to the next, if one fails.
const AGAIN: Duration = Duration::from_secs(5);

/// A configuration on trial.
pub(super) struct Trial {
    until: Instant,
    within: Duration,
    /// What was confirmed last. `None`: nothing was, and the daemon ends.
    back: Option<Box<Configuration>>,
    /// The kernel half has come with it, and goes with it.
    brought_kernel: bool,
}

impl Trial {
    /// Of a daemon that starts.
    pub(super) fn of_start(within: Duration) -> Self {
        Self { until: Instant::now() + within, within, back: None, brought_kernel: false }
    }

    /// Waits until it is over; never, if there is none.
    pub(super) async fn over(trial: Option<&Self>) {
        match trial {
            Some(trial) => sleep_until(trial.until).await,
            None => std::future::pending().await,
        }
    }
}

/// That nobody confirmed the start of the daemon.
#[derive(Debug, thiserror::Error)]
#[error("nobody has confirmed the start within {}", show_duration(*.0))]
pub(super) struct Unconfirmed(pub(super) Duration);

impl Supervisor {
    /// A configuration took the place of `before`: for as long as it is on trial, or for good.
    pub(super) fn begin_trial(&mut self, within: Option<Duration>, before: Configuration, brought_kernel: bool) {
        let running = self.trial.take();
        let Some((until, within)) = within
            .map(|within| (Instant::now() + within, within))
            .or_else(|| running.as_ref().map(|trial| (trial.until, trial.within)))
        else {
            self.has_gone_back = false;
            return forget(&self.started.control_socket);
        };
        let trial = running.unwrap_or_else(|| {
            remember(&self.started.control_socket, &before.bundle);
            Trial { until, within, back: Some(Box::new(before)), brought_kernel: false }
        });
        let brought_kernel = trial.brought_kernel || brought_kernel;
        info!(event = "trial", within = show_duration(within), "the configuration is on trial until `sluice confirm`");
        self.trial = Some(Trial { until, within, brought_kernel, ..trial });
    }

    /// Refuses what would take the files for good, as another binary does, while nobody has confirmed what they say.
    pub(super) fn check_confirmed(&self) -> anyhow::Result<()> {
        ensure!(self.trial.is_none(), "a configuration is on trial: `sluice confirm` comes first");
        ensure!(
            !self.has_gone_back,
            "what runs is the configuration that was confirmed last, and the files have another one: `sluice reload` comes first"
        );
        Ok(())
    }

    /// Somebody says that the configuration works.
    pub(super) async fn confirm_trial(&mut self) -> anyhow::Result<()> {
        let was_on_trial = self.trial.take().is_some();
        if was_on_trial {
            self.has_gone_back = false;
            forget(&self.started.control_socket);
            info!(event = "trial", generation = self.generation, "the configuration is confirmed");
        }
        Ok(self.worker.send(&ToWorker::Confirmed { was_on_trial }, &[]).await?)
    }

    /// Nobody has said that the configuration works. An error: nor has anybody of the one before.
    pub(super) async fn end_trial(&mut self) -> Result<(), Unconfirmed> {
        let Some(trial) = self.trial.take() else { return Ok(()) };
        let Some(back) = trial.back else { return Err(Unconfirmed(trial.within)) };
        error!(
            event = "trial",
            within = show_duration(trial.within),
            "nobody has confirmed the configuration: going back"
        );
        match self.go_back(*back, trial.brought_kernel).await {
            Ok(()) => {
                self.has_gone_back = true;
                error!(
                    event = "trial",
                    generation = self.generation,
                    "the configuration that was confirmed last runs again; the files still have the other one"
                );
            }
            Err((back, why)) => {
                error!(event = "trial", error = format!("{why:#}"), again_in = ?AGAIN, "cannot go back");
                let (until, back) = (Instant::now() + AGAIN, Some(Box::new(back)));
                self.trial = Some(Trial { until, back, ..trial });
            }
        }
        Ok(())
    }

    async fn go_back(
        &mut self,
        back: Configuration,
        brought_kernel: bool,
    ) -> Result<(), (Configuration, anyhow::Error)> {
        self.switch_to(back).await?;
        if brought_kernel {
            self.drop_kernel().await;
        }
        Ok(())
    }
}

/// What a daemon begins with: the files, or what one that died has kept, which is told. Files that are refused do not say where
/// that is: it is looked for beside the `usual` control socket.
pub(super) fn begin_with(options: &Options, usual: &Path) -> anyhow::Result<(Configuration, bool)> {
    let why = match Configuration::read(options) {
        Ok(read) => {
            let recalled = recall(&read.model.global.control_socket);
            let has_gone_back = recalled.is_some();
            return Ok((recalled.unwrap_or(read), has_gone_back));
        }
        Err(why) => why,
    };
    // That of another daemon is none of ours.
    let is_ours = |bundle: &Bundle| bundle.files.iter().all(|file| Path::new(&file.path).starts_with(&options.config));
    match recall(usual).filter(|recalled| is_ours(&recalled.bundle)) {
        Some(recalled) => {
            error!(error = format!("{why:#}"), "the files are refused; what was confirmed last runs");
            Ok((recalled, true))
        }
        None => Err(why),
    }
}

/// What a daemon that died has kept to begin with, if it had a configuration on trial.
pub(super) fn recall(control_socket: &Path) -> Option<Configuration> {
    let path = place(control_socket);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            error!(%error, path = %path.display(), "cannot read what was confirmed last");
            return None;
        }
    };
    let bundle = serde_json::from_slice::<Bundle>(&bytes).map_err(anyhow::Error::from);
    match bundle.and_then(Configuration::of) {
        Ok(confirmed) => {
            warn!(
                path = %path.display(),
                "a daemon has died while a configuration was on trial: beginning with the one that was confirmed last; \
                 `sluice reload` takes up the files"
            );
            Some(confirmed)
        }
        Err(error) => {
            error!(error = format!("{error:#}"), path = %path.display(), "what was confirmed last is of no use");
            None
        }
    }
}

/// Nothing is on trial any more.
pub(super) fn forget(control_socket: &Path) {
    let path = place(control_socket);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        error!(%error, path = %path.display(), "cannot remove what was confirmed last");
    }
}

fn remember(control_socket: &Path, bundle: &Bundle) {
    let path = place(control_socket);
    if let Err(error) = write(&path, bundle) {
        error!(%error, path = %path.display(), "cannot keep what was confirmed last: a daemon that dies begins with the files");
    }
}

/// Whole or not at all, and for nobody else to read: it has keys.
fn write(path: &Path, bundle: &Bundle) -> io::Result<()> {
    let new = path.with_extension("confirmed-new");
    let gone = fs::remove_file(&new);
    gone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(bundle)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn place(control_socket: &Path) -> PathBuf {
    control_socket.with_extension("confirmed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;
    use std::os::unix::fs::PermissionsExt as _;

    fn bundle(server: &str) -> Bundle {
        let text =
            format!("[frontend]\n[backend.b]\nserver = [{{ name = \"{server}\", address = \"10.0.0.1:80\" }}]\n");
        Bundle { files: vec![ConfigFile { path: "a.toml".to_owned(), text }], cpus: 1, ..Bundle::default() }
    }

    #[test]
    fn files_that_are_refused_give_way_to_what_was_confirmed_last_of_the_same_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let (socket, config) = (directory.path().join("sluice.sock"), directory.path().join("a.toml"));
        fs::write(&config, "nonsense").expect("written");
        let confirm = None;
        let options = Options { config, single_process: true, binary: PathBuf::new(), take_over: false, confirm };
        let begun = || begin_with(&options, &socket).map(|(begun, has_gone_back)| (begun.bundle, has_gone_back));
        assert!(begun().is_err());
        remember(&socket, &bundle("s"));
        assert!(begun().is_err(), "that is of other files");
        let mut kept = bundle("s");
        kept.files.iter_mut().for_each(|file| file.path = options.config.display().to_string());
        remember(&socket, &kept);
        assert_eq!(begun().ok(), Some((kept, true)));
    }

    #[test]
    fn what_was_confirmed_last_outlives_the_daemon_for_nobody_else_to_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("sluice.sock");
        assert!(recall(&socket).is_none());
        for server in ["first", "second"] {
            remember(&socket, &bundle(server));
            let recalled = recall(&socket).expect("a configuration");
            assert_eq!(recalled.bundle, bundle(server));
        }
        let mode = fs::metadata(place(&socket)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1, "nothing is left behind");
        fs::write(place(&socket), "half of").expect("written");
        assert!(recall(&socket).is_none());
        forget(&socket);
        forget(&socket);
        assert!(recall(&socket).is_none());
    }
}
