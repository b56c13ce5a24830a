//! What may be shown of a certificate: everything but its key.

use super::facts::{name, printable};
use crate::l7::acl::value::hexadecimal;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::net::IpAddr;
use x509_parser::{
    extensions::GeneralName,
    prelude::{ASN1Time, X509Certificate},
    public_key::PublicKey,
    x509::X509Name,
};

/// A certificate as operators know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Shown {
    /// Hexadecimal digits.
    pub(crate) serial: String,
    /// As OpenSSL writes it: `Nov 30 11:50:08 2026 GMT`.
    pub(crate) not_before: String,
    /// The same.
    pub(crate) not_after: String,
    /// `DNS:a.example, IP Address:192.0.2.1`
    pub(crate) alternative_names: String,
    /// Kind and bits of its key: `RSA2048`, `EC256`.
    pub(crate) algorithm: String,
    /// SHA-1 of all of it, in hexadecimal digits.
    pub(crate) fingerprint: String,
    /// `/C=FR/CN=x`
    pub(crate) subject: String,
    /// The same.
    pub(crate) issuer: String,
    /// The subjects of those that follow it in its file.
    pub(crate) chain: Vec<String>,
}

impl Shown {
    /// The first certificate of a PEM text. `None`: there is none that we can read.
    pub(crate) fn new(pem: &str) -> Option<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
        let (first, others) = chain.split_first()?;
        let certificate = parsed(first)?;
        Some(Self {
            serial: digits(certificate.raw_serial()),
            not_before: date(certificate.validity().not_before),
            not_after: date(certificate.validity().not_after),
            alternative_names: alternative_names(&certificate),
            algorithm: algorithm(&certificate),
            fingerprint: digits(digest(&SHA1_FOR_LEGACY_USE_ONLY, first).as_ref()),
            subject: line(certificate.subject()),
            issuer: line(certificate.issuer()),
            chain: others.iter().filter_map(|other| Some(line(parsed(other)?.subject()))).collect(),
        })
    }
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    Some(x509_parser::parse_x509_certificate(certificate).ok()?.1)
}

fn digits(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&hexadecimal(bytes)).into_owned()
}

fn line(of: &X509Name<'_>) -> String {
    String::from_utf8_lossy(&name(of).line()).into_owned()
}

fn date(time: ASN1Time) -> String {
    let text = time.to_string();
    format!("{} GMT", text.strip_suffix(" +00:00").unwrap_or(&text))
}

fn algorithm(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA{}", key.key_size()),
        Ok(PublicKey::EC(point)) => format!("EC{}", point.key_size()),
        Ok(_) | Err(_) => certificate.public_key().algorithm.algorithm.to_id_string(),
    }
}

/// Names of other kinds are seldom, and left out.
fn alternative_names(certificate: &X509Certificate<'_>) -> String {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    let shown = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{}", printable(name))),
        GeneralName::IPAddress(bytes) => {
            let ip = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            Some(format!("IP Address:{}", ip.ok()?))
        }
        GeneralName::RFC822Name(name) => Some(format!("email:{}", printable(name))),
        GeneralName::URI(name) => Some(format!("URI:{}", printable(name))),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber, date_time_ymd};

    #[test]
    fn a_certificate_is_shown_as_haproxy_does() {
        let mut params = CertificateParams::new(vec!["a.test".to_owned(), "b.test".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, "a.test");
        params.serial_number = Some(SerialNumber::from_slice(&[0x12, 0xab]));
        (params.not_before, params.not_after) = (date_time_ymd(2026, 11, 3), date_time_ymd(2027, 1, 30));
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        let shown = Shown::new(&pem).unwrap();
        assert_eq!((&*shown.serial, &*shown.algorithm, shown.fingerprint.len()), ("12AB", "EC256", 40));
        assert_eq!((&*shown.not_before, &*shown.not_after), ("Nov  3 00:00:00 2026 GMT", "Jan 30 00:00:00 2027 GMT"));
        assert_eq!(shown.alternative_names, "DNS:a.test, DNS:b.test, IP Address:192.0.2.1");
        assert_eq!((&*shown.subject, &*shown.issuer, shown.chain.len()), ("/CN=a.test", "/CN=a.test", 0));
        assert_eq!(Shown::new(&key.serialize_pem()), None);
    }
}
