//! What is known of a TLS connection after its handshake, for conditions, header fields and the log. Certificates are
//! parsed when first asked about.

use crate::{
    l7::acl::{Certificate, Name, Tls},
    model::{CIPHERS, CIPHERSUITES},
};
use aws_lc_rs::digest;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use rustls_pki_types::CertificateDer;
use std::{cell::OnceCell, fmt::Write as _};
use x509_parser::{
    objects::{oid_registry, oid2abbrev},
    prelude::X509Certificate,
    x509::X509Name,
};

/// A TLS connection of a client.
#[derive(Debug)]
pub(crate) struct TlsFacts {
    /// The name that the client asked for, in lower case: HAProxy's `ssl_fc_sni`.
    pub(crate) sni: Option<Box<str>>,
    /// The protocol agreed on: `ssl_fc_alpn`.
    pub(crate) alpn: Option<Box<[u8]>>,
    /// "TLSv1.2" or "TLSv1.3": `ssl_fc_protocol`.
    pub(crate) version: &'static str,
    /// OpenSSL's name of the cipher suite: `ssl_fc_cipher`.
    pub(crate) cipher: &'static str,
    /// Whether an older session was taken up: `ssl_fc_is_resumed`.
    #[cfg_attr(not(test), expect(dead_code, reason = "nobody asks yet but the tests of tickets"))]
    pub(crate) resumed: bool,
    /// The client's certificate; it was verified, or there would be no connection (`ssl_c_verify` is 0).
    pub(crate) client: Option<ClientCertificate>,
    /// The name decided about certificates or admission; see [`misdirected`].
    names_matter: bool,
    /// The same as conditions see it, once one has asked.
    seen: OnceCell<Box<Tls>>,
}

impl TlsFacts {
    /// Of a connection after its handshake.
    pub(super) fn new(connection: &ServerConnection, names_matter: bool) -> Self {
        let first = connection.peer_certificates().and_then(|chain| chain.first());
        Self {
            sni: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
            alpn: connection.alpn_protocol().map(Into::into),
            version: version(connection.protocol_version()),
            cipher: connection.negotiated_cipher_suite().map_or("", |suite| cipher(suite.suite().into())),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client: first.map(|der| ClientCertificate { der: der.clone().into_owned(), parsed: OnceCell::new() }),
            names_matter,
            seen: OnceCell::new(),
        }
    }

    /// As conditions see it.
    pub(crate) fn for_conditions(&self) -> &Tls {
        self.seen.get_or_init(|| Box::new(self.to_tls()))
    }

    /// Of a connection that asks for that name, of which nothing else is known.
    pub(in crate::l7) fn asking_for(sni: &str) -> Self {
        let sni = Some(sni.to_ascii_lowercase().into());
        let (alpn, version, cipher, resumed, client, names_matter) = (None, "", "", false, None, false);
        Self { sni, alpn, version, cipher, resumed, client, names_matter, seen: OnceCell::new() }
    }

    /// Of which conditions see this.
    #[cfg(test)]
    pub(in crate::l7) fn seen_as(tls: Tls) -> Self {
        let (sni, alpn, version, cipher) = (None, None, "", "");
        let (resumed, client, names_matter) = (false, None, false);
        Self { sni, alpn, version, cipher, resumed, client, names_matter, seen: OnceCell::from(Box::new(tls)) }
    }

    fn to_tls(&self) -> Tls {
        let certificate = |shown: &ClientCertificate| {
            let fields = shown.fields();
            Certificate {
                // It was verified, or there would be no connection.
                verify: 0,
                subject: fields.map(|fields| fields.subject.clone()).unwrap_or_default(),
                issuer: fields.map(|fields| fields.issuer.clone()).unwrap_or_default(),
                serial: fields.map(|fields| fields.serial.as_slice().into()).unwrap_or_default(),
                sha1: shown.sha1(),
            }
        };
        Tls {
            sni: self.sni.clone(),
            alpn: self.alpn.clone(),
            protocol: Some(self.version.into()),
            cipher: Some(self.cipher.into()),
            certificate: self.client.as_ref().map(certificate),
        }
    }
}

const fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "",
    }
}

fn cipher(agreed: u16) -> &'static str {
    let newest = CIPHERSUITES.iter().map(|(name, suite)| (*name, suite.0));
    let mut known = newest.chain(CIPHERS.iter().map(|(name, suite)| (*name, suite.0)));
    known.find(|(_, suite)| *suite == agreed).map_or("", |(name, _)| name)
}

/// Whether the `Host` of a request contradicts the name of the handshake where that decided who may come in: such a
/// request gets 421 (RFC 9110 §15.5.20), upon which clients ask again on a connection of their own. That is where clients
/// show certificates, as with nginx, and where names are strict. Elsewhere a client of HTTP/2 may use one connection for
/// all names of a certificate (RFC 9113 §9.1.1). `host` may have a port.
pub(crate) fn misdirected(facts: &TlsFacts, host: &str) -> bool {
    let Some(sni) = facts.sni.as_deref().filter(|_| facts.names_matter) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    !name.trim_end_matches('.').eq_ignore_ascii_case(sni.trim_end_matches('.'))
}

/// The certificate that a client has shown.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// All of it: `ssl_c_der`.
    pub(crate) der: CertificateDer<'static>,
    parsed: OnceCell<Option<Fields>>,
}

/// What conditions and header fields ask of a certificate.
#[derive(Debug)]
pub(crate) struct Fields {
    /// `ssl_c_s_dn`.
    pub(crate) subject: Name,
    /// `ssl_c_i_dn`.
    pub(crate) issuer: Name,
    /// `ssl_c_serial`, as in the certificate, big-endian.
    pub(crate) serial: Vec<u8>,
}

impl ClientCertificate {
    /// `None`: more exotic than we can read, although it was verified.
    pub(crate) fn fields(&self) -> Option<&Fields> {
        let parse = || x509_parser::parse_x509_certificate(&self.der).ok().map(|(_, parsed)| Fields::new(&parsed));
        self.parsed.get_or_init(parse).as_ref()
    }

    /// SHA-1 of the whole certificate, which HAProxy's `ssl_c_sha1` is: a name for it, no proof of anything.
    pub(crate) fn sha1(&self) -> [u8; 20] {
        let mut sum = [0; 20];
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        for (to, from) in sum.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        sum
    }
}

impl Fields {
    fn new(certificate: &X509Certificate<'_>) -> Self {
        Self {
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            serial: certificate.raw_serial().to_vec(),
        }
    }
}

/// A text of a certificate. Control characters would forge lines of a log, or header fields.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

/// Attributes by OpenSSL's short names, in the order of the certificate.
pub(super) fn name(name: &X509Name<'_>) -> Name {
    let attributes = name.iter_attributes().map(|attribute| {
        let kind = attribute.attr_type();
        let short = oid2abbrev(kind, oid_registry()).map_or_else(|_| kind.to_id_string(), str::to_owned);
        let value: String = match attribute.as_str() {
            Ok(text) => printable(text),
            Err(_) => attribute.as_slice().iter().fold(String::new(), |mut hex, byte| {
                let _infallible = write!(hex, "\\x{byte:02X}");
                hex
            }),
        };
        (short.into(), value.into_bytes().into())
    });
    Name(attributes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber};

    fn facts(sni: Option<&str>, names_matter: bool) -> TlsFacts {
        let (version, cipher) = ("TLSv1.3", "TLS_AES_128_GCM_SHA256");
        let sni = sni.map(Into::into);
        TlsFacts { sni, version, cipher, names_matter, ..TlsFacts::seen_as(Tls::default()) }
    }

    #[test]
    fn a_host_that_is_not_the_name_of_the_handshake_matters_where_names_do() {
        let strict = facts(Some("a.test"), true);
        for host in ["a.test", "A.test", "a.test:8443", "a.test."] {
            assert!(!misdirected(&strict, host), "{host}");
        }
        for host in ["b.test", "a.test.b.test", "", "[::1]:443"] {
            assert!(misdirected(&strict, host), "{host}");
        }
        assert!(!misdirected(&facts(None, true), "b.test"), "there was no name");
        assert!(!misdirected(&facts(Some("a.test"), false), "b.test"), "the name decided nothing");
    }

    #[test]
    fn a_certificate_tells_what_openssl_tells() {
        let mut params = CertificateParams::new(vec!["client.test".to_owned()]).expect("names");
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::OrganizationName, "Example\nCo");
        params.distinguished_name.push(DnType::CommonName, "client 1");
        params.serial_number = Some(SerialNumber::from_slice(&[0x12, 0x34]));
        let certificate = params.self_signed(&KeyPair::generate().expect("key")).expect("certificate");
        let shown = ClientCertificate { der: certificate.der().clone(), parsed: OnceCell::new() };
        let fields = shown.fields().expect("fields");
        assert_eq!(fields.subject.line(), b"/C=DE/O=Example?Co/CN=client 1");
        assert_eq!(fields.issuer.line(), fields.subject.line());
        assert_eq!(fields.serial, [0x12, 0x34]);
        assert_eq!(shown.sha1().len(), digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, b"").as_ref().len());
    }
}
