//! Certificates that change on disk are taken up by themselves, within a second or two; one that is bad leaves the old
//! serving. The text of the configuration is not read again: it may be half edited.
//!
//! Files are looked at twice a second rather than watched by inotify: that sees every way of replacing them (a new file
//! moved over the old, certbot's links into other directories, Kubernetes' link to a directory that is exchanged as a
//! whole, a network's file system) without a list of what to watch. The time it takes is bounded.

use crate::{
    config::{Bundle, PemFile, certificate_paths, collect_certificates},
    l7::tls::problem,
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    task,
    time::{self, Instant},
};

/// Pause between two looks; more if a look takes longer than a [`SHARE`]th of it.
const PAUSE: Duration = Duration::from_millis(500);
/// Looks may take this share of one CPU's time: 2 %.
const SHARE: u32 = 50;

/// What a bundle has of certificates: as typed → what was found there.
type Found = BTreeMap<String, Result<Vec<PemFile>, String>>;

/// Everything by which a change shows: path, device and inode, size, and both times in nanoseconds.
type Marks = Vec<(PathBuf, Option<[i64; 7]>)>;

/// The files of a configuration under observation.
#[derive(Default)]
pub(super) struct Watch {
    /// As they were when last taken up. `None`: that was before the first look, and something may have changed since.
    known: Option<Marks>,
    /// As they were at the last look, if they had changed.
    before: Option<Marks>,
    /// When to look again.
    next: Option<Instant>,
}

impl Watch {
    /// Waits until files changed and then stayed as they are for a moment, so that a chain and its key are taken up
    /// together. May be abandoned at any time.
    pub(super) async fn changed(&mut self, config: &Path, bundle: &Bundle) {
        let places = certificate_paths(config, bundle);
        loop {
            if let Some(next) = self.next {
                time::sleep_until(next).await;
            }
            let looked_at = places.clone();
            let began = Instant::now();
            // Disks may hang; the supervisor must not.
            let Ok(marks) = task::spawn_blocking(move || marks(&looked_at)).await else { return };
            let now = Instant::now();
            self.next = Some(now + PAUSE.max((now - began) * SHARE));
            if self.known.as_ref() == Some(&marks) {
                self.before = None;
            } else if self.known.is_none() || self.before.as_ref() == Some(&marks) {
                (self.known, self.before) = (Some(marks), None);
                return;
            } else {
                self.before = Some(marks);
            }
        }
    }
}

/// The marks of all files there, and in directories there. What belongs to a certificate counts too.
fn marks(places: &[PathBuf]) -> Marks {
    let mut marks = Vec::new();
    for place in places {
        let mut files = match fs::read_dir(place) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(_) => ["", ".key", ".ocsp"].map(|ending| beside(place, ending)).to_vec(),
        };
        files.sort();
        marks.extend(files.into_iter().map(|file| {
            let mark = fs::metadata(&file).ok().map(|file| mark(&file));
            (file, mark)
        }));
    }
    marks
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

fn mark(file: &fs::Metadata) -> [i64; 7] {
    let [device, inode, size] = [file.dev(), file.ino(), file.size()].map(u64::cast_signed);
    [device, inode, size, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()]
}

/// `bundle` with what its certificates are now, and what is wrong with some: of those the old stay.
pub(super) fn renewed(config: &Path, bundle: &Bundle) -> (Bundle, Vec<String>) {
    let mut complaints = Vec::new();
    let found = collect_certificates(config, bundle);
    let keeps_key = keys(&bundle.certificates);
    let merged = found.into_iter().map(|(named, now)| {
        let old = bundle.certificates.get(&named).and_then(|old| old.as_ref().ok());
        let merged = match (now, old) {
            (Ok(now), Some(old)) if !now.is_empty() || old.is_empty() => {
                Ok(merge(now, old, &keeps_key, &mut complaints))
            }
            (Ok(_), Some(old)) => {
                complaints.push(format!("{named}: there is no certificate any more"));
                Ok(old.clone())
            }
            (Err(reason), Some(old)) => {
                complaints.push(reason);
                Ok(old.clone())
            }
            (now, None) => now,
        };
        (named, merged)
    });
    let certificates: Found = merged.collect();
    (Bundle { certificates, ..bundle.clone() }, complaints)
}

/// Paths of files that had a key: those must go on having one.
fn keys(found: &Found) -> Vec<&str> {
    let files = found.values().filter_map(|files| files.as_ref().ok()).flatten();
    files.filter(|file| file.pem.reveal().contains("PRIVATE KEY")).map(|file| file.path.as_str()).collect()
}

/// The files as they are now; a bad one as it was, or not at all if it is new.
fn merge(now: Vec<PemFile>, old: &[PemFile], keys: &[&str], complaints: &mut Vec<String>) -> Vec<PemFile> {
    let has_keys = old.iter().any(|file| keys.contains(&file.path.as_str()));
    let checked = |file: PemFile| {
        let before = old.iter().find(|before| before.path == file.path);
        if before == Some(&file) || !has_keys {
            return Some(file);
        }
        let Some(problem) = problem(file.pem.reveal()) else { return Some(file) };
        complaints.push(format!("{}: {problem}", file.path));
        before.cloned()
    };
    now.into_iter().filter_map(checked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::tests::tls::pem;
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

    /// As a key is kept.
    fn write(file: &Path, text: &str) {
        let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
        options.and_then(|mut file| file.write_all(text.as_bytes())).expect("write");
    }

    /// A directory of certificates with its configuration as collected.
    fn collected(directory: &Path) -> Bundle {
        let text =
            "[frontend.a]\nmode = \"http\"\nbind = [{ address = \"*:1\", tls = { certificates = \"certs\" } }]\n";
        fs::write(directory.join("a.toml"), text).expect("write");
        crate::config::collect(&directory.join("a.toml")).expect("bundle")
    }

    fn pems(bundle: &Bundle) -> Vec<String> {
        bundle.certificates["certs"].as_ref().expect("files").iter().map(|file| file.pem.reveal().to_owned()).collect()
    }

    #[test]
    fn good_files_are_taken_up_and_bad_ones_stay_as_they_were() {
        let directory = tempfile::tempdir().expect("directory");
        let (config, certs) = (directory.path().join("a.toml"), directory.path().join("certs"));
        fs::create_dir(&certs).expect("directory");
        let [first, second, third] = ["1.test", "2.test", "3.test"].map(|name| pem(&[name]));
        for (name, text) in [("1.pem", &first), ("2.pem", &second)] {
            write(&certs.join(name), text);
        }
        let bundle = collected(directory.path());
        fs::write(certs.join("1.pem"), "broken").expect("write");
        write(&certs.join("2.pem"), &third);
        fs::write(certs.join("3.pem"), "new and broken").expect("write");
        let (next, complaints) = renewed(&config, &bundle);
        assert_eq!(pems(&next), [first, third]);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].ends_with("certs/1.pem: no certificate in it"), "{complaints:?}");
        fs::remove_dir_all(&certs).expect("remove");
        let (last, complaints) = renewed(&config, &next);
        assert_eq!((last == next, complaints.len()), (true, 1), "a directory that is gone stays as it was");
    }

    #[tokio::test]
    async fn every_way_of_replacing_files_is_seen() {
        let directory = tempfile::tempdir().expect("directory");
        let config = directory.path().join("a.toml");
        let at = |name: &str| directory.path().join(name);
        for version in ["v1", "v2"] {
            fs::create_dir(at(version)).expect("directory");
            write(&at(version).join("1.pem"), &pem(&["a.test"]));
        }
        std::os::unix::fs::symlink("v1", at("certs")).expect("link");
        let bundle = collected(directory.path());
        let mut watch = Watch::default();
        watch.changed(&config, &bundle).await;
        let quiet = time::timeout(PAUSE * 3, watch.changed(&config, &bundle)).await;
        quiet.expect_err("nothing has changed");
        let exchange = || {
            std::os::unix::fs::symlink("v2", at("next")).expect("link");
            fs::rename(at("next"), at("certs")).expect("rename");
        };
        let rewrite = || write(&at("v2").join("1.pem"), &pem(&["b.test"]));
        let add_staple = || fs::write(at("v2").join("1.pem.ocsp"), "bytes").expect("write");
        let remove = || fs::remove_file(at("v2").join("1.pem.ocsp")).expect("remove");
        for change in [&exchange as &dyn Fn(), &rewrite, &add_staple, &remove] {
            change();
            time::timeout(PAUSE * 8, watch.changed(&config, &bundle)).await.expect("it is seen");
        }
    }
}
