//! Addresses as HAProxy writes them: where a frontend listens, where a server is.

use super::{
    error::Diagnostic,
    read::{FromToml, Reader},
    text::Text,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use toml::{Spanned, de::DeValue};

/// Where a frontend listens: `192.0.2.10:80`, `*:443`, `[2001:db8::1]:443` or `[::]:443`. `*` is every IPv4 address,
/// `[::]` every IPv6 address.
impl FromToml for SocketAddr {
    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::from_toml(value, reader)?;
        let port = |port: &str| port.parse().ok().filter(|port| *port != 0 && !text.value.contains('+'));
        let found = match parts(&text.value) {
            Ok((address, Some(typed))) => match port(typed) {
                Some(port) => Ok(Self::new(address, port)),
                None => Err(Diagnostic::error(text.span, format!("`{text}` has no port from 1 to 65535")).maybe_help(
                    typed.contains('-').then(|| format!("ranges of ports are not supported yet; {BIND_FORMS}")),
                )),
            },
            Ok((_, None)) => Err(Diagnostic::error(text.span, format!("`{text}` has no port")).help(BIND_FORMS)),
            Err(NotAnAddress) => Err(refused(&text, BIND_FORMS)),
        };
        found.map_err(|error| reader.error(error)).ok()
    }
}

/// Where a server is: as a bind, but the port may be left out, and then is that of the frontend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ServerAddress {
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

impl FromToml for ServerAddress {
    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::from_toml(value, reader)?;
        let found = match parts(&text.value) {
            Ok((address, _))
                if address.is_unspecified() || address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) =>
            {
                Err(Diagnostic::error(text.span, format!("`{text}` is not the address of one machine"))
                    .help(SERVER_FORMS))
            }
            Ok((address, None)) => Ok(Self { address, port: None }),
            Ok((address, Some(port))) => match port.parse::<u16>() {
                Ok(port) if port != 0 => Ok(Self { address, port: Some(port) }),
                Ok(_) | Err(_) => Err(Diagnostic::error(text.span, format!("`{text}` has no port from 1 to 65535"))),
            },
            Err(NotAnAddress) => Err(refused(&text, SERVER_FORMS)),
        };
        found.map_err(|error| reader.error(error)).ok()
    }
}

struct NotAnAddress;

/// Address and port. Only the full notations of RFC 4632 and RFC 4291: what else `inet_aton` takes is a trap.
fn parts(text: &str) -> Result<(IpAddr, Option<&str>), NotAnAddress> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(NotAnAddress)?;
        let address: Ipv6Addr = address.parse().or(Err(NotAnAddress))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address.into(), Some(port))),
            None if rest.is_empty() => Ok((address.into(), None)),
            None => Err(NotAnAddress),
        };
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok((address.into(), None));
    }
    let (address, port) = text.split_once(':').map_or((text, None), |(address, port)| (address, Some(port)));
    let address = if address == "*" { Ipv4Addr::UNSPECIFIED } else { address.parse().or(Err(NotAnAddress))? };
    Ok((address.into(), port))
}

/// Says what is wrong with a text that is no address: often something that HAProxy would take.
fn refused(text: &Text, forms: &str) -> Diagnostic {
    let typed = text.value.as_str();
    let host = typed.rsplit_once(':').map_or(typed, |(host, _)| host);
    let is_name = host.contains(|c: char| c.is_ascii_alphabetic())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if typed.contains('@') || typed.starts_with('/') {
        Diagnostic::error(text.span, format!("`{text}`: unix sockets and address families are not supported yet"))
            .help(forms)
    } else if is_name {
        Diagnostic::error(text.span, format!("`{text}`: host names are not supported yet")).help(forms)
    } else {
        Diagnostic::error(text.span, format!("`{text}` is not an address")).help(forms)
    }
}

const BIND_FORMS: &str = "supported: \"192.0.2.10:80\", \"*:80\", \"[2001:db8::1]:80\", \"[::]:80\"";
const SERVER_FORMS: &str = "supported: \"10.0.0.1:80\", \"[2001:db8::1]:80\", and the same without a port";
