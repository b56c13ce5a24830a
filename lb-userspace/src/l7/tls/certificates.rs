//! From a PEM file to a certificate with its key, and the names that it is for.

use super::TlsError;
use crate::model::Certificate;
use rustls::{
    SignatureAlgorithm,
    crypto::aws_lc_rs::sign::any_supported_type,
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::sync::Arc;
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};
use zeroize::Zeroizing;

/// A certificate chain, its key, and whom it is for.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Lower-case, each either a host name or `*.` and a domain.
    pub names: Vec<String>,
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
}

impl Identity {
    /// Takes a certificate as it was read from disk, with what is stapled to it.
    pub fn new(certificate: &Certificate) -> Result<Self, TlsError> {
        Self::from_pem(certificate.pem.reveal(), certificate.staple.clone())
    }

    /// Reads a chain and its key from PEM text, in any order, and makes sure that they belong together.
    fn from_pem(pem: &str, staple: Option<Vec<u8>>) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let first = chain.first().ok_or(TlsError::NoCertificate)?;
        let names = names(first)?;
        let mut key = CertifiedKey::new(chain, key(pem)?);
        key.keys_match()?;
        key.ocsp = staple;
        Ok(Self { names, key: Arc::new(key) })
    }

    /// Whether its signatures are the cheap ones to make.
    pub fn is_elliptic(&self) -> bool {
        !matches!(self.key.key.algorithm(), SignatureAlgorithm::RSA)
    }
}

/// The private key in a PEM text. What is left of it here is wiped, which those do not who take keys by value.
fn key(pem: &str) -> Result<Arc<dyn SigningKey>, TlsError> {
    let der = Zeroizing::new(PrivateKeyDer::from_pem_slice(pem.as_bytes())?);
    Ok(any_supported_type(&der)?)
}

/// What is wrong with a chain and its key, found before anything depends on it. Never quotes them, and so never shows the
/// parser's own errors, which may.
pub(crate) fn problem(pem: &str) -> Option<&'static str> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let keys: Result<Vec<_>, _> =
        PrivateKeyDer::pem_slice_iter(pem.as_bytes()).map(|key| key.map(Zeroizing::new)).collect();
    let problem = match (chain, keys) {
        (Err(_), _) | (_, Err(_)) => "not a PEM file, or a damaged one",
        (Ok(chain), _) if chain.is_empty() => "no certificate in it",
        (_, Ok(keys)) if keys.is_empty() => "no private key in it, nor beside it in a file of the same name and .key",
        (_, Ok(keys)) if keys.len() > 1 => "more than one private key in it",
        (Ok(_), Ok(_)) => match Identity::from_pem(pem, None) {
            Ok(_) => return None,
            Err(TlsError::Certificate(_)) => "not a certificate (X.509)",
            Err(TlsError::Refused(rustls::Error::InconsistentKeys(_))) => "the private key is of another certificate",
            Err(_) => "a private key that cannot be used",
        },
    };
    Some(problem)
}

/// The DNS names of a certificate; its common name only if it has none (RFC 6125 §6.4.4).
pub(super) fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, TlsError> {
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
