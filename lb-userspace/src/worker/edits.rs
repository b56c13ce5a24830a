//! Edits: what somebody has changed over the runtime API in the configuration that is served, until the next one is read. Pure.

use crate::{
    config::{
        self, Bundle, PemFile,
        outline::{Outline, outline},
    },
    model::{Model, Secret},
};
use std::{net::SocketAddr, sync::Arc};

/// What the configuration was read from, and what is different since.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    /// What it is read from again, with the lists and certificates of now.
    bundle: Arc<Bundle>,
    /// What is different from what is read there; of each thing the last word.
    changes: Vec<Change>,
    /// A certificate that is not taken up yet.
    pub(super) pending: Option<Pending>,
}

/// Another certificate for a file.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The file that it takes the place of, as it was read.
    pub(super) file: String,
    /// The chain and its key.
    pub(super) pem: Secret,
}

/// Something of the configuration that is different.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// Where a server is.
    Address {
        /// Its backend.
        backend: String,
        /// Its name.
        server: String,
        /// There.
        address: SocketAddr,
    },
    /// How many connections of clients a frontend takes; 0: any number.
    Frontend {
        /// Its name.
        name: String,
        /// So many.
        limit: u32,
    },
    /// How many all frontends together take; 0: any number.
    All(u32),
}

impl Change {
    /// Says it of a model. What it is about may have gone.
    fn apply(&self, model: &mut Model) {
        match self {
            Self::Address { backend, server, address } => {
                let servers = model.backends.iter_mut().filter(|it| it.name == *backend).flat_map(|it| &mut it.servers);
                servers.filter(|it| it.name == *server).for_each(|it| it.address = *address);
            }
            Self::Frontend { name, limit } => {
                let named = model.frontends.iter_mut().filter(|frontend| frontend.name == *name);
                named.for_each(|frontend| frontend.maxconn = *limit);
            }
            Self::All(limit) => model.global.max_connections = Some(*limit).filter(|limit| *limit > 0),
        }
    }

    /// Whether both are about the same.
    fn is_about(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Address { backend, server, .. },
                Self::Address { backend: other_backend, server: other_server, .. },
            ) => backend == other_backend && server == other_server,
            (Self::Frontend { name, .. }, Self::Frontend { name: other, .. }) => name == other,
            (Self::All(_), Self::All(_)) => true,
            (Self::Address { .. } | Self::Frontend { .. } | Self::All(_), _) => false,
        }
    }
}

impl Edits {
    /// Nothing is different from what was read.
    pub(super) fn none(bundle: Bundle) -> Self {
        Self { bundle: Arc::new(bundle), ..Self::default() }
    }

    /// With one thing different, in that model and in those that are read after it.
    pub(super) fn changed(&self, change: Change, model: &mut Model) -> Self {
        change.apply(model);
        let mut edits = self.clone();
        edits.changes.retain(|before| !before.is_about(&change));
        edits.changes.push(change);
        edits
    }

    /// What is in a list. `None`: it is not there.
    pub(super) fn list(&self, file: &str) -> Option<&str> {
        self.bundle.texts.get(file)?.as_ref().ok().map(Secret::reveal)
    }

    /// The certificates that were read, in the order of their files.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &PemFile> {
        self.bundle.certificates.values().flatten().flatten()
    }

    /// With something else in a list, and the model of that.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn with_list(&self, file: &str, text: String) -> Result<(Self, Model), String> {
        let mut bundle = Bundle::clone(&self.bundle);
        bundle.texts.insert(file.to_owned(), Ok(Secret::new(text)));
        self.reading(bundle)
    }

    /// With the certificate that was not taken up yet, and the model of that.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn with_pending(&self) -> Result<(Self, Model), String> {
        let mut bundle = Bundle::clone(&self.bundle);
        if let Some(Pending { file, pem }) = &self.pending {
            for known in bundle.certificates.values_mut().flatten().flatten().filter(|known| known.path == *file) {
                (known.pem, known.staple) = (pem.clone(), None); // An answer of OCSP is about the certificate before.
            }
        }
        let (edits, model) = self.reading(bundle)?;
        Ok((Self { pending: None, ..edits }, model))
    }

    fn reading(&self, bundle: Bundle) -> Result<(Self, Model), String> {
        let mut model = match config::load(&bundle) {
            Ok(loaded) => loaded.model,
            Err(wrong) => return Err(wrong.iter().next().map(|wrong| wrong.message.clone()).unwrap_or_default()),
        };
        self.changes.iter().for_each(|change| change.apply(&mut model));
        Ok((Self { bundle: Arc::new(bundle), ..self.clone() }, model))
    }

    /// As its keys and values, which another configuration is compared with.
    pub(super) fn outline(&self) -> Outline {
        outline(&self.bundle, &format!("{:032x}", fastrand::u128(..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;

    const TEXT: &str = r#"
        [frontend.web]
        mode = "http"
        bind = "127.0.0.1:8080"
        acl = { blocked = "src -f blocked.lst" }
        rule = [{ if = "blocked", deny = 403 }]
        default_backend = "app"
        [backend.app]
        server = [{ name = "a", address = "127.0.0.1:9000" }]
    "#;

    fn edits() -> (Edits, Model) {
        let file = ConfigFile { path: "sluice.toml".to_owned(), text: TEXT.to_owned() };
        let texts = [("blocked.lst".to_owned(), Ok(Secret::new("10.0.0.1\n")))].into();
        let bundle = Bundle { files: vec![file], texts, cpus: 1, ..Bundle::default() };
        let model = match config::load(&bundle) {
            Ok(loaded) => loaded.model,
            Err(wrong) => panic!("{}", wrong.render(config::Format::Short)),
        };
        (Edits::none(bundle), model)
    }

    #[test]
    fn what_was_changed_stays_changed_when_a_list_changes() {
        let (edits, mut model) = edits();
        let limit = |limit| Change::Frontend { name: "web".to_owned(), limit };
        let edits = edits.changed(limit(5), &mut model);
        let edits = edits.changed(Change::All(9), &mut model).changed(limit(7), &mut model);
        assert_eq!((edits.changes.len(), model.frontends[0].maxconn), (2, 7));
        let (edits, after) = edits.with_list("blocked.lst", "10.0.0.2\n".to_owned()).unwrap();
        assert_eq!((after.frontends[0].maxconn, after.global.max_connections), (7, Some(9)));
        assert_ne!(after.frontends[0].kind, model.frontends[0].kind, "its rules compare with something else");
        assert_eq!(edits.list("blocked.lst"), Some("10.0.0.2\n"));
    }

    #[test]
    fn what_cannot_be_in_a_list_is_said_and_nothing_is_different() {
        let (edits, _) = edits();
        let wrong = edits.with_list("blocked.lst", "10.0.0.1\nfoo\n".to_owned()).unwrap_err();
        assert_eq!(wrong, "`foo` is not an address, nor a prefix of one");
        assert_eq!(edits.list("blocked.lst"), Some("10.0.0.1\n"));
    }
}
