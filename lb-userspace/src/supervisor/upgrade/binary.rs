//! Which file may take the daemon's place: it gets all rights, so nobody else may be able to change it.

use anyhow::{Context, bail};
use rustix::{fs::Access, process::geteuid};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What the kernel writes behind the name of a program that was removed, or replaced, since.
const DELETED: &str = " (deleted)";

/// The file that the running program was started from, whatever is there now.
pub fn started_from() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let name = path.to_str().and_then(|path| path.strip_suffix(DELETED)).map(PathBuf::from);
    Ok(name.unwrap_or(path))
}

/// Refuses what is no program that only its owner, root or we, can have made what it is.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    if !path.is_absolute() {
        bail!("{name} is not an absolute path");
    }
    let found = fs::metadata(path).with_context(|| format!("cannot use {name}"))?;
    if !found.is_file() {
        bail!("{name} is not a regular file");
    }
    let owner = found.uid();
    if owner != 0 && owner != geteuid().as_raw() {
        bail!("{name} belongs to user {owner}; it must belong to root or to the user that started the daemon");
    }
    if found.mode() & 0o022 != 0 {
        bail!("{name} can be written by others than its owner (mode {:o})", found.mode() & 0o7777);
    }
    rustix::fs::access(path, Access::EXEC_OK).with_context(|| format!("{name} cannot be executed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_a_program_that_nobody_else_can_change_is_started_and_the_reason_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sluice");
        let with = |mode| {
            fs::write(&path, "#!/bin/sh\n").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            check(&path).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(with(0o755), Ok(()));
        for (mode, why) in [(0o775, "mode 775"), (0o757, "mode 757"), (0o644, "cannot be executed")] {
            assert!(with(mode).is_err_and(|error| error.contains(why)), "{mode:o}: {:?}", with(mode));
        }
        let refused = |path: &Path| check(path).map_err(|error| format!("{error:#}")).expect_err("refused");
        assert!(refused(Path::new("sluice")).contains("not an absolute path"));
        assert!(refused(directory.path()).contains("not a regular file"));
        assert!(refused(&directory.path().join("none")).contains("No such file"));
    }

    #[test]
    fn the_place_that_we_were_started_from_is_a_file() {
        assert!(started_from().expect("a path").is_file());
    }
}
