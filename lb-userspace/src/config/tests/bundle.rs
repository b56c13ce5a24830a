//! What is read from disk, and what is never shown.

use crate::{
    config::{Bundle, ConfigFile, Format, collect, load},
    model::Secret,
};
use std::{collections::BTreeMap, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};
use tempfile::TempDir;

/// A configuration directory with these files.
pub(super) fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).expect("a file");
        file.write_all(text.as_bytes()).expect("written");
    }
    directory
}

/// A chain and its key.
pub(super) fn certificate() -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(["www.example.com".to_owned()]).expect("a certificate");
    (certified.cert.pem(), certified.signing_key.serialize_pem())
}

pub(super) fn short_errors(path: &Path) -> Vec<String> {
    let errors = load(&collect(path).expect("readable files")).expect_err("errors");
    let prefix = format!("{}/", path.display());
    errors.render(Format::Short).replace(&prefix, "").lines().map(str::to_owned).collect()
}

const WWW: &str = "[frontend.www]\nmode = \"http\"\nbind = [{ address = \"*:443\", tls = { certificates = \"certs\" } }]\ndefault_backend = \"web\"\n";
const WEB: &str = "[backend.web]\nserver = [{ name = \"web1\", address = \"10.0.0.1:80\" }]\n";

#[test]
fn a_directory_is_one_configuration_in_the_order_of_names() {
    let directory = directory(&[
        (
            "10-www.toml",
            "[defaults]\ntimeout_client = \"7s\"\n[frontend.www]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n",
        ),
        ("20-web.toml", &format!("[defaults]\ntimeout_server = \"8s\"\n{WEB}")),
        (".hidden.toml", "not toml"),
        ("notes.txt", "not toml"),
    ]);
    let model = load(&collect(directory.path()).expect("readable files")).expect("a model").model;
    assert_eq!(model.frontends[0].timeout_client.as_secs(), 7);
    assert_eq!(model.backends[0].timeout_server.as_secs(), 8);
}

#[test]
fn errors_name_the_file_they_are_in_and_the_file_they_clash_with() {
    let directory = directory(&[
        ("a.toml", &format!("[global]\nthreads = 2\n{WEB}")),
        (
            "b.toml",
            &format!(
                "[global]\nthreads = 3\n{WEB}[frontend.www]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"wbe\"\n"
            ),
        ),
    ]);
    assert_eq!(
        short_errors(directory.path()),
        [
            "b.toml:2:11: error: `threads` is given in two files",
            "b.toml:3:10: error: backend `web` is defined in two files",
            "b.toml:8:19: error: frontend `www` uses backend `wbe`, which does not exist",
        ]
    );
    let errors = load(&collect(directory.path()).expect("readable files")).expect_err("errors").to_string();
    assert!(errors.contains("a.toml:2:11") && errors.contains("first here"), "{errors}");
}

#[test]
fn the_first_configuration_of_the_readme_is_one() {
    let readme = include_str!("../../../../README.md");
    let block = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    let (chain, key) = certificate();
    let directory =
        directory(&[("sluice.toml", &block.replace("/etc/sluice/certs", "certs")), ("certs/www.pem", &(chain + &key))]);
    let bundle = collect(&directory.path().join("sluice.toml")).expect("readable files");
    let model = load(&bundle).expect("a model").model;
    assert!(model.needs_kernel());
    assert_eq!(model.frontends.len(), 2);
}

#[test]
fn certificates_come_from_files_and_directories_with_the_key_inside_or_beside() {
    let (chain, key) = certificate();
    let directory = directory(&[
        ("sluice.toml", &(WWW.replace("\"certs\"", "[\"one.pem\", \"certs\"]") + WEB)),
        ("one.pem", &(chain.clone() + &key)),
        ("certs/b.pem", &(chain.clone() + &key)),
        ("certs/a.crt", &chain),
        ("certs/a.crt.key", &key),
        ("certs/a.crt.ocsp", "not PEM"),
        ("certs/.hidden", "not PEM"),
    ]);
    let bundle = collect(&directory.path().join("sluice.toml")).expect("readable files");
    let model = load(&bundle).expect("a model").model;
    let certificates = &model.frontends[0].binds[0].certificates;
    let names: Vec<_> = certificates.iter().filter_map(|certificate| certificate.path.file_name()?.to_str()).collect();
    assert_eq!(names, ["one.pem", "a.crt", "b.pem"]);
    assert!(certificates.iter().all(|certificate| certificate.pem.reveal().contains("PRIVATE KEY")));
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_at_the_line_that_names_it() {
    let (chain, key) = certificate();
    let directory = directory(&[
        (
            "sluice.toml",
            &(WWW.replace("\"certs\"", "[\n\"gone.pem\",\n\"empty\",\n\"chain.pem\",\n\"key.pem\",\n\"bad.pem\"]")
                + WEB),
        ),
        ("empty/.keep", ""),
        ("chain.pem", &chain),
        ("key.pem", &key),
        ("bad.pem", &key.replace("-----END PRIVATE KEY-----", "")),
    ]);
    assert_eq!(
        short_errors(directory.path()),
        [
            "sluice.toml:4:1: error: cannot read certificates from `gone.pem`: gone.pem: No such file or directory (os error 2)",
            "sluice.toml:5:1: error: there is no certificate in `empty`",
            "sluice.toml:6:1: error: chain.pem: no private key in it, nor beside it in a file of the same name and .key",
            "sluice.toml:7:1: error: key.pem: no certificate in it",
            "sluice.toml:8:1: error: bad.pem: not a PEM file, or a damaged one",
        ]
    );
}

#[test]
fn secrets_are_never_shown_and_survive_the_way_to_the_worker() {
    let (chain, key) = certificate();
    let text = WWW.replace("\"certs\"", "\"${CARGO_PKG_NAME}.pem\"") + WEB;
    let directory = directory(&[("sluice.toml", &text), ("lb-userspace.pem", &(chain + &key))]);
    let bundle = collect(directory.path()).expect("readable files");
    assert_eq!(bundle.environment.keys().collect::<Vec<_>>(), ["CARGO_PKG_NAME"]);
    let json = serde_json::to_string(&bundle).expect("JSON");
    assert_eq!(serde_json::from_str::<Bundle>(&json).expect("a bundle"), bundle);
    let loaded = load(&bundle).expect("a model");
    let shown = format!("{bundle:?} {loaded:?}");
    let secret = key.lines().nth(1).expect("a line of the key");
    assert!(json.contains(secret) && !shown.contains(secret) && !shown.contains("BEGIN"), "{shown}");
}

#[test]
fn values_of_the_environment_are_not_shown_in_errors() {
    let text = WWW.replace("*:443", "${SECRET}") + WEB;
    let files = vec![ConfigFile { path: "sluice.toml".to_owned(), text }];
    let environment = BTreeMap::from([("SECRET".to_owned(), Secret::new("hunter2"))]);
    let bundle = Bundle { files, environment, ..Bundle::default() };
    let errors = load(&bundle).expect_err("errors").render(Format::Full);
    assert!(errors.contains("`${SECRET}`") && !errors.contains("hunter2"), "{errors}");
    assert!(!format!("{bundle:?}").contains("hunter2"));
}

#[test]
fn what_cannot_be_read_is_said_with_its_path() {
    let directory = directory(&[("notes.txt", "")]);
    let none = collect(directory.path()).expect_err("no files").to_string();
    assert!(none.ends_with("has no file whose name ends in .toml"), "{none}");
    let gone = collect(&directory.path().join("gone.toml")).expect_err("no file").to_string();
    assert!(gone.starts_with("cannot read ") && gone.ends_with("gone.toml"), "{gone}");
    let device = collect(Path::new("/dev/zero")).expect_err("a device");
    assert_eq!(std::error::Error::source(&device).map(ToString::to_string).as_deref(), Some("not a regular file"));
}
