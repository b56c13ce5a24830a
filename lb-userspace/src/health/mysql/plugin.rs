//! The ways to prove a password to MySQL, which it calls plugins.

use crate::health::{Code, Finding, finding::Step};
use aws_lc_rs::{
    digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256},
    rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

/// Those that are known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Plugin {
    /// `mysql_native_password`: the usual one up to MySQL 5.7 and of MariaDB.
    Native,
    /// `caching_sha2_password`: the usual one since MySQL 8.0. What the server has not in its memory it must have in full.
    CachingSha2,
    /// `sha256_password`: always in full.
    Sha256,
    /// `mysql_clear_password`: for servers that ask others, as PAM and LDAP.
    Clear,
}

impl Plugin {
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        [Self::Native, Self::CachingSha2, Self::Sha256, Self::Clear]
            .into_iter()
            .find(|plugin| plugin.name().as_bytes() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Clear => "mysql_clear_password",
        }
    }
}

/// A password, and in what it may be wrapped.
#[derive(Clone, Copy)]
pub(super) struct Proof<'p> {
    pub(super) password: &'p [u8],
    /// The connection went over to TLS, and the server knows that.
    pub(super) encrypted: bool,
    /// The password may go in clear text although it did not.
    pub(super) clear: bool,
}

impl Proof<'_> {
    /// What a plugin sends first; the server's `nonce` makes it worthless for another time.
    pub(super) fn first(self, plugin: Plugin, nonce: &[u8]) -> Step<Vec<u8>> {
        Ok(match plugin {
            Plugin::Native | Plugin::CachingSha2 if self.password.is_empty() => Vec::new(),
            Plugin::Native => {
                let once = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, self.password);
                let twice = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, once.as_ref());
                let mask = [nonce, twice.as_ref()].concat();
                xor(once.as_ref(), digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, &mask).as_ref())
            }
            Plugin::CachingSha2 => {
                let once = digest::digest(&SHA256, self.password);
                let twice = digest::digest(&SHA256, once.as_ref());
                let mask = [twice.as_ref(), nonce].concat();
                xor(once.as_ref(), digest::digest(&SHA256, &mask).as_ref())
            }
            Plugin::Sha256 if self.password.is_empty() => vec![0],
            Plugin::Sha256 if self.encrypted => self.terminated(),
            Plugin::Sha256 => vec![ASK_KEY_SHA256],
            Plugin::Clear if self.encrypted || self.clear => self.terminated(),
            Plugin::Clear => {
                return Err(Finding::new(
                    Code::L7Status,
                    "the server wants the password in clear text: that needs `tls`, or `clear_password`",
                ));
            }
        })
    }

    /// The password as a text with a zero at its end.
    pub(super) fn terminated(self) -> Vec<u8> {
        [self.password, b"\0"].concat()
    }

    /// The password for the owner of a public key in PEM.
    pub(super) fn sealed(self, pem: &[u8], nonce: &[u8]) -> Step<Vec<u8>> {
        if nonce.is_empty() {
            return Err(Finding::strange("no nonce"));
        }
        let clear: Vec<_> =
            self.terminated().iter().zip(nonce.iter().cycle()).map(|(one, other)| one ^ other).collect();
        seal(pem, &clear).ok_or_else(|| Finding::strange("the server's key is not a public key of RSA, or too short"))
    }
}

/// What asks for the server's key, by plugin.
pub(super) const ASK_KEY_SHA256: u8 = 1;
pub(super) const ASK_KEY_CACHING: u8 = 2;

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// RSA with OAEP and SHA-1, as MySQL has it.
fn seal(pem: &[u8], clear: &[u8]) -> Option<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&key).ok()?).ok()?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&OAEP_SHA1_MGF1SHA1, clear, &mut sealed, None).ok()?.len();
    sealed.truncate(length);
    Some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::{
        encoding::AsDer as _,
        rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    };
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    const PROOF: Proof<'_> = Proof { password: b"s3cret", encrypted: false, clear: false };
    const NONCE: &[u8] = b"abcdefghijklmnopqrst";

    fn hex(bytes: &[u8]) -> String {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }

    /// By Python's hashlib.
    #[test]
    fn proofs_are_what_others_compute() {
        let first = |plugin| hex(&PROOF.first(plugin, NONCE).unwrap());
        assert_eq!(first(Plugin::Native), NATIVE);
        assert_eq!(first(Plugin::CachingSha2), CACHING);
        let nobody = Proof { password: b"", ..PROOF };
        assert_eq!(nobody.first(Plugin::Native, NONCE), Ok(vec![]));
        assert_eq!(nobody.first(Plugin::CachingSha2, NONCE), Ok(vec![]));
    }

    #[test]
    fn a_password_is_clear_only_within_tls_or_where_that_is_allowed() {
        let [tls, allowed] = [Proof { encrypted: true, ..PROOF }, Proof { clear: true, ..PROOF }];
        let clear = Ok(b"s3cret\0".to_vec());
        assert_eq!([tls, allowed].map(|proof| proof.first(Plugin::Clear, NONCE)), [clear.clone(), clear.clone()]);
        assert_eq!(PROOF.first(Plugin::Clear, NONCE).unwrap_err().code, Code::L7Status);
        assert_eq!(tls.first(Plugin::Sha256, NONCE), clear);
        assert_eq!([PROOF, allowed].map(|proof| proof.first(Plugin::Sha256, NONCE)), [Ok(vec![1]), Ok(vec![1])]);
    }

    #[test]
    fn only_the_owner_of_a_key_opens_what_is_sealed() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der = private.public_key().as_der().unwrap();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
        let sealed = PROOF.sealed(pem.as_bytes(), NONCE).unwrap();
        let mut opened = [0; 512];
        let key = OaepPrivateDecryptingKey::new(private).unwrap();
        let opened = key.decrypt(&OAEP_SHA1_MGF1SHA1, &sealed, &mut opened, None).unwrap();
        assert_eq!(xor(opened, NONCE), b"s3cret\0");
        for strange in [&b""[..], b"key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(PROOF.sealed(strange, NONCE).unwrap_err().code, Code::L7Response);
        }
        assert_eq!(PROOF.sealed(pem.as_bytes(), b"").unwrap_err().code, Code::L7Response);
    }

    const NATIVE: &str = "8510605a5ec0d3d958058636e0a2ebdfcf34be4c";
    const CACHING: &str = "5661ac17cec0e6001d3747b3aaa0d0c1927fdc43c56deeab05d4c42d73b2b642";
}
