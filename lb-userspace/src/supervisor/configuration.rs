//! A configuration as the supervisor reads it, and what of it waits for the next start.

use super::{Options, stats_pages::addresses};
use crate::{
    config::{self, Bundle, Format},
    model::{Global, Model},
};

/// A configuration as read: to use, and to hand on.
pub(super) struct Configuration {
    pub(super) bundle: Bundle,
    pub(super) model: Model,
    pub(super) warnings: String,
}

impl Configuration {
    /// Reads files, environment and certificates. A [`config::Diagnostics`] is the error of a configuration that is
    /// refused.
    pub(super) fn read(options: &Options) -> anyhow::Result<Self> {
        Self::of(config::collect(&options.config)?)
    }

    /// Loads what was read.
    pub(super) fn of(bundle: Bundle) -> anyhow::Result<Self> {
        let loaded = config::load(&bundle)?;
        let warnings = loaded.warnings.render(Format::default());
        Ok(Self { model: loaded.model, warnings, bundle })
    }
}

/// What a reload cannot change, one line each. Some of it concerns a kernel half that runs.
pub(super) fn needs_restart(running: &Global, wanted: &Global, kernel: bool) -> String {
    let fields = [
        ("interfaces", kernel && running.interfaces != wanted.interfaces),
        ("hash_key", kernel && running.hash_key != wanted.hash_key),
        ("track_budget", kernel && running.track_budget != wanted.track_budget),
        ("user", running.user != wanted.user),
        ("control_socket", running.control_socket != wanted.control_socket),
        ("stats_socket", running.stats_sockets != wanted.stats_sockets),
        ("pin_dir", kernel && running.pin_dir != wanted.pin_dir),
        ("threads", running.threads != wanted.threads),
        ("metrics", running.metrics != wanted.metrics),
    ];
    let changed = fields.into_iter().filter(|(_, changed)| *changed);
    let pages = addresses(running).ne(addresses(wanted)).then(|| "`bind` of a statistics page".to_owned());
    let lines: Vec<_> = changed
        .map(|(name, _)| format!("`[global] {name}`"))
        .chain(pages)
        .map(|what| format!("warning: {what} takes effect at the next start\n"))
        .collect();
    lines.concat()
}
