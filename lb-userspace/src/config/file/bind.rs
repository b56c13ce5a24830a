//! `bind` of a frontend.

use super::Tls;
use crate::config::{
    address::BindAddress,
    error::Diagnostic,
    read::{FromToml, Knob, OneOrMany, Reader, table},
    shape::Shape,
    source::At,
    text::Text,
};
use ipnet::IpNet;
use lb_common::Protocol;
use std::net::IpAddr;
use toml::{Spanned, de::DeValue};

table! {
    /// One address of a frontend.
    struct Bind, "a bind" {
        /// "address:port", or a range of them, "address:8000-8100"; `*` is every IPv4 address, `[::]` every IPv6 address.
        /// Of the proxy (`tcp`, `http`) each port is a listening socket a thread, and a frontend may have 1,024. In mode
        /// `l4` the address is the VIP, one address; a range costs nothing there, may have 1,024 ports, and "address:*" is
        /// all ports that no other bind of the address has. Required.
        address: BindAddress,
        /// `tcp`, `udp` (`l4` only), or an array of both. Default: `tcp`.
        protocol: OneOrMany<Protocol>,
        /// Networks of proxies before us (`tcp`, `http`): their connections must begin with a header of the PROXY protocol,
        /// which says who the client is; everybody else's are taken as they are. One or an array of "address" or
        /// "address/length"; HAProxy's `accept-proxy`, which trusts everybody. Default: none.
        accept_proxy: OneOrMany<Network>,
        /// Terminates TLS here (`tcp`, `http`). Default: clear text.
        tls: Tls,
    }
}

/// A bind is a table, or its address alone.
#[derive(Clone, Debug)]
pub(crate) struct BindForm(pub(crate) Bind);

impl FromToml for BindForm {
    fn shape() -> Shape {
        Shape::Either(vec![BindAddress::shape(), Bind::shape()])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if value.get_ref().is_table() {
            return Bind::from_toml(value, reader).map(Self);
        }
        let address = At { value: BindAddress::from_toml(value, reader)?, span: reader.span(value) };
        Some(Self(Bind { address: Knob::Given(address), ..Bind::default() }))
    }
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Network(pub(crate) IpNet);

impl FromToml for Network {
    fn shape() -> Shape {
        Shape::text("an address or a network", "[0-9A-Fa-f:.]+(/[0-9]+)?")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::from_toml(value, reader)?;
        let address = text.value.parse::<IpAddr>().ok().map(IpNet::from);
        let network = address.or_else(|| text.value.parse().ok());
        match network {
            Some(network) if network == network.trunc() => return Some(Self(network)),
            Some(network) => {
                let error = Diagnostic::error(text.span, format!("`{text}` has bits beyond its length"));
                reader.error(error.help(format!("the network is {}", network.trunc())));
            }
            None => {
                let error = Diagnostic::error(text.span, format!("`{text}` is neither a network nor an address"));
                reader.error(error.help("such as \"192.0.2.0/24\" or \"2001:db8::1\""));
            }
        }
        None
    }
}
