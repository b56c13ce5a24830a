//! The files of access logs and event logs: opened here, because only here are the rights, and handed to the worker.
//!
//! They are opened again for every worker, for every reload and on SIGUSR1: whoever rotates them renames the file and then
//! sends one of the signals, and lines go on in a new file of the old name.

use crate::{
    l7::log::outlet,
    model::{Model, log::Target},
};
use std::{collections::BTreeMap, io, os::fd::OwnedFd, path::PathBuf};

/// A file cannot be appended to.
#[derive(Debug, thiserror::Error)]
#[error("cannot log to {}", path.display())]
pub struct LogFileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Opens every file that requests or events of `model` are logged to, making those that are not there.
pub fn open(model: &Model) -> Result<BTreeMap<PathBuf, OwnedFd>, LogFileError> {
    let mut files = BTreeMap::new();
    let requests = model.frontends.iter().flat_map(|frontend| &frontend.log.targets).map(|log| &log.target);
    for target in requests.chain(model.global.event_logs.iter().map(|log| &log.target)) {
        if let Target::File(path) = target
            && !files.contains_key(path)
        {
            let opened = outlet::open(path).map_err(|source| LogFileError { path: path.clone(), source })?;
            files.insert(path.clone(), opened);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::tests::model,
        model::{
            FrontendKind,
            log::{Format, Framing, Log},
        },
    };
    use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path};

    fn model_of(paths: &[&Path]) -> Model {
        let log = |path: &&Path| Log {
            target: Target::File(path.to_path_buf()),
            format: Format::Json,
            framing: Framing::Raw,
            length: 4_096,
        };
        let address = "127.0.0.1:80".parse().expect("an address");
        let mut frontend = model::frontend("web", address, FrontendKind::Http(model::http_frontend()));
        frontend.log.targets = paths.iter().map(log).collect();
        model::model(vec![frontend], vec![])
    }

    #[test]
    fn files_are_made_for_few_to_read_appended_to_and_opened_again_under_their_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        let append = |text: &str| {
            let descriptor = open(&model_of(&[&path])).expect("files").remove(&path).expect("the file");
            fs::File::from(descriptor).write_all(text.as_bytes()).expect("written");
        };
        append("one\n");
        append("two\n");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o137, 0);
        fs::rename(&path, directory.path().join("old")).expect("renamed");
        append("three\n");
        assert_eq!(fs::read_to_string(directory.path().join("old")).expect("a file"), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "three\n");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named_and_a_pipe_without_reader_is_not_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("none/access.log");
        assert_eq!(open(&model_of(&[&path])).expect_err("no directory").path, path);
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        assert_eq!(open(&model_of(&[&pipe])).expect_err("no reader").path, pipe);
    }
}
