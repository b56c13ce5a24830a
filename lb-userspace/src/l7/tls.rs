//! TLS, both sides: what we offer to clients, what we demand of servers, and the handshakes. Only this folder names rustls.

pub mod algorithms;
pub mod certificates;
pub mod facts;
pub(crate) mod hello;
pub mod server;
pub(crate) mod shown;
pub mod sni;
pub mod tickets;

pub(crate) use certificates::problem;

use crate::model::{BindTls, Certificate, Clients, Pem};
use certificates::Identity;
pub(super) use facts::{TlsFacts, misdirected};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};
use sni::Names;
use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// What HTTP frontends agree to speak (ALPN), the best first.
const OFFERED: [&str; 2] = ["h2", "http/1.1"];

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or nothing of what was expected in it.
    #[error("{0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// No certificate in the file.
    #[error("no certificate in the file")]
    NoCertificate,
    /// Not X.509.
    #[error("not a certificate: {0}")]
    Certificate(String),
    /// No authority, or a revocation list that cannot be used.
    #[error("{0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
    /// The algorithms leave nothing to agree on, or rustls refuses the key, the pair or the settings.
    #[error("{0}")]
    Refused(#[from] rustls::Error),
}

/// What is wrong, and with which file, if it is about one.
pub(super) type Problem = (Option<PathBuf>, TlsError);

/// A connection in TLS, whichever side of it we are.
pub(super) type Stream = tokio_rustls::TlsStream<TcpStream>;

/// Whether the two ends have agreed on HTTP/2.
pub(super) fn speaks_h2(stream: &Stream) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// Decrypts connections of one bind.
#[derive(Clone)]
pub(super) struct Acceptor {
    config: Arc<ServerConfig>,
    /// For clients that offer none of our protocols: rustls would end the handshake (RFC 7301 §3.2), but HAProxy goes
    /// on as if the client had offered nothing, and so do we.
    silent: Arc<ServerConfig>,
    timeout: Duration,
    /// Whether the name of the handshake decides who may come in.
    names_matter: bool,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// Offers these certificates as `tls` says; for HTTP also its versions, by ALPN.
    pub(super) fn new(certificates: &[Certificate], tls: &BindTls, is_http: bool) -> Result<Self, Problem> {
        let provider = algorithms::provider(&tls.algorithms);
        let identity = |certificate: &Certificate| {
            Identity::new(certificate).map_err(|error| (Some(certificate.path.clone()), error))
        };
        let identities = certificates.iter().map(identity).collect::<Result<Vec<_>, _>>()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(algorithms::versions(tls.algorithms.min_version))
            .map_err(|error| (None, error.into()))?;
        let verifier = match &tls.clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(clients) => verifier(clients, provider)?,
        };
        let names = Arc::new(Names::new(identities, tls.strict_sni));
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(names);
        config.ignore_client_order = true;
        if let Some(ticketer) = tls.tickets.then(|| tickets::ticketer(tls.clients.as_ref())).flatten() {
            config.ticketer = ticketer;
        } else {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        let silent = Arc::new(config.clone());
        let default = if is_http { &OFFERED[..] } else { &[] };
        config.alpn_protocols = match &tls.alpn {
            Some(protocols) => protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
            None => default.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
        };
        let names_matter = tls.strict_sni || tls.clients.is_some();
        Ok(Self { config: Arc::new(config), silent, timeout: tls.timeout, names_matter })
    }

    fn config_for(&self, client: &ClientHello<'_>) -> Arc<ServerConfig> {
        let ours = |protocol| self.config.alpn_protocols.iter().any(|offered| offered == protocol);
        let agrees = client.alpn().is_some_and(|mut protocols| protocols.any(ours));
        Arc::clone(if agrees { &self.config } else { &self.silent })
    }

    /// What is known of a connection after its handshake.
    pub(super) fn facts(&self, stream: &TlsStream<TcpStream>) -> TlsFacts {
        TlsFacts::new(stream.get_ref().1, self.names_matter)
    }
}

/// Believes the authorities' certificates but for the revoked ones.
fn verifier(clients: &Clients, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
    let roots = Arc::new(roots(&clients.authorities)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider)
        .with_crls(revocations(&clients.revoked)?)
        // Lists are of one authority each, as with HAProxy: of others nothing is known.
        .allow_unknown_revocation_status();
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| (clients.revoked.first().map(|pem| pem.path.clone()), error.into()))
}

/// The certificates of `files` as authorities.
fn roots(files: &[Pem]) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for file in files {
        let certificates: Vec<CertificateDer<'_>> = objects(file)?;
        let (_, refused) = roots.add_parsable_certificates(certificates);
        // A bundle of a distribution may have one that nobody can use; a file of which none can be used is a mistake.
        if roots.is_empty() && refused > 0 {
            return Err((Some(file.path.clone()), TlsError::NoCertificate));
        }
    }
    Ok(roots)
}

fn revocations(files: &[Pem]) -> Result<Vec<CertificateRevocationListDer<'static>>, Problem> {
    let lists = files.iter().map(objects).collect::<Result<Vec<_>, _>>()?;
    Ok(lists.into_iter().flatten().collect())
}

/// What is of that kind in the file: at least one.
fn objects<T: PemObject>(file: &Pem) -> Result<Vec<T>, Problem> {
    let failed = |error| (Some(file.path.clone()), TlsError::Pem(error));
    let objects = T::pem_slice_iter(file.pem.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if objects.is_empty() { Err(failed(rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(objects) }
}

/// Does the handshake. Also returns whether HTTP/2 was agreed on.
pub(super) async fn accept(acceptor: &Acceptor, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, bool)> {
    let handshake = async {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let config = acceptor.config_for(&hello.client_hello());
        hello.into_stream(config).await
    };
    let stream = time::timeout(acceptor.timeout, handshake).await??;
    let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((stream, speaks_h2))
}

#[cfg(test)]
mod tests;
