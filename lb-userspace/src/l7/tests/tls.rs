//! Certificates for tests, and TLS as clients see it.

use crate::model::{Certificate, Pem, Secret};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, date_time_ymd,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

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

/// A server with that certificate and key.
pub(crate) fn acceptor(own: &str) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(own.as_bytes()).expect("certificate")];
    let key = PrivateKeyDer::from_pem_slice(own.as_bytes()).expect("key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("a pair")))
}

/// What a client of TLS begins with that asks for that name, if any, and offers that protocol, if any.
pub(super) fn hello(name: Option<&str>, protocol: Option<&str>) -> Vec<u8> {
    let connector = connector(&pem(&["x.test"]), protocol.as_slice());
    let mut config = ClientConfig::clone(connector.config());
    config.enable_sni = name.is_some();
    let name = ServerName::try_from(name.unwrap_or("x.test").to_owned()).expect("name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("write");
    bytes
}

/// An authority, and certificates that it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("key");
        let pem = params.self_signed(&key).expect("certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A chain and its key.
    pub(crate) fn sign(&self, name: &str, serial: u8) -> String {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("names");
        params.serial_number = Some(vec![serial].into());
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("key");
        format!("{}{}", params.signed_by(&key, &self.issuer).expect("certificate").pem(), key.serialize_pem())
    }

    /// A list of revoked serials.
    pub(crate) fn revoke(&self, serials: &[u8]) -> String {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: vec![*serial].into(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2044, 1, 1),
            crl_number: vec![1].into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }
}

/// As it is read from a file.
pub(crate) fn file(pem: &str) -> Pem {
    Pem { path: "test.pem".into(), pem: pem.to_owned() }
}

pub(crate) fn certificate(pem: &str) -> Certificate {
    Certificate { path: "test.pem".into(), pem: Secret::new(pem), staple: None }
}
