//! TLS of binds and servers: what must be given together, and that the files named are what they should be.

use super::{Use, range};
use crate::{
    config::{
        bundle::{Bundle, PemFile},
        error::Diagnostic,
        file::{Backend, Mode, ServerTls as TypedServer, ServerVerify, Tls, Verify},
        read::{Knob, OneOrMany},
        source::At,
        text::Text,
    },
    l7::tls::problem,
    model::{Algorithms, BindTls, Certificate, Clients, Pem, ServerTls, SharedServerTls, Sni, TlsVersion},
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, pem::PemObject};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// Certificates, and what is offered with them; no certificates: clear text.
pub(super) fn of_bind(
    tls: Option<&At<Tls>>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> (Vec<Certificate>, BindTls) {
    let Some(At { value: tls, span }) = tls else { return (Vec::new(), BindTls::default()) };
    if tls.certificates.is_absent() {
        out.push(Diagnostic::error(*span, "`tls` needs `certificates`"));
    }
    let sources = not_empty("certificates", &tls.certificates, out);
    let certificates = sources.iter().flat_map(|source| certificates(&source.value, bundle, out)).collect();
    check_versions(tls, out);
    let timeout = [&tls.timeout_client_hs, &Knob::Absent];
    let bind = BindTls {
        strict_sni: tls.strict_sni.or(false),
        alpn: tls.alpn.given().map(|_| protocols(&tls.alpn, out)),
        algorithms: Algorithms {
            min_version: tls.min_version.or(TlsVersion::default()),
            ciphers: values("ciphers", &tls.ciphers, out),
            ciphersuites: values("ciphersuites", &tls.ciphersuites, out),
            curves: values("curves", &tls.curves, out),
        },
        clients: clients(tls, bundle, out),
        tickets: tls.tickets.or(true),
        timeout: range::duration(timeout, "timeout_client_hs", range::TIMEOUT, HANDSHAKE, out),
    };
    (certificates, bind)
}

/// `ciphers` is of TLS 1.2 alone.
fn check_versions(tls: &Tls, out: &mut Vec<Diagnostic>) {
    if let (Some(ciphers), Some(At { value: TlsVersion::V13, span })) = (tls.ciphers.given(), tls.min_version.given()) {
        let error = Diagnostic::error(ciphers.span, "`ciphers` is of TLS 1.2, which is not spoken here");
        out.push(error.related(*span, "the oldest version").help("the suites of TLS 1.3 are `ciphersuites`"));
    }
}

fn clients(tls: &Tls, bundle: &Bundle, out: &mut Vec<Diagnostic>) -> Option<Clients> {
    let verify = tls.verify.value().copied();
    if let Some(At { value: Verify::Optional | Verify::Required, span }) = tls.verify.given()
        && tls.client_ca.is_absent()
    {
        let error = Diagnostic::error(*span, "`verify` needs `client_ca`: whose certificates to believe");
        out.push(error.help("client_ca = \"FILE\", a PEM file of the authorities' certificates"));
    }
    if let (Some(crl), true) = (tls.crl.given(), tls.client_ca.is_absent()) {
        out.push(Diagnostic::error(crl.span, "`crl` needs `client_ca`, whose certificates it revokes"));
    }
    let authorities = files::<CertificateDer<'_>>("client_ca", "certificate", &tls.client_ca, bundle, out);
    let revoked = files::<CertificateRevocationListDer<'_>>("crl", "revocation list", &tls.crl, bundle, out);
    let required = match verify.unwrap_or(Verify::Required) {
        Verify::None => return None,
        Verify::Optional => false,
        Verify::Required => true,
    };
    (!authorities.is_empty()).then_some(Clients { authorities, revoked, required })
}

/// How servers are spoken to; `None`: in clear text, or not said here.
pub(super) fn of_server(knob: &Knob<TypedServer>, bundle: &Bundle, out: &mut Vec<Diagnostic>) -> SharedServerTls {
    let At { value: tls, span } = knob.given()?;
    let verifies = tls.verify.value() != Some(&ServerVerify::None);
    if verifies && tls.ca.is_absent() {
        let error = Diagnostic::error(*span, "`tls` needs `ca`: whose certificates to believe");
        out.push(error.help("ca = \"FILE\", or ca = \"system\"; `verify = \"none\"` believes anyone"));
    }
    let without = [("ca", tls.ca.given()), ("crl", tls.crl.given())];
    for (key, at) in without.into_iter().filter_map(|(key, at)| Some((key, at?))).filter(|_| !verifies) {
        let error = Diagnostic::error(at.span, format!("`verify = \"none\"` believes anyone: `{key}` has no effect"));
        out.push(error.help(format!("leave out one of them: `{key}` or `verify`")));
    }
    let authorities = files::<CertificateDer<'_>>("ca", "certificate", &tls.ca, bundle, out);
    let own = tls.certificate.value().map_or_else(Vec::new, |source| certificates(source, bundle, out));
    if let Some(source) = tls.certificate.given().filter(|_| own.len() > 1) {
        out.push(Diagnostic::error(source.span, "`certificate` is one file, not a directory of several"));
    }
    Some(Arc::new(ServerTls {
        authorities: verifies.then_some(authorities),
        revoked: files::<CertificateRevocationListDer<'_>>("crl", "revocation list", &tls.crl, bundle, out),
        sni: sni(&tls.sni, out),
        alpn: protocols(&tls.alpn, out),
        certificate: own.into_iter().next(),
        min_version: tls.min_version.or(TlsVersion::default()),
    }))
}

/// Packets of `l4` frontends pass as they are.
pub(super) fn check_mode(typed: &Backend, uses: &[&Use<'_>], out: &mut Vec<Diagnostic>) {
    let servers = typed.server.value().into_iter().flatten().map(|server| &server.value.tls);
    let Some(l4) = uses.iter().find(|used| used.mode == Some(Mode::L4)) else { return };
    for tls in servers.chain([&typed.tls]).filter_map(Knob::given) {
        let message = format!("l4 frontend `{}` cannot speak TLS: it forwards packets as they are", l4.frontend);
        let error = Diagnostic::error(tls.span, message).related(l4.span, "used here");
        out.push(error.help("use mode \"tcp\" or \"http\", or leave out `tls`"));
    }
}

fn sni(knob: &Knob<Text>, out: &mut Vec<Diagnostic>) -> Sni {
    let Some(text) = knob.value().filter(|text| text.value != "host") else { return Sni::Host };
    if text.value.parse::<IpAddr>().is_ok() || ServerName::try_from(text.value.as_str()).is_err() {
        let error = Diagnostic::error(text.span, format!("`{text}` is not a host name"));
        out.push(error.help("such as \"app.example.com\", or \"host\": that of the request"));
    }
    Sni::Name(text.value.clone())
}

/// RFC 7301 §3.1: 1 to 255 bytes each.
fn protocols(knob: &Knob<OneOrMany<Text>>, out: &mut Vec<Diagnostic>) -> Vec<String> {
    let protocols = not_empty("alpn", knob, out);
    for At { value, span } in protocols {
        if value.value.is_empty() || value.value.len() > 255 {
            out.push(Diagnostic::error(*span, "a protocol has 1 to 255 bytes").help("such as \"h2\" or \"http/1.1\""));
        }
    }
    protocols.iter().map(|protocol| protocol.value.value.clone()).collect()
}

fn not_empty<'a, T>(key: &str, knob: &'a Knob<OneOrMany<T>>, out: &mut Vec<Diagnostic>) -> &'a [At<T>] {
    let Some(At { value: OneOrMany(values), span }) = knob.given() else { return &[] };
    if values.is_empty() {
        out.push(Diagnostic::error(*span, format!("`{key}` names nothing")));
    }
    values
}

fn values<T: Copy>(key: &str, knob: &Knob<OneOrMany<T>>, out: &mut Vec<Diagnostic>) -> Vec<T> {
    not_empty(key, knob, out).iter().map(|value| value.value).collect()
}

/// The chains with keys that one entry names, as [`collect`](crate::config::collect) found them.
fn certificates(source: &Text, bundle: &Bundle, out: &mut Vec<Diagnostic>) -> Vec<Certificate> {
    let files = found(source, bundle, out);
    for (file, problem) in files.iter().filter_map(|file| Some((file, problem(file.pem.reveal())?))) {
        out.push(Diagnostic::error(source.span, format!("{}: {problem}", file.path)));
    }
    let certificate = |PemFile { path, pem, staple }: &PemFile| Certificate {
        path: path.into(),
        pem: pem.clone(),
        staple: staple.clone(),
    };
    files.iter().map(certificate).collect()
}

/// The files that the entries name, each with at least one `T`, which is a `what`.
fn files<T: PemObject>(
    key: &str,
    what: &str,
    knob: &Knob<OneOrMany<Text>>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Vec<Pem> {
    let mut all = Vec::new();
    for At { value: source, span } in not_empty(key, knob, out) {
        for file in found(source, bundle, out) {
            let objects: Result<Vec<T>, _> = T::pem_slice_iter(file.pem.reveal().as_bytes()).collect();
            match objects.as_deref() {
                Err(_) => {
                    out.push(Diagnostic::error(*span, format!("{}: not a PEM file, or a damaged one", file.path)));
                }
                Ok([]) => out.push(Diagnostic::error(*span, format!("{}: no {what} in it", file.path))),
                Ok(_) => all.push(Pem { path: (&file.path).into(), pem: file.pem.reveal().to_owned() }),
            }
        }
    }
    all
}

/// What was read for an entry.
fn found<'a>(source: &Text, bundle: &'a Bundle, out: &mut Vec<Diagnostic>) -> &'a [PemFile] {
    let mut failed = |message: String| out.push(Diagnostic::error(source.span, message));
    match bundle.certificates.get(&source.value) {
        None => failed(format!("the certificates in `{source}` were not read")),
        Some(Err(reason)) => failed(format!("cannot read certificates from `{source}`: {reason}")),
        Some(Ok(files)) if files.is_empty() => failed(format!("there is no certificate in `{source}`")),
        Some(Ok(files)) => return files,
    }
    &[]
}

const HANDSHAKE: Duration = Duration::from_secs(10);
