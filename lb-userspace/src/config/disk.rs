//! Files as a process with privileges reads them: regular ones of bounded size, since a path may name a device, or a pipe that
//! nobody writes to; and those with secrets only if they are kept secret on disk, too.

use crate::model::Secret;
use rustix::fs::OFlags;
use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// No configuration and no chain comes near this.
const MAX_FILE: u64 = 16 << 20;
/// What a PEM file has before and after each of its private keys.
const KEY: &str = "PRIVATE KEY-----";

/// What is in a file.
pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    Ok(open_and_read(path)?.1)
}

/// The same, of a text.
pub(super) fn text(path: &Path) -> io::Result<String> {
    utf8(bytes(path)?)
}

/// The same, of one that is secret. Of a link it is the file that counts, not the link.
pub(super) fn secret(path: &Path) -> io::Result<Secret> {
    let (file, bytes) = open_and_read(path)?;
    let secret = Secret::new(utf8(bytes)?);
    require_kept(&file, path, "secret")?;
    Ok(secret)
}

/// The same, of a text in PEM, which is secret if there is a private key in it.
pub(super) fn pem(path: &Path) -> io::Result<Secret> {
    let (file, bytes) = open_and_read(path)?;
    let pem = Secret::new(utf8(bytes)?);
    if pem.reveal().contains(KEY) {
        require_kept(&file, path, "private key")?;
    }
    Ok(pem)
}

fn open_and_read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let file = fs::OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // All at once: a buffer that grows leaves copies of a secret behind.
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_FILE) + 1).unwrap_or_default());
    (&file).take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok((file, bytes))
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_error| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

fn require_kept(file: &File, path: &Path, what: &str) -> io::Result<()> {
    let metadata = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    match exposed(metadata.mode(), metadata.uid(), own) {
        Some(why) => {
            let message = format!("this {what} {why} {}", path.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
        }
        None => Ok(()),
    }
}

/// Why a file with a secret is none, and the command that mends it, to be followed by its path. Its group may read it: Debian's
/// `ssl-cert` is for that.
fn exposed(mode: u32, owner: u32, own: u32) -> Option<String> {
    if owner != 0 && owner != own {
        return Some(format!("belongs to user {owner}, neither to root nor to who reads it: chown {own}"));
    }
    if mode & 0o007 != 0 {
        return Some(format!("is open to every user of this machine (mode {:04o}): chmod 600", mode & 0o7777));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_secret_is_of_root_or_of_its_reader_and_closed_to_others() {
        for (mode, owner, own) in [(0o100_600, 0, 0), (0o100_640, 0, 7), (0o100_440, 7, 7), (0o100_000, 7, 7)] {
            assert_eq!(exposed(mode, owner, own), None, "{mode:o} {owner} {own}");
        }
        let why = |mode, owner, own| exposed(mode, owner, own).expect("exposed");
        assert_eq!(why(0o100_644, 0, 0), "is open to every user of this machine (mode 0644): chmod 600");
        assert_eq!(why(0o100_602, 7, 7), "is open to every user of this machine (mode 0602): chmod 600");
        assert_eq!(why(0o100_600, 7, 0), "belongs to user 7, neither to root nor to who reads it: chown 0");
        assert_eq!(why(0o100_600, 7, 8), "belongs to user 7, neither to root nor to who reads it: chown 8");
    }

    #[test]
    fn of_a_link_the_file_counts_and_certificates_are_for_everyone() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("archive.pem"), directory.path().join("live.pem"));
        symlink("archive.pem", &link).unwrap();
        let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        fs::write(&file, "-----BEGIN CERTIFICATE-----").unwrap();
        mode(0o644);
        pem(&link).unwrap();
        assert!(secret(&link).unwrap_err().to_string().ends_with(&format!("chmod 600 {}", link.display())));
        fs::write(&file, "-----BEGIN EC PRIVATE KEY-----").unwrap();
        let refused = pem(&link).unwrap_err().to_string();
        assert!(refused.starts_with("this private key is open to every user"), "{refused}");
        mode(0o640);
        assert_eq!(pem(&link).unwrap().reveal(), "-----BEGIN EC PRIVATE KEY-----");
        secret(&file).unwrap();
    }
}
