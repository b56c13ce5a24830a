//! TLS to servers: whom we believe, which name we ask for, and who we are.

use super::{
    Problem, algorithms,
    certificates::{Identity, names},
    revocations, roots,
};
use crate::model::{Algorithms, Pem, ServerTls};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    sign::SingleCertAndKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::{fmt, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Names of one server whose sessions are kept for resumption: one, unless clients' `Host` names more.
const SESSIONS: usize = 64;

/// Why there is no TLS connection to a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Whoever answered is not whom we believe.
    #[error("the server's certificate: {0:?}")]
    Certificate(CertificateError),
    /// No agreement, or not TLS.
    #[error("TLS: {0}")]
    Handshake(Error),
    /// What was asked for is neither a host name nor an address.
    #[error("not a name that a certificate can have")]
    Name,
    /// The connection broke.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(reason)) => Self::Certificate(reason.clone()),
            Some(other) => Self::Handshake(other.clone()),
            None => Self::Io(error),
        }
    }
}

/// Makes the connections to one server. Sessions are resumed as long as it lives.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// As `tls` says. `Err` names the file, if it is about one.
    pub(crate) fn new(tls: &ServerTls) -> Result<Self, Problem> {
        Self::with(tls, Resumption::in_memory_sessions(SESSIONS))
    }

    /// The same, but no session is resumed: each handshake looks at the certificate anew.
    pub(crate) fn fresh(tls: &ServerTls) -> Result<Self, Problem> {
        Self::with(tls, Resumption::disabled())
    }

    /// What it makes connections by.
    #[cfg(test)]
    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        self.0.config()
    }

    fn with(tls: &ServerTls, resumption: Resumption) -> Result<Self, Problem> {
        let chosen = Algorithms { min_version: tls.min_version, ..Algorithms::default() };
        let provider = algorithms::provider(&chosen);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(algorithms::versions(tls.min_version))
            .map_err(|error| (None, error.into()))?;
        let builder = match &tls.authorities {
            Some(authorities) => builder.with_webpki_verifier(verifier(authorities, &tls.revoked, provider)?),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
        };
        let mut config = match &tls.certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let failed = |error| (Some(own.path.clone()), error);
                let own = Identity::new(own).map_err(failed)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key)))
            }
        };
        config.alpn_protocols = tls.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config.resumption = resumption;
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Does the handshake on a connection to the server at `ip`. Without a name the certificate must have that address,
    /// unless any is believed.
    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        sni: Option<&str>,
        ip: IpAddr,
    ) -> Result<TlsStream<S>, ConnectError> {
        let name = match sni {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(|_error| ConnectError::Name)?,
            None => ServerName::from(ip),
        };
        Ok(self.0.connect(name, stream).await?)
    }
}

/// The certificate that a server showed, if any.
pub(crate) struct ServerCertificate(Option<CertificateDer<'static>>);

/// Until when a certificate is valid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Validity {
    /// The first of its names.
    pub(crate) name: String,
    /// After the epoch.
    pub(crate) ends_at: Duration,
}

impl ServerCertificate {
    /// That of a handshake.
    pub(crate) fn shown<S>(stream: &TlsStream<S>) -> Self {
        let chain = stream.get_ref().1.peer_certificates();
        Self(chain.and_then(|chain| chain.first()).map(|first| first.clone().into_owned()))
    }

    /// Until when it is valid; `None`: it cannot be read.
    pub(crate) fn validity(&self) -> Option<Validity> {
        let der = self.0.as_ref()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let ends_at = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let name = names(der).ok()?.into_iter().next().unwrap_or_else(|| "no name".to_owned());
        Some(Validity { name, ends_at: Duration::from_secs(ends_at) })
    }
}

fn verifier(
    authorities: &[Pem],
    revoked: &[Pem],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Problem> {
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider)
        .with_crls(revocations(revoked)?)
        .allow_unknown_revocation_status();
    builder.build().map_err(|error| (revoked.first().map(|pem| pem.path.clone()), error.into()))
}

/// Believes any certificate; only that the server has its key is still verified.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
