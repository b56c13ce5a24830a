//! Everything a configuration is made of, read once by the process that may: the supervisor. The worker, which may not,
//! gets it as JSON and loads it again.

use super::{
    disk, document,
    file::{Check, File, OwnKeys},
    read::{Knob, OneOrMany},
    text, validate,
};
use crate::model::Secret;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
};
use thiserror::Error;
use zeroize::Zeroize as _;

/// All inputs of a configuration. `Debug` shows no certificate, no key and no value of the environment.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bundle {
    /// The TOML files, in the order they are merged.
    pub files: Vec<ConfigFile>,
    /// The variables that the files name and the environment has.
    pub environment: BTreeMap<String, Secret>,
    /// What the files name as certificates, as typed (with `${NAME}` replaced) → the PEM files found there, or why not.
    pub certificates: BTreeMap<String, Result<Vec<PemFile>, String>>,
    /// What ACLs, maps, answers and checks name as files → what is in them, or why they cannot be read.
    #[serde(default)]
    pub texts: BTreeMap<String, Result<Secret, String>>,
    /// What is named as error files → what is in them, or why they cannot be read.
    #[serde(default)]
    pub error_files: BTreeMap<String, Result<Vec<u8>, String>>,
    /// The programs that check servers → nothing, or why they cannot be run. Those that cannot be looked at are not among them.
    #[serde(default)]
    pub commands: BTreeMap<String, Result<(), String>>,
    /// `/etc/resolv.conf`, if a server is known by its name; `None`: there is none that could be read, and none is needed.
    #[serde(default)]
    pub resolv_conf: Option<String>,
    /// `/etc/hosts`, likewise.
    #[serde(default)]
    pub hosts: Option<String>,
    /// CPUs that this process may use: the default of `threads`.
    pub cpus: usize,
}

/// One TOML file. `Debug` shows its path alone.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConfigFile {
    /// For messages.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// One PEM file: chain and key.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct PemFile {
    /// Where it was read from.
    pub path: String,
    /// Its content, followed by that of FILE.key if there is one.
    pub pem: Secret,
    /// The content of FILE.ocsp, if there is one.
    pub staple: Option<Vec<u8>>,
}

/// Why a configuration could not be read at all. What is wrong inside it is for [`load`](super::load).
#[derive(Debug, Error)]
pub enum CollectError {
    /// The file or directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the configuration is no text.
    #[error("{path}:{line}:{column}: not valid UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line of the first byte that is wrong, from 1.
        line: usize,
        /// Its column, from 1, in characters.
        column: usize,
    },
    /// A directory without configuration.
    #[error("{path} has no file whose name ends in .toml")]
    NoFiles {
        /// The directory.
        path: PathBuf,
    },
}

/// Reads the configuration at `path`: one file, or the `*.toml` of a directory in the order of their names; then the
/// environment variables, certificates and other files that it names.
pub fn collect(path: &Path) -> Result<Bundle, CollectError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CollectError::Read { path, source }
    };
    let is_directory = fs::metadata(path).map_err(failed(path))?.is_dir();
    let (directory, paths) = if is_directory {
        let mut paths = visible_files(path).map_err(failed(path))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        (path, paths)
    } else {
        (path.parent().unwrap_or(path), vec![path.to_owned()])
    };
    if paths.is_empty() {
        return Err(CollectError::NoFiles { path: path.to_owned() });
    }
    let read = |path: PathBuf| {
        let text = String::from_utf8(disk::bytes(&path).map_err(failed(&path))?);
        let text = text.map_err(|wrong| not_text(&path, wrong.as_bytes(), wrong.utf8_error().valid_up_to()))?;
        Ok(ConfigFile { path: path.display().to_string(), text })
    };
    let files = paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let mut bundle = Bundle { environment: environment(&files), files, cpus, ..Bundle::default() };
    // What is wrong with the files is for `load` to say.
    let file = document::read(&bundle).map(|(file, _)| file).unwrap_or_default();
    bundle.certificates = named_certificates(&file)
        .into_iter()
        .map(|named| (named.to_owned(), certificates(&certificate_path(directory, named))))
        .collect();
    let passwords = named_passwords(&file);
    bundle.texts = validate::wanted_texts(&file, &bundle)
        .into_iter()
        .map(|named| {
            let text = text_file(&directory.join(&named), passwords.contains(&named.as_str()));
            (named, text)
        })
        .collect();
    let commands = named_commands(&file).into_iter();
    bundle.commands = commands.filter_map(|named| Some((named.to_owned(), command(Path::new(named))?))).collect();
    if validate::has_host_names(&file) {
        bundle.resolv_conf = disk::text(Path::new(RESOLV_CONF)).ok();
        bundle.hosts = disk::text(Path::new(HOSTS)).ok();
    }
    let named = named_error_files(&file).into_iter();
    bundle.error_files = named.map(|named| (named.to_owned(), error_file(&directory.join(named)))).collect();
    Ok(bundle)
}

/// Reads again what `bundle`, which was collected from `config`, has of other files than certificates: a bundle of nothing else.
pub(crate) fn collect_files(config: &Path, bundle: &Bundle) -> Bundle {
    let directory = if config.is_dir() { config } else { config.parent().unwrap_or(config) };
    let file = document::read(bundle).map(|(file, _)| file).unwrap_or_default();
    let passwords = named_passwords(&file);
    let text = |named: &String| text_file(&directory.join(named), passwords.contains(&named.as_str()));
    let texts = bundle.texts.keys().map(|named| (named.clone(), text(named))).collect();
    let error_files =
        bundle.error_files.keys().map(|named| (named.clone(), error_file(&directory.join(named)))).collect();
    Bundle { texts, error_files, ..Bundle::default() }
}

/// Reads again what `bundle`, which was collected from `config`, has of certificates.
pub(crate) fn collect_certificates(config: &Path, bundle: &Bundle) -> BTreeMap<String, Result<Vec<PemFile>, String>> {
    let paths = certificate_paths(config, bundle);
    bundle.certificates.keys().cloned().zip(paths.iter().map(|path| certificates(path))).collect()
}

/// Where the certificates of `bundle`, which was collected from `config`, come from: files and directories, in the order
/// of `certificates`.
pub(crate) fn certificate_paths(config: &Path, bundle: &Bundle) -> Vec<PathBuf> {
    let directory = if config.is_dir() { config } else { config.parent().unwrap_or(config) };
    bundle.certificates.keys().map(|named| certificate_path(directory, named)).collect()
}

/// Where a name of the configuration leads.
fn certificate_path(directory: &Path, named: &str) -> PathBuf {
    if named == SYSTEM { PathBuf::from(SYSTEM_AUTHORITIES) } else { directory.join(named) }
}

/// That `bytes` are text only up to there.
fn not_text(path: &Path, bytes: &[u8], valid: usize) -> CollectError {
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let line = before.rsplit('\n').next().unwrap_or_default();
    CollectError::NotText {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
    }
}

/// The variables that the files name, as far as they are set.
fn environment(files: &[ConfigFile]) -> BTreeMap<String, Secret> {
    let names = files.iter().flat_map(|file| text::names(&file.text));
    names
        .filter(|name| !name.is_empty())
        .filter_map(|name| Some((name.to_owned(), Secret::new(std::env::var(name).ok()?))))
        .collect()
}

/// What `file` names as certificates, authorities and revocation lists.
pub(super) fn named_certificates(file: &File) -> Vec<&str> {
    let frontends = file.frontend.value().into_iter().flat_map(|named| &named.0);
    let binds = frontends.filter_map(|(_, frontend)| frontend.bind.value()).flat_map(|OneOrMany(binds)| binds);
    let mut many = Vec::new();
    for tls in binds.filter_map(|bind| bind.value.0.tls.value()) {
        many.extend([&tls.certificates, &tls.client_ca, &tls.crl]);
    }
    let mut named = Vec::new();
    for (_, backend) in file.backend.value().into_iter().flat_map(|named| &named.0) {
        let servers = backend.server.value().into_iter().flatten().map(|server| &server.value.tls);
        let check = backend.check.value().into_iter().flat_map(Check::all_tls);
        for tls in servers.chain([&backend.tls]).chain(check).filter_map(Knob::value) {
            many.extend([&tls.ca, &tls.crl]);
            named.extend(tls.certificate.value());
        }
    }
    named.extend(many.into_iter().filter_map(Knob::value).flat_map(|OneOrMany(texts)| texts).map(|text| &text.value));
    named.into_iter().map(|text| text.value.as_str()).collect()
}

/// What `file` names as error files.
pub(super) fn named_error_files(file: &File) -> Vec<&str> {
    let frontends = file.frontend.value().into_iter().flat_map(|named| &named.0).map(|(_, it)| &it.errorfile);
    let backends = file.backend.value().into_iter().flat_map(|named| &named.0).map(|(_, it)| &it.errorfile);
    let defaults = file.defaults.value().map(|defaults| &defaults.errorfile);
    let tables = frontends.chain(backends).chain(defaults).filter_map(Knob::value);
    tables.flat_map(|table| &table.0).map(|(_, text)| text.value.as_str()).collect()
}

/// The files that have passwords.
fn named_passwords(file: &File) -> Vec<&str> {
    let passwords = checks(file).filter_map(|check| match &check.own {
        Some(OwnKeys::Redis(own)) => own.password_file.value(),
        Some(OwnKeys::Ftp(own)) => own.password_file.value(),
        Some(OwnKeys::Ldap(own)) => own.password_file.value(),
        Some(OwnKeys::Mysql(own)) => own.password_file.value(),
        Some(OwnKeys::Pgsql(own)) => own.password_file.value(),
        Some(_) | None => None,
    });
    passwords.map(|password| password.value.as_str()).collect()
}

/// The programs that check servers.
fn named_commands(file: &File) -> Vec<&str> {
    let commands = checks(file).filter_map(|check| match &check.own {
        Some(OwnKeys::Exec(own)) => own.command.value(),
        Some(_) | None => None,
    });
    commands.map(|command| command.value.as_str()).filter(|command| command.starts_with('/')).collect()
}

fn checks(file: &File) -> impl Iterator<Item = &Check> {
    file.backend.value().into_iter().flat_map(|named| &named.0).filter_map(|(_, it)| it.check.value())
}

/// Whether somebody may run what is there; `None`: one would have to be somebody else to know.
fn command(path: &Path) -> Option<Result<(), String>> {
    Some(match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err("not a regular file".to_owned()),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Err("nobody may execute it".to_owned()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        Err(error) => Err(error.to_string()),
    })
}

/// What nobody else may read, if it `is_secret`.
fn text_file(path: &Path, is_secret: bool) -> Result<Secret, String> {
    let read = if is_secret { disk::secret(path) } else { disk::text(path).map(Secret::new) };
    read.map_err(|error| format!("{}: {error}", path.display()))
}

fn error_file(path: &Path) -> Result<Vec<u8>, String> {
    if path == Path::new("/dev/null") {
        return Ok(Vec::new());
    }
    let bytes = disk::bytes(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() > MAX_ERROR_FILE {
        return Err(format!("{}: larger than 64 KiB", path.display()));
    }
    Ok(bytes)
}

/// The PEM files at `path`: itself, or what is in it, as HAProxy's `crt` does it: in the order of names, without hidden
/// files and without what belongs to another file.
fn certificates(path: &Path) -> Result<Vec<PemFile>, String> {
    let failed = |path: &Path, error: &io::Error| format!("{}: {error}", path.display());
    let paths = if path.is_dir() {
        let belongs =
            |path: &PathBuf| path.extension().is_some_and(|ending| COMPANIONS.iter().any(|known| ending == *known));
        let mut paths = visible_files(path).map_err(|error| failed(path, &error))?;
        paths.retain(|path| !belongs(path));
        paths
    } else {
        vec![path.to_owned()]
    };
    paths.iter().map(|path| pem_file(path).map_err(|error| failed(path, &error))).collect()
}

fn pem_file(path: &Path) -> io::Result<PemFile> {
    let mut pem = disk::pem(path)?;
    let mut key = path.as_os_str().to_owned();
    key.push(".key");
    if fs::exists(&key)? {
        pem = Secret::new([pem.reveal(), disk::pem(Path::new(&key))?.reveal()].join("\n"));
    }
    let mut staple = path.as_os_str().to_owned();
    staple.push(".ocsp");
    let staple = if fs::exists(&staple)? { Some(disk::bytes(Path::new(&staple))?) } else { None };
    Ok(PemFile { path: path.display().to_string(), pem, staple })
}

/// The files of a directory in the order of their names, without hidden ones and without directories. What cannot be looked at,
/// as a link to nothing, counts as a file: that it cannot be read should not go unnoticed.
fn visible_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && !fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Passwords may stand in it.
impl Drop for ConfigFile {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.iter().map(|file| &file.path).collect();
        let environment: Vec<_> = self.environment.keys().collect();
        f.debug_struct("Bundle")
            .field("files", &files)
            .field("environment", &environment)
            .field("certificates", &self.certificates)
            .field("texts", &self.texts.keys())
            .field("error_files", &self.error_files.keys())
            .field("commands", &self.commands)
            .field("resolv_conf", &self.resolv_conf)
            .field("hosts", &self.hosts.as_ref().map(String::len))
            .field("cpus", &self.cpus)
            .finish()
    }
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Instead of a file: the authorities that this machine believes.
pub(crate) const SYSTEM: &str = "system";
/// Where Debian, and most others, have them.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whom this machine asks for the addresses of names.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The names that it need not ask for.
const HOSTS: &str = "/etc/hosts";

/// Four times HAProxy's `tune.bufsize`, which bounds such files there.
const MAX_ERROR_FILE: usize = 64 << 10;

/// Endings of files that belong to a certificate.
const COMPANIONS: [&str; 4] = ["key", "issuer", "ocsp", "sctl"];
