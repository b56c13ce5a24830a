//! `show`, `set`, `commit` and `abort` of `ssl cert`. What is committed lasts until the certificates are read again: who wants it
//! to stay changes the file too.

use super::{Running, Said, Worker, word};
use crate::{
    config::PemFile,
    l7::tls::{problem, shown::Shown},
    model::Secret,
    worker::edits::Pending,
};
use std::{collections::BTreeSet, fmt::Write as _, path::Path};
use tracing::info;

const NONE_PENDING: &str = "No ongoing transaction!";
const NOT_FOUND: &str = "Can't display the certificate: Not found or the certificate is a bundle!";

impl Running {
    /// The files that have a certificate with its key, by name.
    fn certificates(&self) -> Vec<&PemFile> {
        let (model, mut used) = (&self.configured, BTreeSet::new());
        let of_binds = model.frontends.iter().flat_map(|frontend| &frontend.binds).flat_map(|bind| &bind.certificates);
        used.extend(of_binds.map(|certificate| &*certificate.path));
        let servers = model.backends.iter().flat_map(|backend| &backend.servers);
        used.extend(servers.filter_map(|server| Some(&*server.tls.as_ref()?.certificate.as_ref()?.path)));
        let mut files: Vec<_> = self.edits.certificates().filter(|file| used.contains(Path::new(&file.path))).collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        files.dedup_by(|one, other| one.path == other.path);
        files
    }

    fn certificate(&self, file: &str) -> Option<&PemFile> {
        self.certificates().into_iter().find(|known| known.path == file)
    }

    /// `show ssl cert [<file>]`; `*<file>` is what was not committed yet.
    pub(super) fn show_certificates(&self, rest: &[String]) -> Said {
        let (named, pending) = (word(rest, 0), self.edits.pending.as_ref());
        if named.is_empty() {
            let pending = pending.map(|pending| format!("# transaction\n*{}\n", pending.file)).unwrap_or_default();
            let files = self.certificates();
            let files: String = files.iter().flat_map(|file| [&file.path, "\n"]).collect();
            return Ok(format!("{pending}# filename\n{files}"));
        }
        let (pem, is_used, is_stapled) = if let Some(file) = named.strip_prefix('*') {
            (pending.filter(|pending| pending.file == file).map(|it| &it.pem), false, false)
        } else {
            let file = self.certificate(named);
            (file.map(|file| &file.pem), true, file.is_some_and(|file| file.staple.is_some()))
        };
        let shown = pem.and_then(|pem| Shown::new(pem.reveal())).ok_or(NOT_FOUND)?;
        let status = if is_used { "Used" } else { "Unused" };
        let mut text = format!("Filename: {named}\nStatus: {status}\n");
        let mut line = |name: &str, value: &str| {
            // Writing to a string does not fail.
            _ = writeln!(text, "{name}: {value}");
        };
        line("Serial", &shown.serial);
        line("notBefore", &shown.not_before);
        line("notAfter", &shown.not_after);
        if !shown.alternative_names.is_empty() {
            line("Subject Alternative Name", &shown.alternative_names);
        }
        line("Algorithm", &shown.algorithm);
        line("SHA1 FingerPrint", &shown.fingerprint);
        line("Subject", &shown.subject);
        line("Issuer", &shown.issuer);
        shown.chain.iter().for_each(|subject| line("Chain Subject", subject));
        line("OCSP stapling", if is_stapled { "yes" } else { "no" });
        Ok(text)
    }

    /// `set ssl cert <file> <payload>`: another certificate with its key for a file, not taken up yet.
    pub(super) fn set_certificate(&mut self, rest: &[String], payload: Option<&Secret>) -> Said {
        let (file, Some(payload)) = (word(rest, 0), payload) else {
            return Err("'set ssl cert expects a filename and a certificate as a payload".to_owned());
        };
        if let Some(other) = self.edits.pending.as_ref().filter(|pending| pending.file != file) {
            return Err(is_about(&other.file, file));
        }
        if self.certificate(file).is_none() {
            return Err(format!(
                "Can't replace a certificate which is not referenced by the configuration!\nCan't update {file}!"
            ));
        }
        if let Some(problem) = problem(payload.reveal()) {
            return Err(format!("Can't load the payload: {problem}.\nCan't update {file}!"));
        }
        let before = self.edits.pending.replace(Pending { file: file.to_owned(), pem: payload.clone() });
        let what = if before.is_some() { "updated" } else { "created" };
        Ok(format!("Transaction {what} for certificate {file}!\n"))
    }

    /// `abort ssl cert <file>`.
    pub(super) fn abort_certificate(&mut self, rest: &[String]) -> Said {
        let file = word(rest, 0);
        if file.is_empty() {
            return Err("'abort ssl cert expects a filename".to_owned());
        }
        match &self.edits.pending {
            None => Err(NONE_PENDING.to_owned()),
            Some(pending) if pending.file != file => Err(is_about(&pending.file, file)),
            Some(_) => {
                self.edits.pending = None;
                Ok(format!("Transaction aborted for certificate '{file}'!"))
            }
        }
    }
}

impl Worker {
    /// `commit ssl cert <file>`: handshakes from now on are made with it.
    pub(super) async fn commit_certificate(&mut self, rest: &[String]) -> anyhow::Result<Said> {
        let Some(running) = &self.running else { return Ok(Ok(String::new())) };
        let file = word(rest, 0);
        if file.is_empty() {
            return Ok(Err("'commit ssl cert expects a filename".to_owned()));
        }
        let cannot = |why: &str| Ok(Err(format!("{why}\nCan't commit {file}!")));
        match &running.edits.pending {
            None => return cannot(NONE_PENDING),
            Some(pending) if pending.file != file => return cannot(&is_about(&pending.file, file)),
            Some(_) => {}
        }
        let edits = match running.edits.with_pending() {
            Ok(edits) => edits,
            Err(error) => return cannot(&error),
        };
        if let Err(error) = self.take_up_edits(edits, Running::edit).await? {
            return cannot(&error);
        }
        info!(file, "a certificate was replaced");
        Ok(Ok(format!("Committing {file}.\nSuccess!\n")))
    }
}

fn is_about(pending: &str, file: &str) -> String {
    format!("The ongoing transaction is about '{pending}' but you are trying to set '{file}'")
}
