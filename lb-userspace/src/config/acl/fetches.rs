//! What can be looked at, by name.

use super::{
    Known,
    expression::{Call, unknown},
    patterns::{How, SUFFIXES},
};
use crate::{
    config::error::Diagnostic,
    model::acl::{
        Fetch, Kind,
        expression::{Attribute, Constant, Field, Number, Side, Tls},
    },
};
use std::sync::Arc;

/// What a call looks at, and the method that its suffix names (`path_beg`).
pub(super) fn fetch(call: &Call<'_>, known: &Known<'_>) -> Result<(Fetch, Option<How>), Diagnostic> {
    if let Some(fetch) = named(call.name, call, known)? {
        return Ok((fetch, None));
    }
    if let Some((base, suffix)) = call.name.rsplit_once('_')
        && let Some((_, how)) = SUFFIXES.iter().find(|(word, _)| *word == suffix)
        && let Some(fetch) = named(base, call, known)?
        && fetch.kind() == Kind::Text
    {
        return Ok((fetch, Some(*how)));
    }
    let with_suffix = |base: &'static str| SUFFIXES.iter().map(move |(method, _)| format!("{base}_{method}"));
    let names: Vec<_> = NAMES
        .iter()
        .map(|&name| name.to_owned())
        .chain(["hdr", "path", "url"].into_iter().flat_map(with_suffix))
        .collect();
    let elsewhere = ELSEWHERE.iter().any(|prefix| call.name.starts_with(prefix));
    let help = "HAProxy's names: hdr(name), path, src, url_param(name), req.cook(name), ssl_fc_sni, nbsrv(backend), …";
    Err(unknown(
        call,
        format!("nothing called `{}` can be looked at", call.name),
        names.iter().map(String::as_str),
        elsewhere,
        help,
    ))
}

fn named(name: &str, call: &Call<'_>, known: &Known<'_>) -> Result<Option<Fetch>, Diagnostic> {
    if let Some(fetch) = of_head(name, call)? {
        return Ok(Some(fetch));
    }
    if let Some(fetch) = without_arguments(name) {
        call.at_most(0)?;
        return Ok(Some(fetch));
    }
    if let Some(fetch) = numbers(name, call, known)? {
        return Ok(Some(fetch));
    }
    if let Some(constant) = constant(name, call)? {
        return Ok(Some(Fetch::Constant(constant)));
    }
    Ok(Some(match name {
        "url_param" | "urlp" => {
            call.at_most(3)?;
            let delimiter = match call.optional(1).map(str::as_bytes) {
                None | Some(b"?") => None,
                Some(&[delimiter]) => Some(delimiter),
                Some(_) => return Err(call.error_in(1, "the delimiter is one character")),
            };
            let ignore_case = match call.optional(2) {
                None => false,
                Some("i") => true,
                Some(other) => {
                    return Err(call
                        .error_in(2, format!("`{other}` is not a flag of `{name}`"))
                        .help("`i`: case does not count"));
                }
            };
            Fetch::Parameter { name: call.optional(0).unwrap_or_default().into(), delimiter, ignore_case }
        }
        "req.payload" => {
            call.at_most(2)?;
            call.required(0, "an offset and a length")?;
            Fetch::Payload(call.number(0)?.unwrap_or_default(), call.number(1)?.unwrap_or_default())
        }
        "rand" => {
            call.at_most(1)?;
            match call.number(0)? {
                Some(0) => return Err(call.error_in(0, "there is no number below 0")),
                below => Fetch::Random(below.unwrap_or(u32::MAX)),
            }
        }
        "var" => {
            call.at_most(1)?;
            Fetch::Variable(variable(call, 0)?)
        }
        "http_auth" => {
            call.at_most(1)?;
            let list = call.required(0, "the name of a userlist")?;
            Fetch::Authenticated(
                known.userlist(list).ok_or_else(|| call.error_in(0, format!("no userlist is called `{list}`")))?,
            )
        }
        "ssl_c_s_dn" => Fetch::Tls(Tls::Subject(attribute(call)?)),
        "ssl_c_i_dn" => Fetch::Tls(Tls::Issuer(attribute(call)?)),
        _ => return Ok(None),
    }))
}

/// Fields and cookies of requests and responses.
fn of_head(name: &str, call: &Call<'_>) -> Result<Option<Fetch>, Diagnostic> {
    let (side, rest) = match name {
        "hdr" | "fhdr" | "hdr_cnt" | "hdr_ip" | "hdr_val" | "fhdr_cnt" | "cook" | "cook_cnt" => (Side::Request, name),
        "shdr" | "shdr_cnt" | "shdr_ip" | "shdr_val" | "scook" | "scook_cnt" => {
            (Side::Response, name.get(1..).unwrap_or_default())
        }
        _ => match name.split_once('.') {
            Some(("req", rest)) => (Side::Request, rest),
            Some(("res", rest)) => (Side::Response, rest),
            Some(_) | None => return Ok(None),
        },
    };
    let cookie = || call.optional(0).map(Box::from).unwrap_or_default();
    let (split, count, kind) = match rest {
        "cook" => return Ok(Some(Fetch::Cookie(side, cookie()))),
        "cook_cnt" => return Ok(Some(Fetch::CookieCount(side, cookie()))),
        "hdr" => (true, false, Kind::Text),
        "fhdr" => (false, false, Kind::Text),
        "hdr_cnt" => (true, true, Kind::Int),
        "fhdr_cnt" => (false, true, Kind::Int),
        "hdr_ip" => (true, false, Kind::Ip),
        "hdr_val" => (true, false, Kind::Int),
        _ => return Ok(None),
    };
    call.at_most(2)?;
    let header = match call.optional(0) {
        None if count => "",
        None => {
            let error = call.error(format!("`{}` needs the name of a header", call.name));
            return Err(error.help(format!("such as {}(host)", call.name)));
        }
        Some(header) => header,
    };
    // RFC 9110 §5.6.2, token.
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !header.chars().all(token) {
        return Err(call.error_in(0, format!("`{header}` is not the name of a header")));
    }
    let occurrence = call.number::<i32>(1)?.filter(|occurrence| *occurrence != 0);
    let field = Field { side, name: header.to_ascii_lowercase().into(), split, occurrence, kind };
    Ok(Some(if count { Fetch::FieldCount(field) } else { Fetch::Field(field) }))
}

fn without_arguments(name: &str) -> Option<Fetch> {
    Some(match name {
        "path" => Fetch::Path,
        "pathq" => Fetch::PathAndQuery,
        "url" => Fetch::Url,
        "base" => Fetch::Base,
        "query" => Fetch::Query,
        "method" => Fetch::Method,
        "req.ver" | "req_ver" => Fetch::Version,
        "status" => Fetch::Status,
        "src" => Fetch::Source,
        "src_port" => Fetch::SourcePort,
        "dst" => Fetch::Destination,
        "dst_port" => Fetch::DestinationPort,
        "ssl_fc" => Fetch::Tls(Tls::Used),
        "ssl_fc_sni" => Fetch::Tls(Tls::Sni),
        "ssl_fc_alpn" => Fetch::Tls(Tls::Alpn),
        "ssl_fc_protocol" => Fetch::Tls(Tls::Protocol),
        "ssl_fc_cipher" => Fetch::Tls(Tls::Cipher),
        "ssl_c_used" => Fetch::Tls(Tls::CertificateUsed),
        "ssl_c_verify" => Fetch::Tls(Tls::Verify),
        "ssl_c_serial" => Fetch::Tls(Tls::Serial),
        "ssl_c_sha1" => Fetch::Tls(Tls::Sha1),
        "req.ssl_sni" | "req_ssl_sni" => Fetch::Tls(Tls::HelloSni),
        "req.ssl_alpn" => Fetch::Tls(Tls::HelloAlpn),
        "req.ssl_hello_type" | "req_ssl_hello_type" => Fetch::Tls(Tls::HelloType),
        "req.len" | "req_len" => Fetch::Length,
        "unique-id" => Fetch::UniqueId,
        "req.proto_http" => Fetch::IsHttp,
        "wait_end" => Fetch::IsWhole,
        "always_true" => Fetch::Constant(Constant::Bool(true)),
        "always_false" => Fetch::Constant(Constant::Bool(false)),
        _ => return None,
    })
}

fn numbers(name: &str, call: &Call<'_>, known: &Known<'_>) -> Result<Option<Fetch>, Diagnostic> {
    let backend = || {
        call.optional(0)
            .map(|name| known.backend(name).ok_or_else(|| known.unknown_backend(name, call.span(0))))
            .transpose()
    };
    let number = match name {
        "nbsrv" => Number::Servers(backend()?),
        "be_conn" => Number::BackendConnections(backend()?),
        "queue" => Number::Queue(backend()?),
        "avg_queue" => Number::AverageQueue(backend()?),
        "connslots" => Number::Slots(backend()?),
        "fe_conn" => match call.optional(0) {
            Some(frontend) if !known.frontends.contains(&frontend) => {
                return Err(call.error_in(0, format!("there is no frontend `{frontend}`")));
            }
            frontend => Number::FrontendConnections(frontend.map(Box::from)),
        },
        "srv_is_up" | "srv_conn" => {
            let typed = call.required(0, "a backend and a server: backend/server")?;
            let Some((backend, server)) = typed.split_once('/') else {
                return Err(call.error_in(0, "a server is named with its backend: backend/server"));
            };
            let index = known.backend(backend).ok_or_else(|| known.unknown_backend(backend, call.span(0)))?;
            let place = known.server(index, server);
            let place =
                place.ok_or_else(|| call.error_in(0, format!("backend `{backend}` has no server `{server}`")))?;
            if name == "srv_is_up" { Number::ServerUp(index, place) } else { Number::ServerConnections(index, place) }
        }
        _ => return Ok(None),
    };
    call.at_most(1)?;
    if let Number::BackendConnections(backend) = number {
        known.asks_for_load(backend);
    } else if let Number::ServerConnections(backend, _) = number {
        known.asks_for_load(Some(backend));
    }
    Ok(Some(Fetch::Number(number)))
}

fn constant(name: &str, call: &Call<'_>) -> Result<Option<Constant>, Diagnostic> {
    let typed = || call.required(0, "a value");
    Ok(Some(match name {
        "str" => Constant::Text(call.optional(0).unwrap_or_default().into()),
        "int" => {
            typed()?;
            Constant::Int(call.number(0)?.unwrap_or_default())
        }
        "bool" => match typed()? {
            "true" | "1" => Constant::Bool(true),
            "false" | "0" => Constant::Bool(false),
            other => return Err(call.error_in(0, format!("`{other}` is neither `true` nor `false`"))),
        },
        "ipv4" | "ipv6" => {
            let address =
                typed()?.parse().ok().filter(|address: &std::net::IpAddr| address.is_ipv4() == (name == "ipv4"));
            Constant::Ip(address.ok_or_else(|| call.error_in(0, "this is no address of that family"))?)
        }
        "bin" => Constant::Binary(
            super::patterns::from_hexadecimal(typed()?)
                .ok_or_else(|| call.error_in(0, "these are no hexadecimal digits, two for each byte"))?,
        ),
        _ => return Ok(None),
    }))
}

fn attribute(call: &Call<'_>) -> Result<Option<Attribute>, Diagnostic> {
    call.at_most(1)?;
    let Some(typed) = call.optional(0) else { return Ok(None) };
    let found = Attribute::ALL.into_iter().find(|attribute| attribute.name().eq_ignore_ascii_case(typed));
    let names = || Attribute::ALL.map(Attribute::name).join(", ");
    found.map(Some).ok_or_else(|| {
        call.error_in(0, format!("`{typed}` is not an attribute that can be asked for"))
            .help(format!("supported: {}", names()))
    })
}

/// The name of a variable, with its scope.
pub(super) fn variable(call: &Call<'_>, index: usize) -> Result<Arc<str>, Diagnostic> {
    let typed = call.required(index, "the name of a variable: txn.name")?;
    variable_name(typed).map(Arc::from).map_err(|message| call.error_in(index, message))
}

/// Checks the name of a variable.
pub(crate) fn variable_name(typed: &str) -> Result<&str, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    match typed.split_once('.') {
        Some(("txn", name)) if !name.is_empty() && name.chars().all(allowed) => Ok(typed),
        Some(("txn", _)) => Err(format!("`{typed}` is not a name: letters, digits, `_` and `.` after the scope")),
        Some(("proc" | "sess" | "req" | "res" | "check", _)) => {
            Err(format!("`{typed}`: variables are kept from a request to its response alone, as `txn.…`"))
        }
        Some(_) | None => Err(format!("`{typed}` does not begin with a scope: `txn.`")),
    }
}

/// For suggestions.
const NAMES: [&str; 43] = [
    "hdr",
    "req.hdr",
    "fhdr",
    "shdr",
    "res.hdr",
    "hdr_cnt",
    "hdr_ip",
    "hdr_val",
    "cook",
    "req.cook",
    "scook",
    "res.cook",
    "path",
    "pathq",
    "url",
    "base",
    "query",
    "url_param",
    "urlp",
    "method",
    "req.ver",
    "status",
    "src",
    "src_port",
    "dst",
    "dst_port",
    "ssl_fc",
    "ssl_fc_sni",
    "ssl_fc_alpn",
    "ssl_fc_protocol",
    "ssl_c_used",
    "ssl_c_verify",
    "req.ssl_sni",
    "req.ssl_alpn",
    "req.len",
    "req.payload",
    "nbsrv",
    "be_conn",
    "srv_is_up",
    "rand",
    "var",
    "http_auth",
    "always_true",
];

/// What HAProxy's other names begin with.
const ELSEWHERE: [&str; 16] = [
    "sc_",
    "sc0_",
    "sc1_",
    "sc2_",
    "src_",
    "table_",
    "capture.",
    "req.body",
    "body_param",
    "be_",
    "fe_",
    "srv_",
    "ssl_",
    "txn.",
    "res.",
    "req.",
];
