//! TLS: what a bind offers to clients, and what is demanded of servers.

use super::Secret;
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// A certificate chain with its key, as read from one PEM file. `Debug` shows the path alone.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct Certificate {
    /// Where it was read from.
    pub path: PathBuf,
    /// The whole file: chain and key.
    pub pem: Secret,
    /// What FILE.ocsp has: the answer of an OCSP responder (RFC 6960), in DER, that is stapled to the certificate.
    pub staple: Option<Vec<u8>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A file of certificates without keys, or of revocation lists, in PEM.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Pem {
    /// Where it was read from.
    pub path: PathBuf,
    /// The whole file.
    pub pem: String,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a bind with certificates offers to clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BindTls {
    /// Clients that ask for no name, or for one that no certificate has, are refused. Default: false.
    pub strict_sni: bool,
    /// Protocols (RFC 7301), the best first. `None`: `h2` and `http/1.1` for `http`, nothing for `tcp`.
    pub alpn: Option<Vec<String>>,
    /// Versions and algorithms.
    pub algorithms: Algorithms,
    /// Client certificates; `None`: clients are not asked for one.
    pub clients: Option<Clients>,
    /// Whether clients may resume sessions. Default: true.
    pub tickets: bool,
    /// Longest handshake. Default: 10 s.
    pub timeout: Duration,
}

impl Default for BindTls {
    fn default() -> Self {
        Self {
            strict_sni: false,
            alpn: None,
            algorithms: Algorithms::default(),
            clients: None,
            tickets: true,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Versions and algorithms.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Algorithms {
    /// The oldest version. Default: TLS 1.2.
    pub min_version: TlsVersion,
    /// Cipher suites of TLS 1.2, the best first; empty: all.
    pub ciphers: Vec<Cipher>,
    /// Cipher suites of TLS 1.3, the best first; empty: all.
    pub ciphersuites: Vec<CipherSuite>,
    /// Groups for the exchange of keys, the best first; empty: the usual ones.
    pub curves: Vec<Curve>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246).
    #[default]
    V12,
    /// 1.3 (RFC 8446).
    V13,
}

/// A cipher suite of TLS 1.2: its number (IANA, "TLS Cipher Suites").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cipher(pub u16);

/// A cipher suite of TLS 1.3: its number, of the same registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CipherSuite(pub u16);

/// A group for the exchange of keys: its number (IANA, "TLS Supported Groups").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Curve(pub u16);

/// Which clients may come in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Clients {
    /// Whose certificates are believed.
    pub authorities: Vec<Pem>,
    /// Certificates that are believed no more.
    pub revoked: Vec<Pem>,
    /// Whether a client without certificate is refused. One with a certificate that is not believed is refused always.
    pub required: bool,
}

/// How a server is spoken to in TLS.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ServerTls {
    /// Whose certificates are believed; `None`: any certificate of anyone (`verify = "none"`).
    pub authorities: Option<Vec<Pem>>,
    /// Certificates that are believed no more.
    pub revoked: Vec<Pem>,
    /// The name that is asked for, and that the certificate must have.
    pub sni: Sni,
    /// Protocols that are offered (RFC 7301), the best first.
    pub alpn: Vec<String>,
    /// What we show if the server asks who we are.
    pub certificate: Option<Certificate>,
    /// The oldest version.
    pub min_version: TlsVersion,
}

/// How a server is spoken to, if in TLS; shared by the servers of a backend.
pub type SharedServerTls = Option<Arc<ServerTls>>;

/// The name that a server is asked for.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Sni {
    /// `Host` of the request, without port, as HAProxy does since 3.3.
    #[default]
    Host,
    /// Always this one.
    Name(String),
}

/// Suites of TLS 1.2 by OpenSSL's names, which HAProxy's `ssl-default-bind-ciphers` takes.
pub const CIPHERS: &[(&str, Cipher)] = &[
    ("ECDHE-ECDSA-AES128-GCM-SHA256", Cipher(0xc02b)),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", Cipher(0xc02c)),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", Cipher(0xcca9)),
    ("ECDHE-RSA-AES128-GCM-SHA256", Cipher(0xc02f)),
    ("ECDHE-RSA-AES256-GCM-SHA384", Cipher(0xc030)),
    ("ECDHE-RSA-CHACHA20-POLY1305", Cipher(0xcca8)),
];

/// Suites of TLS 1.3 (RFC 8446 §B.4).
pub const CIPHERSUITES: &[(&str, CipherSuite)] = &[
    ("TLS_AES_128_GCM_SHA256", CipherSuite(0x1301)),
    ("TLS_AES_256_GCM_SHA384", CipherSuite(0x1302)),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite(0x1303)),
];

/// Groups by OpenSSL's names.
pub const CURVES: &[(&str, Curve)] = &[
    ("X25519MLKEM768", Curve(0x11ec)),
    ("SecP256r1MLKEM768", Curve(0x11eb)),
    ("X25519", Curve(0x001d)),
    ("P-256", Curve(0x0017)),
    ("P-384", Curve(0x0018)),
    ("MLKEM768", Curve(0x0201)),
    ("MLKEM1024", Curve(0x0202)),
];
