//! From the name that a client asks for to a certificate: exact, then wildcard, then the first.

use super::certificates::Identity;
use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{collections::HashMap, sync::Arc};

/// The certificates of a bind by name. A name may have several with keys of different kinds.
#[derive(Debug, Default)]
pub struct Names {
    /// By name as in the certificate: `www.example.com` or `*.example.com`.
    by_name: HashMap<String, Vec<Identity>>,
    default: Vec<Identity>,
    /// Clients that ask for no name, or an unknown one, get nothing.
    strict: bool,
}

impl Names {
    /// The first certificate, with those of its first name, is for clients that ask for none or an unknown one.
    pub fn new(identities: Vec<Identity>, strict: bool) -> Self {
        let mut by_name: HashMap<String, Vec<Identity>> = HashMap::new();
        for identity in &identities {
            for name in &identity.names {
                by_name.entry(name.clone()).or_default().push(identity.clone());
            }
        }
        let first = identities.into_iter().next();
        let shared = first.as_ref().and_then(|first| by_name.get(first.names.first()?)).cloned();
        let mut names = Self { default: shared.unwrap_or_else(|| first.into_iter().collect()), by_name, strict };
        // Elliptic keys first; else the order of the files stays.
        for certificates in names.by_name.values_mut().chain([&mut names.default]) {
            certificates.sort_by_key(|identity| !identity.is_elliptic());
        }
        names
    }

    /// The certificate for a name (if strict, `None` for an unknown one), as far as the client can check its signature; any, if it can check none.
    pub fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let certificates =
            name.and_then(|name| self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard(&name)?)));
        let certificates = certificates.or_else(|| (!self.strict).then_some(&self.default))?;
        let fitting = certificates.iter().find(|identity| identity.key.key.choose_scheme(schemes).is_some());
        fitting.or_else(|| certificates.first()).map(|identity| &identity.key)
    }
}

/// A wildcard stands for exactly one label (RFC 6125 §6.4.3).
fn wildcard(name: &str) -> Option<String> {
    name.split_once('.').map(|(_, domain)| format!("*.{domain}"))
}

impl ResolvesServerCert for Names {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(client.server_name(), client.signature_schemes()).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::{
            tests::tls::{pem, pem_with_key},
            tls::problem,
        },
        model::{Certificate, Secret},
    };

    const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

    fn identity(pem: &str) -> Identity {
        let certificate = Certificate { pem: Secret::new(pem), ..Certificate::default() };
        Identity::new(&certificate).expect("certificate")
    }

    #[test]
    fn exact_names_come_before_wildcards_and_the_first_certificate_takes_the_rest() {
        let files = [pem(&["default.test"]), pem(&["*.example.test", "example.test"]), pem(&["www.example.test"])];
        let names = Names::new(files.iter().map(|pem| identity(pem)).collect(), false);
        let chosen = |name| {
            let key = names.choose(name, &[ECDSA]).expect("certificate");
            files.iter().position(|pem| identity(pem).key.cert == key.cert)
        };
        assert_eq!(chosen(Some("WWW.example.test")), Some(2));
        assert_eq!(chosen(Some("api.example.test")), Some(1));
        assert_eq!(chosen(Some("example.test")), Some(1));
        assert_eq!(chosen(Some("a.b.example.test")), Some(0));
        assert_eq!(chosen(Some("elsewhere.test")), Some(0));
        assert_eq!(chosen(None), Some(0));
    }

    #[test]
    fn strict_names_give_nothing_to_clients_that_ask_for_none_or_another() {
        let names = Names::new(vec![identity(&pem(&["a.test"]))], true);
        assert!(names.choose(Some("a.test"), &[ECDSA]).is_some());
        assert!(names.choose(Some("b.test"), &[ECDSA]).is_none());
        assert!(names.choose(None, &[ECDSA]).is_none());
    }

    #[test]
    fn of_two_keys_of_one_name_the_client_gets_the_one_that_it_can_check() {
        let rsa = pem_with_key(&["a.test"], &rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("key"));
        let names = Names::new(vec![identity(&rsa), identity(&pem(&["a.test"]))], false);
        let is_rsa = |schemes: &[SignatureScheme], name| {
            names.choose(name, schemes).expect("certificate").cert == identity(&rsa).key.cert
        };
        for name in [Some("a.test"), None] {
            assert!(is_rsa(&[RSA], name));
            assert!(!is_rsa(&[ECDSA], name));
            assert!(!is_rsa(&[RSA, ECDSA], name), "the cheaper one is preferred");
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (first, second) = (pem(&["a.test"]), pem(&["b.test"]));
        let (chain, _) = first.split_once("-----BEGIN PRIVATE KEY").expect("key");
        let (_, key) = second.split_once("-----BEGIN PRIVATE KEY").expect("key");
        let mixed = format!("{chain}-----BEGIN PRIVATE KEY{key}");
        assert_eq!(problem(&mixed), Some("the private key is of another certificate"));
        assert_eq!(problem("nothing"), Some("no certificate in it"));
        assert_eq!(problem(&first), None);
    }
}
