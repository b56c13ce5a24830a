//! Certificates for tests, and TLS as clients see it.

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// A self-signed certificate with an ECDSA key, as a PEM file has it.
pub(crate) fn pem(names: &[&str]) -> String {
    pem_with_key(names, &KeyPair::generate().expect("key"))
}

pub(crate) fn pem_with_key(names: &[&str], key: &KeyPair) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).expect("names").self_signed(key).expect("certificate");
    format!("{}{}", certificate.pem(), key.serialize_pem())
}

/// A client that trusts that certificate alone and offers those protocols.
pub(super) fn connector(trusted: &str, protocols: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).expect("certificate")).expect("root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}
