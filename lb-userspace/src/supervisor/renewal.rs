//! Renewal: certificates, or the files that ACLs and answers are read from, are read again without the text of the
//! configuration, which may be half edited. A file that is bad leaves what it was before.

use super::{Supervisor, certificates, configuration::Configuration};
use crate::{
    channel::message::{Part, ReloadReport},
    config::{self, Bundle, collect_files, outline::changes},
};
use std::{fmt::Write as _, mem, path::Path};
use tokio::task;
use tracing::{error, info};

impl Supervisor {
    /// Takes up what changed of a part, and of nothing else.
    pub(super) async fn renew(&mut self, part: Part) -> ReloadReport {
        let (config, bundle) = (self.options.config.clone(), self.configuration.bundle.clone());
        let read = task::spawn_blocking(move || {
            let (bundle, complaints) = match part {
                Part::Certificates => certificates::renewed(&config, &bundle),
                Part::Files => renewed_files(&config, &bundle),
            };
            (Configuration::of(bundle), complaints)
        });
        let (next, complaints) = match read.await {
            Ok(read) => read,
            Err(error) => return ReloadReport { done: false, report: error.to_string() },
        };
        for complaint in &complaints {
            error!(event = "files", complaint, ?part, "a file cannot be used; the one before goes on");
        }
        let mut report = String::new();
        for complaint in &complaints {
            _ = writeln!(report, "error: {complaint}");
        }
        let taken = match next {
            Ok(next) if next.bundle == self.configuration.bundle => {
                return ReloadReport { done: complaints.is_empty(), report };
            }
            Ok(next) => self.try_to_switch(&next).await.map(|()| next),
            Err(error) => {
                error!(event = "files", error = format!("{error:#}"), ?part, "changed files refused");
                return ReloadReport { done: false, report: report + &format!("{error:#}") };
            }
        };
        match taken {
            Ok(next) => {
                let before = mem::replace(&mut self.configuration, next);
                let changed = changes(&before.bundle, &self.configuration.bundle);
                info!(event = "files", generation = self.generation, ?part, changed, "changed files taken up");
                ReloadReport { done: complaints.is_empty(), report }
            }
            Err(error) => {
                error!(
                    event = "files",
                    error = format!("{error:#}"),
                    ?part,
                    "changed files refused; those before go on"
                );
                _ = writeln!(report, "error: {error:#}");
                ReloadReport { done: false, report }
            }
        }
    }
}

/// `bundle` with what its files are now that are no certificates, and what is wrong with some: of those the old stay.
fn renewed_files(config: &Path, bundle: &Bundle) -> (Bundle, Vec<String>) {
    let now = collect_files(config, bundle);
    let (mut renewed, mut complaints) = (bundle.clone(), Vec::new());
    let mut attempt = |change: &dyn Fn(&mut Bundle), named: &str| {
        let mut next = renewed.clone();
        change(&mut next);
        match config::load(&next) {
            Ok(_) => renewed = next,
            Err(diagnostics) => {
                complaints.push(format!("{named}: {}", diagnostics.render(config::Format::Short).trim_end()));
            }
        }
    };
    for (named, text) in now.texts.iter().filter(|(named, text)| bundle.texts.get(*named) != Some(*text)) {
        attempt(&|next| drop(next.texts.insert(named.clone(), text.clone())), named);
    }
    for (named, file) in now.error_files.iter().filter(|(named, file)| bundle.error_files.get(*named) != Some(*file)) {
        attempt(&|next| drop(next.error_files.insert(named.clone(), file.clone())), named);
    }
    (renewed, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use std::fs;

    #[test]
    fn good_files_are_taken_up_bad_ones_are_named_and_the_text_is_not_read_again() {
        let directory = tempfile::tempdir().expect("directory");
        let at = |name: &str| directory.path().join(name);
        let text = "[frontend.a]\nmode = \"http\"\nbind = \"*:1\"\nacl.bad = \"src -f bad.lst\"\nacl.host = \"hdr(host) -f hosts.lst\"\n\
                    rule = [{ if = \"bad\", deny = 403 }, { if = \"host\", deny = 404 }]\n";
        fs::write(at("a.toml"), text).expect("write");
        fs::write(at("bad.lst"), "10.0.0.0/8\n").expect("write");
        fs::write(at("hosts.lst"), "a.test\n").expect("write");
        let before = config::collect(&at("a.toml")).expect("bundle");
        if let Err(diagnostics) = config::load(&before) {
            panic!("{}", diagnostics.render(config::Format::Short));
        }
        fs::write(at("a.toml"), "half edit").expect("write");
        assert!(renewed_files(&at("a.toml"), &before) == (before.clone(), vec![]));

        fs::write(at("bad.lst"), "10.0.0.0/99\n").expect("write");
        fs::write(at("hosts.lst"), "a.test\nb.test\n").expect("write");
        let (renewed, complaints) = renewed_files(&at("a.toml"), &before);
        assert!(complaints.len() == 1 && complaints[0].starts_with("bad.lst: "), "{complaints:?}");
        let text = |named: &str| renewed.texts[named].as_ref().map(Secret::reveal);
        assert_eq!(text("hosts.lst"), Ok("a.test\nb.test\n"));
        assert_eq!(text("bad.lst"), Ok("10.0.0.0/8\n"));

        fs::remove_file(at("hosts.lst")).expect("remove");
        let (renewed, complaints) = renewed_files(&at("a.toml"), &before);
        assert!(renewed.texts == before.texts && complaints.len() == 2, "{complaints:?}");
    }
}
