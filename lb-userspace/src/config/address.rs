//! Addresses as HAProxy writes them: where a frontend listens, where a server is, what servers answer to.

use super::{
    error::Diagnostic,
    read::{FromToml, Reader},
    shape::Shape,
    text::Text,
};
use crate::model::{Ports, host_name};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use toml::{Spanned, de::DeValue};

/// Where a frontend listens: `192.0.2.10:80`, `*:443`, `[2001:db8::1]:443` or `[::]:443`; with several ports
/// `192.0.2.10:8000-8100`, with all `192.0.2.10:*`. `*` as an address is every IPv4 address, `[::]` every IPv6 address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BindAddress {
    pub(crate) ip: IpAddr,
    pub(crate) ports: Ports,
}

impl FromToml for BindAddress {
    fn shape() -> Shape {
        Shape::text("address:port", ".+:([0-9]+(-[0-9]+)?|[*])")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        read(value, reader, BIND_FORMS, |text, ip, port| {
            let typed = port.ok_or_else(|| without_port(text, BIND_FORMS))?;
            Ok(Self { ip, ports: ports(text, typed)? })
        })
    }
}

/// As typed.
impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => write!(f, "*:{}", self.ports),
            IpAddr::V4(ip) => write!(f, "{ip}:{}", self.ports),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{}", self.ports),
        }
    }
}

/// One address and one port.
impl FromToml for SocketAddr {
    fn shape() -> Shape {
        Shape::text("address:port", ".+:[0-9]+")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        read(value, reader, SOCKET_FORMS, |text, ip, port| {
            let typed = port.ok_or_else(|| without_port(text, SOCKET_FORMS))?;
            Ok(Self::new(ip, one_port(text, typed)?))
        })
    }
}

/// The address of one machine, without a port.
impl FromToml for IpAddr {
    fn shape() -> Shape {
        Shape::text("an IP address", "[0-9A-Fa-f:.]+|\\[[0-9A-Fa-f:.]+\\]")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        read(value, reader, IP_FORMS, |text, ip, port| {
            if port.is_some() {
                return Err(Diagnostic::error(text.span, format!("`{text}` has a port; only an address fits")));
            }
            one_machine(text, ip, IP_FORMS)
        })
    }
}

/// Where a server is: as a bind, or a host name in place of the address; the port may be left out, and then is that of the
/// frontend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ServerAddress {
    pub(crate) place: Place,
    pub(crate) port: Option<u16>,
}

/// An address, or the name that has one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    Address(IpAddr),
    /// As [`host_name`] makes it.
    Name(Arc<str>),
}

impl ServerAddress {
    /// The address, if one is typed.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match &self.place {
            Place::Address(ip) => Some(*ip),
            Place::Name(_) => None,
        }
    }

    /// The name, if one is typed.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        match &self.place {
            Place::Address(_) => None,
            Place::Name(name) => Some(name),
        }
    }
}

impl FromToml for ServerAddress {
    fn shape() -> Shape {
        Shape::text("address or host name, with or without :port", ".+")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::from_toml(value, reader)?;
        server(&text).map_err(|error| reader.error(error)).ok()
    }
}

fn server(text: &Text) -> Result<ServerAddress, Diagnostic> {
    let (place, port) = match (parts(&text.value), named(&text.value)) {
        (Ok((ip, port)), _) => (Place::Address(one_machine(text, ip, SERVER_FORMS)?), port),
        (Err(NotAnAddress::Form), Some((name, port))) => {
            let refused = |why| Diagnostic::error(text.span, format!("`{text}` has no host name: {why}"));
            (Place::Name(host_name(name).map_err(refused)?), port)
        }
        (Err(error), _) => return Err(refused(&error, text, SERVER_FORMS)),
    };
    Ok(ServerAddress { place, port: port.map(|typed| one_port(text, typed)).transpose()? })
}

/// What may be meant as a host name, and what stands behind a colon.
fn named(typed: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = typed.split_once(':').map_or((typed, None), |(host, port)| (host, Some(port)));
    let is_name = host.contains(|c: char| c.is_ascii_alphabetic())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && !port.is_some_and(|port| port.contains(':'));
    is_name.then_some((host, port))
}

/// Reads a text that is an address, perhaps with something behind a colon; `take` makes something of both.
fn read<T>(
    value: &Spanned<DeValue<'_>>,
    reader: &mut Reader<'_>,
    forms: &str,
    take: impl FnOnce(&Text, IpAddr, Option<&str>) -> Result<T, Diagnostic>,
) -> Option<T> {
    let text = Text::from_toml(value, reader)?;
    let parts = parts(&text.value).map_err(|error| refused(&error, &text, forms));
    parts.and_then(|(ip, port)| take(&text, ip, port)).map_err(|error| reader.error(error)).ok()
}

/// One port, a range of them, or all.
fn ports(text: &Text, typed: &str) -> Result<Ports, Diagnostic> {
    if typed == "*" {
        return Ok(Ports::All);
    }
    let (first, last) = typed.split_once('-').unwrap_or((typed, typed));
    let (first, last) = (one_port(text, first)?, one_port(text, last)?);
    match last.checked_sub(first) {
        Some(0) => Ok(Ports::One(first)),
        Some(more) if more < MAX_RANGE => Ok(Ports::Range(first, last)),
        Some(more) => {
            let message = format!("`{text}` has {} ports; a range has at most {MAX_RANGE}", u32::from(more) + 1);
            Err(Diagnostic::error(text.span, message).help("`*` takes all ports that no other bind of the address has"))
        }
        None => Err(Diagnostic::error(text.span, format!("`{text}` ends before it begins"))
            .help("a range is written from its first port to its last: \"8000-8100\"")),
    }
}

/// A port from 1 to 65535. What `parse` takes beyond digits is a slip.
fn port(typed: &str) -> Option<u16> {
    let digits = typed.bytes().all(|digit| digit.is_ascii_digit());
    typed.parse().ok().filter(|port| *port != 0 && digits)
}

fn one_port(text: &Text, typed: &str) -> Result<u16, Diagnostic> {
    port(typed).ok_or_else(|| Diagnostic::error(text.span, format!("`{text}` has no port from 1 to 65535")))
}

fn without_port(text: &Text, forms: &str) -> Diagnostic {
    Diagnostic::error(text.span, format!("`{text}` has no port")).help(forms)
}

fn one_machine(text: &Text, ip: IpAddr, forms: &str) -> Result<IpAddr, Diagnostic> {
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Diagnostic::error(text.span, format!("`{text}` is not the address of one machine")).help(forms));
    }
    Ok(ip)
}

/// Why a text is no address.
enum NotAnAddress {
    /// It has no such form.
    Form,
    /// It is this IPv4 address, mapped into IPv6 (RFC 4291 §2.5.5.2). No packet of IPv6 has one.
    Mapped(Ipv4Addr),
}

/// Address and port. Only the full notations of RFC 4632 and RFC 4291: what else `inet_aton` takes is a trap.
fn parts(text: &str) -> Result<(IpAddr, Option<&str>), NotAnAddress> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(NotAnAddress::Form)?;
        let address = ipv6(address)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err(NotAnAddress::Form),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((ipv6(text)?, None));
    }
    let (address, port) = text.split_once(':').map_or((text, None), |(address, port)| (address, Some(port)));
    let address = if address == "*" { Ipv4Addr::UNSPECIFIED } else { address.parse().or(Err(NotAnAddress::Form))? };
    Ok((address.into(), port))
}

fn ipv6(text: &str) -> Result<IpAddr, NotAnAddress> {
    let address: Ipv6Addr = text.parse().or(Err(NotAnAddress::Form))?;
    match address.to_ipv4_mapped() {
        Some(mapped) => Err(NotAnAddress::Mapped(mapped)),
        None => Ok(address.into()),
    }
}

/// Says what is wrong with a text that is no address: often something that HAProxy would take.
fn refused(error: &NotAnAddress, text: &Text, forms: &str) -> Diagnostic {
    if let NotAnAddress::Mapped(address) = error {
        return Diagnostic::error(text.span, format!("`{text}` is an IPv4 address")).help(format!("write `{address}`"));
    }
    let typed = text.value.as_str();
    if typed.contains('@') || typed.starts_with('/') {
        Diagnostic::error(text.span, format!("`{text}`: unix sockets and address families are not supported yet"))
            .help(forms)
    } else if named(typed).is_some() {
        Diagnostic::error(text.span, format!("`{text}`: only servers may be known by a host name")).help(forms)
    } else {
        Diagnostic::error(text.span, format!("`{text}` is not an address")).help(forms)
    }
}

/// Ports of a range at most: each has rows of its own in the kernel's maps.
const MAX_RANGE: u16 = 1_024;

const SOCKET_FORMS: &str = "supported: \"192.0.2.10:80\", \"*:80\", \"[2001:db8::1]:80\", \"[::]:80\"";
const BIND_FORMS: &str = "supported: \"192.0.2.10:80\", \"*:80\", \"[2001:db8::1]:80\", \"[::]:80\", \"192.0.2.10:8000-8100\"; in mode `l4` also \"192.0.2.10:*\"";
const SERVER_FORMS: &str =
    "supported: \"10.0.0.1:80\", \"[2001:db8::1]:80\", \"db1.example.com:80\", and the same without a port";
const IP_FORMS: &str = "supported: \"10.0.0.1\", \"2001:db8::1\"";
