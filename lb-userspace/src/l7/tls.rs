//! TLS of clients: what we offer, and the handshake. Only this folder names rustls.

pub mod certificates;
pub mod sni;

use crate::model::Certificate;
use certificates::Identity;
use rustls::{
    CipherSuite, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ProducesTickets},
    version::{TLS12, TLS13},
};
use sni::Names;
use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{net::TcpStream, time};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// Longest handshake. HAProxy's `timeout client-hs` is usually set so.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What HTTP frontends agree to speak (ALPN), the best first.
const OFFERED: [&[u8]; 2] = [b"h2", b"http/1.1"];

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
    /// rustls refuses the key, the pair or the settings.
    #[error("{0}")]
    Refused(#[from] rustls::Error),
}

/// A connection in TLS, whichever side of it we are.
pub(super) type Stream = tokio_rustls::TlsStream<TcpStream>;

/// Decrypts connections of one bind.
#[derive(Clone)]
pub(super) struct Acceptor {
    config: Arc<ServerConfig>,
    /// For clients that offer none of our protocols: rustls would end the handshake (RFC 7301 §3.2), but HAProxy goes
    /// on as if the client had offered nothing, and so do we.
    silent: Arc<ServerConfig>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// Offers these certificates; for HTTP also its versions, by ALPN. `Err` names the file, if it is about one.
    pub(super) fn new(certificates: &[Certificate], is_http: bool) -> Result<Self, (Option<PathBuf>, TlsError)> {
        let provider = provider();
        let identity = |certificate: &Certificate| {
            Identity::from_pem(&certificate.pem, &provider).map_err(|error| (Some(certificate.path.clone()), error))
        };
        let identities = certificates.iter().map(identity).collect::<Result<Vec<_>, _>>()?;
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13, &TLS12]);
        let builder = builder.map_err(|error| (None, error.into()))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Names::new(identities)));
        config.ignore_client_order = true;
        if let Some(ticketer) = ticketer() {
            config.ticketer = ticketer;
        }
        let silent = Arc::new(config.clone());
        if is_http {
            config.alpn_protocols = OFFERED.map(Vec::from).into();
        }
        Ok(Self { config: Arc::new(config), silent })
    }

    fn config_for(&self, client: &ClientHello<'_>) -> Arc<ServerConfig> {
        let ours = |protocol| self.config.alpn_protocols.iter().any(|offered| offered == protocol);
        let agrees = client.alpn().is_some_and(|mut protocols| protocols.any(ours));
        Arc::clone(if agrees { &self.config } else { &self.silent })
    }
}

/// AES-128-GCM first: it is the fastest where the CPU has AES, and that is nearly everywhere.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// One for the life of the process, so that clients resume after a reload. `None`: no randomness for its keys.
fn ticketer() -> Option<Arc<dyn ProducesTickets>> {
    static TICKETER: OnceLock<Option<Arc<dyn ProducesTickets>>> = OnceLock::new();
    TICKETER.get_or_init(|| aws_lc_rs::Ticketer::new().ok()).clone()
}

/// Does the handshake. Also returns whether HTTP/2 was agreed on.
pub(super) async fn accept(acceptor: &Acceptor, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, bool)> {
    let handshake = async {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let config = acceptor.config_for(&hello.client_hello());
        hello.into_stream(config).await
    };
    let stream = time::timeout(HANDSHAKE, handshake).await??;
    let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((stream, speaks_h2))
}
