//! Where frontends listen: addresses, protocols, certificates, and that no two claim the same.

use super::Entry;
use crate::{
    config::{
        bundle::{Bundle, PemFile},
        error::Diagnostic,
        file::{Bind as Typed, BindForm, Frontend, Mode},
        read::{Knob, OneOrMany},
        source::At,
        text::Text,
    },
    model::{Bind, Certificate, Ports},
};
use lb_common::Protocol;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// The addresses of a frontend. With a faulty `mode`, what depends on it is not checked.
pub(super) fn binds(
    name: &At<String>,
    knob: &Knob<OneOrMany<BindForm>>,
    mode: Option<Mode>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Vec<Bind> {
    let typed = match knob {
        Knob::Given(At { value: OneOrMany(binds), .. }) if !binds.is_empty() => binds,
        Knob::Faulty => return Vec::new(),
        Knob::Given(_) | Knob::Absent => {
            let error = Diagnostic::error(name.span, format!("frontend `{}` listens nowhere", name.value));
            out.push(error.help("give it an address: bind = [\"*:80\"]"));
            return Vec::new();
        }
    };
    typed.iter().map(|bind| one(bind, mode, bundle, out)).collect()
}

fn one(
    At { value: BindForm(typed), span }: &At<BindForm>,
    mode: Option<Mode>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Bind {
    if typed.address.is_absent() {
        out.push(Diagnostic::error(*span, "a bind needs an `address`"));
    }
    match mode {
        Some(Mode::L4) => check_l4(typed, out),
        Some(mode @ (Mode::Tcp | Mode::Http)) => {
            if let Some(At { value: Protocol::Udp, span }) = typed.protocol.given() {
                let error = Diagnostic::error(*span, format!("mode `{}` cannot serve udp", mode.word()));
                out.push(error.help("udp is balanced by the kernel half: mode = \"l4\""));
            }
        }
        None => {}
    }
    let tls = typed.tls.given();
    if let Some(tls) = tls.filter(|tls| tls.value.certificates.is_absent()) {
        out.push(Diagnostic::error(tls.span, "`tls` needs `certificates`"));
    }
    let sources = tls.and_then(|tls| tls.value.certificates.given());
    if let Some(empty) = sources.filter(|sources| sources.value.0.is_empty()) {
        out.push(Diagnostic::error(empty.span, "`certificates` names nothing"));
    }
    let sources = sources.into_iter().flat_map(|sources| &sources.value.0);
    let address = typed.address.or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1));
    Bind {
        address,
        ports: Ports::One(address.port()),
        protocol: typed.protocol.or(Protocol::Tcp),
        certificates: sources.flat_map(|source| certificates(&source.value, bundle, out)).collect(),
    }
}

fn check_l4(typed: &Typed, out: &mut Vec<Diagnostic>) {
    if let Some(At { value: address, span }) = typed.address.given() {
        let ip = address.ip();
        let wrong = match ip {
            IpAddr::V4(v4) if ip.is_unspecified() || v4.is_multicast() || v4.is_broadcast() => Some(
                Diagnostic::error(*span, format!("an l4 frontend needs one address of its own, not `{ip}`"))
                    .help("the kernel half forwards every packet to that address: name the VIP"),
            ),
            IpAddr::V4(_) => None,
            IpAddr::V6(_) => Some(
                Diagnostic::error(*span, "IPv6 in l4 frontends is not supported yet")
                    .help("supported: an IPv4 address; modes `tcp` and `http` serve IPv6"),
            ),
        };
        out.extend(wrong);
    }
    if let Some(tls) = typed.tls.given() {
        let error = Diagnostic::error(tls.span, "an l4 frontend cannot terminate TLS: it forwards packets as they are");
        out.push(error.help("use mode \"tcp\" or \"http\", or let the servers terminate TLS"));
    }
}

/// The certificates that one entry of `certificates` names, as [`collect`](crate::config::collect) found them.
fn certificates(source: &Text, bundle: &Bundle, out: &mut Vec<Diagnostic>) -> Vec<Certificate> {
    let mut failed = |message: String| out.push(Diagnostic::error(source.span, message));
    match bundle.certificates.get(&source.value) {
        None => failed(format!("the certificates in `{source}` were not read")),
        Some(Err(reason)) => failed(format!("cannot read certificates from `{source}`: {reason}")),
        Some(Ok(files)) if files.is_empty() => {
            failed(format!("there is no certificate in `{source}`"));
        }
        Some(Ok(files)) => {
            for file in files {
                if let Some(problem) = problem(file) {
                    failed(format!("{}: {problem}", file.path));
                }
            }
            return files.iter().map(|file| Certificate { path: (&file.path).into(), pem: file.pem.clone() }).collect();
        }
    }
    Vec::new()
}

/// What is wrong with a PEM file. Never quotes it, and so never shows the parser's own error, which may.
fn problem(file: &PemFile) -> Option<&'static str> {
    let pem = file.pem.as_bytes();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let keys: Result<Vec<_>, _> = PrivateKeyDer::pem_slice_iter(pem).collect();
    match (chain, keys) {
        (Err(_), _) | (_, Err(_)) => Some("not a PEM file, or a damaged one"),
        (Ok(chain), _) if chain.is_empty() => Some("no certificate in it"),
        (_, Ok(keys)) if keys.is_empty() => {
            Some("no private key in it, nor beside it in a file of the same name and .key")
        }
        (_, Ok(keys)) if keys.len() > 1 => Some("more than one private key in it"),
        (Ok(_), Ok(_)) => None,
    }
}

/// An address, where it stands, and the frontend that claims it.
type Claim<'a> = (IpAddr, &'a At<SocketAddr>, &'a str);

/// Reports binds that claim the same packets. `*` and `[::]` claim all of their family.
pub(super) fn check_conflicts(frontends: &[&Entry<Frontend>], out: &mut Vec<Diagnostic>) {
    let mut binds: BTreeMap<(u8, u16), Vec<Claim<'_>>> = BTreeMap::new();
    for (name, frontend) in frontends {
        for At { value: BindForm(bind), .. } in frontend.bind.value().into_iter().flat_map(|OneOrMany(binds)| binds) {
            let (Some(address), false) = (bind.address.given(), matches!(bind.protocol, Knob::Faulty)) else {
                continue;
            };
            let key = (bind.protocol.or(Protocol::Tcp).number(), address.value.port());
            binds.entry(key).or_default().push((address.value.ip(), address, &name.value));
        }
    }
    for same_port in binds.values_mut() {
        same_port.sort_by_key(|(_, address, _)| address.span);
        let mut before: Vec<Claim<'_>> = Vec::new();
        for &(ip, claimed, name) in same_port.iter() {
            if let Some((_, first_at, first_name)) = before.iter().find(|(other, ..)| overlap(ip, *other)) {
                let (address, first) = (show(claimed.value), show(first_at.value));
                let message = format!("`{address}` is taken already, by `{first}` of frontend `{first_name}`");
                out.push(
                    Diagnostic::error(claimed.span, message)
                        .label(format!("frontend `{name}`"))
                        .related(first_at.span, "first here"),
                );
            }
            before.push((ip, claimed, name));
        }
    }
}

/// As typed in a bind.
fn show(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => format!("*:{}", address.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => address.to_string(),
    }
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}
