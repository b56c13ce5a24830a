//! Where maps and links are pinned: what survives the daemon.
//!
//! ```text
//! <pin_dir>/links/<interface>        one link an interface; of no schema, so that an upgrade finds it
//! <pin_dir>/v<schema>/<MAP>          the maps
//! <pin_dir>/v<schema>/rings/<ring>   the inner maps of RINGS, because opening them by id needs CAP_SYS_ADMIN
//! ```

use super::shape::{MapUnusable, Shape, checked, unusable};
use aya::maps::MapData;
use lb_common::{RingId, maps::SCHEMA};
use rustix::fs::statfs;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// What the name of a directory ends with whose pins are being removed.
const GONE: &str = "_gone";

/// The directory of the pins.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
    /// Where the maps are, if not where those of this schema are.
    elsewhere: Option<PathBuf>,
}

/// Why nothing can be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// Only a BPF file system holds pins.
    #[error("{0} is not on a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf")]
    NotBpf(PathBuf),
    /// A directory cannot be made, read or removed.
    #[error("cannot use the pin directory {0}")]
    Directory(PathBuf, #[source] io::Error),
    /// Whoever made the link decides what is there.
    #[error(
        "the pin directory {0} is no directory but a link or a file; remove it, or name another `[global] pin_dir`"
    )]
    NoDirectory(PathBuf),
    /// Whoever may write there puts maps and programs of theirs in the place of ours.
    #[error(
        "the pin directory {path} is not ours alone: it belongs to user {owner} and has mode {mode:04o}, and must belong to \
         user {own} and have mode 0700; if what is in it may go, remove it, or else name another `[global] pin_dir`"
    )]
    Shared {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// What others may do there.
        mode: u32,
        /// Who we are.
        own: u32,
    },
}

impl Pins {
    /// Pins below `root`: `[global] pin_dir`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), elsewhere: None }
    }

    /// The same, with the maps of another schema, as far as they look as ours do.
    #[must_use]
    pub fn with_maps(&self, directory: &Path) -> Self {
        Self { root: self.root.clone(), elsewhere: Some(directory.to_owned()) }
    }

    /// Where the maps of this schema are.
    pub fn maps(&self) -> PathBuf {
        self.elsewhere.clone().unwrap_or_else(|| self.of_schema(SCHEMA))
    }

    /// Where the maps of a schema are.
    pub fn of_schema(&self, schema: u64) -> PathBuf {
        self.root.join(format!("v{schema:016x}"))
    }

    /// Where the map of that name is.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Where the inner maps of the rings are.
    pub fn rings(&self) -> PathBuf {
        self.maps().join("rings")
    }

    /// Where the inner map of that ring is.
    pub fn ring(&self, ring: RingId) -> PathBuf {
        self.rings().join(ring.to_string())
    }

    /// Where the links are.
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Where the link of that interface is. A BPF file system allows no dot in a name and the kernel no colon in an
    /// interface, so `eth0.7` becomes `eth0:7`.
    pub fn link(&self, interface: &str) -> PathBuf {
        self.links().join(interface.replace('.', ":"))
    }

    /// The interfaces that have a pinned link.
    pub fn linked(&self) -> Result<Vec<String>, PinsError> {
        Ok(self
            .entries(&self.links())?
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_str()?.replace(':', ".")))
            .collect())
    }

    /// The rings that have a pinned inner map.
    pub fn ringed(&self) -> Result<Vec<RingId>, PinsError> {
        Ok(self.entries(&self.rings())?.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect())
    }

    /// The maps of other schemas: what an older or newer version of Sluice left.
    pub fn stale(&self) -> Result<Vec<PathBuf>, PinsError> {
        let is_schema =
            |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('v'));
        let ours = self.maps();
        Ok(self.entries(&self.root)?.into_iter().filter(|path| is_schema(path) && *path != ours).collect())
    }

    /// Makes the directories, for ourselves alone; those that are there must be so.
    pub fn prepare(&self) -> Result<(), PinsError> {
        self.require_bpf()?;
        for path in [&self.root, &self.maps(), &self.rings(), &self.links()] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|error| PinsError::Directory(path.clone(), error))?;
            require_own(path)?;
        }
        Ok(())
    }

    /// Opens a pinned map and checks what it looks like.
    pub(super) fn open(&self, name: &str) -> Result<MapData, MapUnusable> {
        open(&self.map(name), Shape::of(name)?)
    }

    /// Opens the inner map of a ring.
    pub(super) fn open_ring(&self, ring: RingId) -> Result<MapData, MapUnusable> {
        open(&self.ring(ring), Shape::of_ring())
    }

    /// Removes directories that [`stale`](Self::stale) found, once nothing is attached that uses what is in them.
    ///
    /// Each goes by its name first, and at once: whoever is killed in between leaves no maps of which some are missing, but
    /// something stale.
    pub fn remove(&self, directories: &[PathBuf]) -> Result<(), PinsError> {
        let remove = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(GONE) {
                return fs::remove_dir_all(path);
            }
            let gone = path.with_file_name(format!("{name}{GONE}"));
            if gone.exists() {
                fs::remove_dir_all(&gone)?;
            }
            fs::rename(path, &gone)?;
            fs::remove_dir_all(&gone)
        };
        let named = |path: &PathBuf| remove(path).map_err(|error| PinsError::Directory(path.clone(), error));
        directories.iter().try_for_each(named)
    }

    /// Removes the directories that are of no use without pins in them. Where a foreign file lies, it stays.
    pub(super) fn remove_empty(&self) {
        for directory in [self.links(), self.root.clone()] {
            if let Err(error) = fs::remove_dir(&directory)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(directory = %directory.display(), %error, "left in place");
            }
        }
    }

    /// The directory of all of it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What lies in `directory`; nothing if there is none.
    fn entries(&self, directory: &Path) -> Result<Vec<PathBuf>, PinsError> {
        let read = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(PinsError::Directory(self.root.clone(), error)),
            Ok(mut paths) => {
                paths.sort();
                Ok(paths)
            }
        }
    }

    /// The nearest ancestor that exists must be on a BPF file system.
    fn require_bpf(&self) -> Result<(), PinsError> {
        const BPF_FS_MAGIC: u32 = 0xcafe_4a11; // linux/magic.h
        let there = self.root.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/"));
        let found = statfs(there).map_err(|error| PinsError::Directory(there.to_owned(), error.into()))?;
        if u32::try_from(found.f_type & 0xffff_ffff) == Ok(BPF_FS_MAGIC) {
            Ok(())
        } else {
            Err(PinsError::NotBpf(self.root.clone()))
        }
    }
}

fn require_own(path: &Path) -> Result<(), PinsError> {
    let found = fs::symlink_metadata(path).map_err(|error| PinsError::Directory(path.to_owned(), error))?;
    let (owner, mode, own) = (found.uid(), found.mode() & 0o7777, rustix::process::geteuid().as_raw());
    match (found.is_dir(), owner != own || mode & 0o077 != 0) {
        (false, _) => Err(PinsError::NoDirectory(path.to_owned())),
        (true, true) => Err(PinsError::Shared { path: path.to_owned(), owner, mode, own }),
        (true, false) => Ok(()),
    }
}

fn open(path: &Path, wanted: Shape) -> Result<MapData, MapUnusable> {
    let name = path.display().to_string();
    checked(&name, wanted, MapData::from_pin(path).map_err(|error| unusable(&name, error))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_system_is_refused_with_the_command_that_helps() {
        let error = Pins::new("/tmp/no-bpf-here/sluice").prepare().unwrap_err().to_string();
        assert_eq!(
            error,
            "/tmp/no-bpf-here/sluice is not on a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf"
        );
    }

    #[test]
    fn what_others_made_or_may_change_is_refused() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("pins"), directory.path().join("link"));
        fs::create_dir(&path).unwrap();
        let with = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            require_own(&path)
        };
        with(0o700).unwrap();
        for mode in [0o750, 0o707, 0o1777] {
            let error = with(mode).unwrap_err();
            assert!(matches!(&error, PinsError::Shared { mode: found, .. } if *found == mode), "{error}");
            assert!(error.to_string().contains(&format!("has mode {mode:04o}, and must")), "{error}");
        }
        with(0o700).unwrap();
        symlink(&path, &link).unwrap();
        assert!(matches!(require_own(&link), Err(PinsError::NoDirectory(_))));
    }

    #[test]
    fn a_vlan_interface_has_a_name_that_a_bpf_file_system_takes() {
        assert_eq!(Pins::new("/p").link("eth0.7"), Path::new("/p/links/eth0:7"));
    }

    #[test]
    fn what_is_being_removed_is_stale_and_no_directory_of_maps_any_more() {
        let root = tempfile::tempdir().unwrap();
        let pins = Pins::new(root.path());
        let gone = root.path().join(format!("v{SCHEMA:016x}_gone"));
        for path in [pins.rings(), gone.clone()] {
            fs::create_dir_all(path).unwrap();
        }
        assert_eq!(pins.stale().unwrap(), std::slice::from_ref(&gone));
        pins.remove(&[pins.maps()]).unwrap();
        assert!(!pins.maps().exists() && !gone.exists());
        fs::create_dir_all(&gone).unwrap();
        pins.remove(&pins.stale().unwrap()).unwrap();
        assert!(!gone.exists());
    }

    #[test]
    fn only_other_schemas_are_stale() {
        let root = tempfile::tempdir().unwrap();
        let pins = Pins::new(root.path());
        assert!(pins.stale().unwrap().is_empty());
        for path in [pins.maps(), pins.links(), root.path().join("v0")] {
            fs::create_dir_all(path).unwrap();
        }
        assert_eq!(pins.stale().unwrap(), [root.path().join("v0")]);
    }
}
