//! One certificate, one cipher, one group for all. Clients offer nothing else, so no balancer can choose another.

use anyhow::{Context, Result};
use lb_tests::secret;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The certificate's key.
pub(super) const CERTIFICATE: &str = "ECDSA P-256, self-signed";
/// OpenSSL's name of the cipher.
pub(super) const CIPHER: &str = "TLS_AES_128_GCM_SHA256";
/// OpenSSL's name of the group of the key exchange.
const GROUP: &str = "X25519";

pub(super) struct Tls {
    /// A PEM file of certificate and key.
    pub(super) pem: PathBuf,
    /// Restricts programs that use OpenSSL.
    openssl: PathBuf,
    client: Arc<ClientConfig>,
    agreed: OnceLock<String>,
}

/// A connection of ours.
pub(super) type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Tls {
    /// Makes the certificate.
    pub(super) fn make(directory: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["bench.example.com".to_owned()])?;
        let (pem, openssl) = (directory.join("bench.pem"), directory.join("openssl.cnf"));
        secret::keep(&pem, format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))?;
        fs::write(
            &openssl,
            format!(
                "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = only\n[only]\nMinProtocol = TLSv1.3\n\
                 Ciphersuites = {CIPHER}\nGroups = {GROUP}\n"
            ),
        )?;
        Ok(Self { pem, openssl, client: Arc::new(client()?), agreed: OnceLock::new() })
    }

    /// Restricts a program that uses OpenSSL to what all use.
    pub(super) fn restrict(&self, command: &mut Command) {
        command.env("OPENSSL_CONF", &self.openssl);
    }

    /// Opens a connection; the handshake happens with the first bytes.
    pub(super) fn connect(&self, address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let name = ServerName::try_from("bench.example.com")?;
        Ok(StreamOwned::new(ClientConnection::new(Arc::clone(&self.client), name)?, stream))
    }

    /// Remembers what a connection has agreed on.
    pub(super) fn note(&self, connection: &Connection) -> Result<()> {
        let tls = &connection.conn;
        let cipher = tls.negotiated_cipher_suite().context("no cipher")?.suite();
        let group = tls.negotiated_key_exchange_group().context("no group")?.name();
        let version = tls.protocol_version().context("no version")?;
        self.agreed.get_or_init(|| format!("{version:?} {cipher:?} {group:?}"));
        Ok(())
    }

    /// What was agreed on.
    pub(super) fn agreed(&self) -> Result<String> {
        self.agreed.get().cloned().context("no connection over TLS was made")
    }
}

fn client() -> Result<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let provider = Arc::new(provider);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config =
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Trusts every certificate: what is measured is made here.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
