//! Certificates for tests, and TLS as clients see it.

use rcgen::{CertificateParams, KeyPair};

/// A self-signed certificate with an ECDSA key, as a PEM file has it.
pub(crate) fn pem(names: &[&str]) -> String {
    pem_with_key(names, &KeyPair::generate().expect("key"))
}

pub(crate) fn pem_with_key(names: &[&str], key: &KeyPair) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).expect("names").self_signed(key).expect("certificate");
    format!("{}{}", certificate.pem(), key.serialize_pem())
}
