//! From a PEM file to a certificate with its key, and the names that it is for.

use super::TlsError;
use rustls::{SignatureAlgorithm, crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::sync::Arc;
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

/// A certificate chain, its key, and whom it is for.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Lower-case, each either a host name or `*.` and a domain.
    pub names: Vec<String>,
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads a chain and its key from PEM text, in any order, and makes sure that they belong together.
    pub fn from_pem(pem: &str, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let first = chain.first().ok_or(TlsError::NoCertificate)?;
        let names = names(first)?;
        let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_slice(pem.as_bytes())?)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match()?;
        Ok(Self { names, key: Arc::new(key) })
    }

    /// Whether its signatures are the cheap ones to make.
    pub fn is_elliptic(&self) -> bool {
        !matches!(self.key.key.algorithm(), SignatureAlgorithm::RSA)
    }
}

/// The DNS names of a certificate; its common name only if it has none (RFC 6125 §6.4.4).
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, TlsError> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| TlsError::Certificate(error.to_string()))?;
    let names = alternative_names(&certificate)?;
    if !names.is_empty() {
        return Ok(names);
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    Ok(common.map(str::to_ascii_lowercase).collect())
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, TlsError> {
    let extension = certificate.subject_alternative_name().map_err(|error| TlsError::Certificate(error.to_string()))?;
    let Some(extension) = extension else { return Ok(Vec::new()) };
    let dns = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
    Ok(dns.map(str::to_ascii_lowercase).collect())
}
