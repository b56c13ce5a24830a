//! `bind`: where a frontend listens.

use super::{
    Effect, Import, advice,
    frontend::Front,
    output::{Item, Value},
    statement::Statement,
};
use std::net::Ipv6Addr;

/// An address of a bind as we write it, and whether it is that of all of IPv6.
pub(super) struct Address {
    pub(super) typed: String,
    port: String,
    any_v6: bool,
}

/// What is wrong with an address.
pub(super) type Refused = (&'static str, &'static str);

const FORMS: &str = "such as *:80, 192.0.2.10:443 or [::]:8000-8100";

pub(super) fn address(typed: &str) -> Result<Address, Refused> {
    let plain = typed.strip_prefix("ipv4@").or_else(|| typed.strip_prefix("ipv6@")).unwrap_or(typed);
    if plain.contains('@') || plain.starts_with('/') {
        return Err(("clients come by TCP: not by unix sockets, descriptors or QUIC", FORMS));
    }
    let (host, port) = plain.rsplit_once(':').ok_or(("it has no port", FORMS))?;
    if port.is_empty() {
        return Err(("it has no port", FORMS));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let v6 = bare.parse::<Ipv6Addr>().ok();
    let host = match bare {
        "" | "*" | "0.0.0.0" if typed.starts_with("ipv6@") => "[::]".to_owned(),
        "" | "*" | "0.0.0.0" => "*".to_owned(),
        _ if v6.is_some() => format!("[{bare}]"),
        _ => bare.to_owned(),
    };
    let any_v6 = host == "[::]";
    Ok(Address { typed: format!("{host}:{port}"), port: port.to_owned(), any_v6 })
}

impl Import {
    pub(super) fn bind(&mut self, front: &mut Front, at: &Statement) {
        let words = at.words();
        let [_, typed, options @ ..] = words.as_slice() else {
            return self.lost(&mut front.table, at, "it has no address", FORMS);
        };
        let mut addresses = Vec::new();
        for typed in typed.split(',') {
            match address(typed) {
                Ok(address) => addresses.push(address),
                Err((why, help)) => return self.lost(&mut front.table, at, why, help),
            }
        }
        let mut item = Item::comment(at);
        let (only_v6, more) = self.bind_options(&mut item, front, at, options);
        // A socket of IPv6 takes IPv4 as well, unless it is told not to, or somebody else has that address.
        let mut typed: Vec<String> = Vec::new();
        for address in addresses {
            let v4 = format!("*:{}", address.port);
            typed.push(address.typed);
            let taken = typed.contains(&v4) || front.addresses.contains(&v4);
            typed.extend((address.any_v6 && !only_v6 && !taken).then_some(v4));
        }
        front.addresses.extend(typed.iter().cloned());
        for (index, typed) in typed.into_iter().enumerate() {
            let value = if more.is_empty() {
                Value::Text(typed)
            } else {
                let mut pairs = vec![("address", Value::Text(typed))];
                pairs.extend(more.iter().cloned());
                Value::Map(pairs)
            };
            let varies = Item::of(at, value.clone()).varies;
            let (before, after) =
                if index == 0 { (item.before.clone(), item.after.clone()) } else { (Vec::new(), None) };
            front.table.row("bind", Item { before, after, value: Some(value), varies, ..item.clone() });
        }
    }

    /// Whether it is for IPv6 alone, and what else a bind has.
    fn bind_options(
        &mut self,
        item: &mut Item,
        front: &Front,
        at: &Statement,
        options: &[&str],
    ) -> (bool, Vec<(&'static str, Value)>) {
        let mut more = Vec::new();
        let mut only_v6 = false;
        let mut ssl = Vec::new();
        let mut rest = options.iter().copied();
        while let Some(option) = rest.next() {
            match option {
                "v6only" => only_v6 = true,
                "v4v6" => only_v6 = false,
                "accept-proxy" => {
                    let networks = Value::texts(["0.0.0.0/0", "::/0"]);
                    more.push(("accept_proxy", networks));
                    let why = "everybody is believed who says by the PROXY protocol who the client is";
                    self.differs(Effect::Note, at, why, "accept_proxy = [\"…\"]: the proxies before us");
                }
                "ssl" => ssl.push(("ssl", String::new())),
                _ if super::tls::BIND.contains(&option) => {
                    let known = super::tls::BIND.iter().find(|known| **known == option);
                    let value = rest.next().unwrap_or_default().to_owned();
                    ssl.extend(known.map(|known| (*known, value)));
                }
                "strict-sni" | "no-tls-tickets" | "no-tlsv12" | "force-tlsv13" | "no-alpn" => {
                    let known = ["strict-sni", "no-tls-tickets", "no-tlsv12", "force-tlsv13", "no-alpn"];
                    ssl.extend(known.iter().find(|known| **known == option).map(|known| (*known, String::new())));
                }
                _ => {
                    self.unused_option(item, at, option, advice::bind(option));
                    if WITH_VALUE.contains(&option) {
                        rest.next();
                    }
                }
            }
        }
        let tls = ssl.iter().any(|(word, _)| *word == "ssl").then(|| self.bind_tls(item, at, &ssl, front));
        if let Some(tls) = tls {
            more.push(("tls", tls));
        }
        (only_v6, more)
    }

    /// Names a word of a bind or a server that nothing comes of.
    pub(super) fn unused_option(
        &mut self,
        item: &mut Item,
        at: &Statement,
        option: &str,
        said: Option<advice::Advice>,
    ) {
        let (effect, why, help) = said.unwrap_or((Effect::Lost, "there is nothing like it here", ""));
        if effect == Effect::Lost {
            item.before.push(format!("# not carried over: {option}: {why}"));
        }
        self.differs(effect, at, format!("{option}: {why}"), help);
    }
}

/// Words that are followed by a value, of those that nothing comes of.
const WITH_VALUE: [&str; 26] = [
    "name",
    "id",
    "interface",
    "nice",
    "process",
    "thread",
    "shards",
    "backlog",
    "maxconn",
    "mss",
    "tcp-ut",
    "namespace",
    "accept-netscaler-cip",
    "proto",
    "user",
    "group",
    "mode",
    "uid",
    "gid",
    "severity-output",
    "level",
    "ssl-max-ver",
    "crt-list",
    "tls-ticket-keys",
    "npn",
    "client-sigalgs",
];
