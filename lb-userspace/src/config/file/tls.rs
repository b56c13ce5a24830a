//! `tls` of a bind, and of a server.

use super::{ServerVerify, Verify};
use crate::{
    config::{
        read::{OneOrMany, table},
        text::Text,
    },
    model::{Cipher, CipherSuite, Curve, TlsVersion},
};
use std::time::Duration;

table! {
    /// TLS of a bind.
    struct Tls, "`tls`" {
        /// PEM files of chain and key (the key also in FILE.key, an OCSP answer in DER to staple in FILE.ocsp), or
        /// directories of such, as HAProxy's `crt`; one or an array; relative to the configuration. Files that change are
        /// taken up by themselves. The first is for clients that send no or an unknown name. A file with a key must belong to
        /// root or to the daemon's user, and be closed to others (mode 0640 or less). Required.
        certificates: OneOrMany<Text>,
        /// Refuse clients that send no name, or one that no certificate has, as HAProxy's `strict-sni`. Requests whose
        /// `Host` is another name than that of the handshake then get 421. Default: false.
        strict_sni: bool,
        /// Protocols that are offered, the best first, one or an array, as HAProxy's `alpn`. A client that offers others
        /// alone is served as if it had offered none. Default: `["h2", "http/1.1"]` for `http`, none for `tcp`.
        alpn: OneOrMany<Text>,
        /// The oldest version, `TLSv1.2` or `TLSv1.3`, as HAProxy's `ssl-min-ver`. Default: `TLSv1.2`.
        min_version: TlsVersion,
        /// Cipher suites of TLS 1.2 by OpenSSL's names, the best first, one or an array, as HAProxy's `ciphers`. Default:
        /// all that there are: ECDHE with AES-GCM or ChaCha20.
        ciphers: OneOrMany<Cipher>,
        /// Cipher suites of TLS 1.3, the best first, one or an array, as HAProxy's `ciphersuites`. Default: all three,
        /// `TLS_AES_128_GCM_SHA256` first.
        ciphersuites: OneOrMany<CipherSuite>,
        /// Groups for the exchange of keys, the best first, one or an array, as HAProxy's `curves`. Default:
        /// `["X25519MLKEM768", "X25519", "P-256", "P-384"]`.
        curves: OneOrMany<Curve>,
        /// PEM files of the authorities whose client certificates are believed, one or an array, as HAProxy's `ca-file`.
        /// Default: clients are asked for no certificate.
        client_ca: OneOrMany<Text>,
        /// `required`: clients must show a certificate; `optional`: they may, but one that is not believed is refused;
        /// `none`: they are not asked. As HAProxy's `verify`. Default: `required` with `client_ca`, else `none`. Unless it
        /// is `none`, requests whose `Host` is another name than that of the handshake get 421.
        verify: Verify,
        /// PEM files of revocation lists for `client_ca`, one or an array, as HAProxy's `crl-file`. Default: none.
        crl: OneOrMany<Text>,
        /// Let clients resume sessions, HAProxy's `no-tls-tickets` the other way round. The keys survive a reload. Default:
        /// true.
        tickets: bool,
        /// Longest handshake, 1ms to 24h, as HAProxy's `timeout client-hs`. Default: 10s.
        timeout_client_hs: Duration,
    }
}

table! {
    /// TLS to servers.
    struct ServerTls, "`tls`" {
        /// PEM files of the authorities whose certificates are believed, one or an array, relative to the configuration;
        /// "system": those of this machine, in /etc/ssl/certs/ca-certificates.crt. HAProxy's `ca-file`. Required, but for
        /// `verify = "none"`.
        ca: OneOrMany<Text>,
        /// `required`: the server's certificate must be of such an authority and have the name that was asked for; `none`:
        /// any will do, so that whoever sits in between can read and change everything. Default: `required`, as HAProxy.
        verify: ServerVerify,
        /// The name that the server is asked for and that its certificate must have, or "host": that of the request, as
        /// HAProxy's `sni` and `verifyhost`. In mode `tcp` "host" asks for none: the certificate must then have the server's
        /// address. Default: the host name of a server that is known by one, else "host".
        sni: Text,
        /// Protocols that are offered, the best first, one or an array, as HAProxy's `alpn` of a server. Default: none.
        alpn: OneOrMany<Text>,
        /// PEM file of our chain and key, for servers that ask for it, as HAProxy's `crt` of a server. Default: none.
        certificate: Text,
        /// PEM files of revocation lists for `ca`, one or an array, as HAProxy's `crl-file`. Default: none.
        crl: OneOrMany<Text>,
        /// The oldest version, `TLSv1.2` or `TLSv1.3`, as HAProxy's `ssl-min-ver`. Default: `TLSv1.2`.
        min_version: TlsVersion,
    }
}
