//! Fetch: the values of what an expression looks at, one after the other.

use super::{
    Value, authenticated,
    facts::{Certificate, Facts, Payload},
};
use crate::{
    l7::{
        message::{Fields, Request, Version, fields::elements},
        tls::TlsFacts,
    },
    model::acl::{
        Kind,
        expression::{Fetch, Field, Number, Side, Tls},
    },
};
use std::{
    borrow::Cow,
    ops::ControlFlow::{self, Continue},
};

/// Takes one value, and says whether another one is wanted.
type Take<'t, 'a> = &'t mut dyn FnMut(Value<'a>) -> ControlFlow<bool>;

/// Gives every value that there is to `take`, until it has enough.
pub(super) fn each<'a>(fetch: &'a Fetch, facts: &Facts<'a>, take: Take<'_, 'a>) -> ControlFlow<bool> {
    if let Fetch::Field(field) = fetch {
        of_fields(field, facts, take)
    } else if let Fetch::Cookie(side, name) = fetch {
        cookies(*side, name, facts).try_for_each(|value| take(Value::text(value)))
    } else if let Fetch::Parameter { name, delimiter, ignore_case } = fetch {
        let delimiter = delimiter.unwrap_or(b'?');
        let query = facts.request.and_then(|request| after(request.path_and_query(), delimiter));
        // All of these end a parameter for HAProxy.
        let ends = move |byte: &u8| matches!(byte, b'&' | b';') || *byte == delimiter;
        let pairs = query.into_iter().flat_map(|query| query.split(ends));
        let mut values = pairs.filter_map(|pair| parameter(pair, name, *ignore_case));
        values.try_for_each(|value| take(Value::text(value)))
    } else {
        one(fetch, facts).map_or(Continue(()), take)
    }
}

/// What has a single value, if any.
fn one<'a>(fetch: &'a Fetch, facts: &Facts<'a>) -> Option<Value<'a>> {
    let connection = facts.scene.connection;
    Some(match fetch {
        Fetch::Field(_) | Fetch::Cookie(..) | Fetch::Parameter { .. } => return None,
        Fetch::FieldCount(field) => {
            let fields = fields(field.side, facts)?;
            let named = fields
                .iter()
                .filter(|(name, _)| field.name.is_empty() || name.eq_ignore_ascii_case(field.name.as_bytes()));
            let count = if field.split { named.flat_map(|(_, value)| elements(value)).count() } else { named.count() };
            count_value(count)
        }
        Fetch::CookieCount(side, name) => count_value(cookies(*side, name, facts).count()),
        Fetch::Path => Value::text(Some(facts.request?.path()).filter(|path| !path.is_empty())?),
        Fetch::PathAndQuery => Value::text(Some(facts.request?.path_and_query()).filter(|path| !path.is_empty())?),
        Fetch::Url => Value::text(&facts.request?.target),
        Fetch::Base => base(facts.request?)?,
        Fetch::Query => Value::text(query(facts.request?)?),
        Fetch::Method => Value::text(facts.request?.method.name()),
        Fetch::Version => Value::text(match facts.request?.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2.0",
        }),
        Fetch::Status => Value::Int(facts.response?.status.into()),
        Fetch::Source => Value::Ip(connection.source.ip()),
        Fetch::SourcePort => Value::Int(connection.source.port().into()),
        Fetch::Destination => Value::Ip(connection.destination.ip()),
        Fetch::DestinationPort => Value::Int(connection.destination.port().into()),
        Fetch::Tls(tls) => return of_tls(*tls, facts),
        Fetch::Length => count_value(facts.scene.payload?.growing().len()),
        Fetch::Payload(offset, 0) => Value::Binary(Cow::Borrowed(facts.scene.payload?.growing().get(*offset..)?)),
        Fetch::Payload(offset, length) => Value::Binary(Cow::Borrowed(facts.scene.payload?.part(*offset, *length)?)),
        Fetch::IsWhole => Value::Bool(facts.scene.payload.is_none_or(Payload::is_whole)),
        Fetch::IsHttp => Value::Bool(facts.request.is_some()),
        Fetch::Number(what) => return number(what, facts),
        Fetch::Random(below) => Value::Int(fastrand::u32(..*below).into()),
        Fetch::Variable(name) => facts.variables.get(name)?.borrowed(),
        Fetch::Authenticated(list) => Value::Bool(authenticated(list, facts.request?)),
        Fetch::UniqueId => Value::text(facts.scene.unique_id?),
        Fetch::Constant(constant) => constant.into(),
    })
}

fn count_value(count: usize) -> Value<'static> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn fields<'a>(side: Side, facts: &Facts<'a>) -> Option<&'a Fields> {
    match side {
        Side::Request => facts.request.map(|request| &request.fields),
        Side::Response => facts.response.map(|response| &response.fields),
    }
}

fn of_fields<'a>(field: &'a Field, facts: &Facts<'a>, take: Take<'_, 'a>) -> ControlFlow<bool> {
    let Some(fields) = fields(field.side, facts) else { return Continue(()) };
    let typed = |value: &'a [u8]| match field.kind {
        Kind::Ip => address(value).map(Value::Ip),
        Kind::Int => Value::text(value).into_int().map(Value::Int),
        Kind::Bool | Kind::Text | Kind::Binary | Kind::Any => Some(Value::text(value)),
    };
    let all = fields.all(&field.name);
    match field.occurrence {
        None if field.split => all.flat_map(elements).filter_map(typed).try_for_each(take),
        None => all.filter_map(typed).try_for_each(take),
        Some(occurrence) => {
            let values: Vec<_> = if field.split { all.flat_map(elements).collect() } else { all.collect() };
            let at = usize::try_from(occurrence.unsigned_abs()).ok().and_then(|nth| nth.checked_sub(1));
            let chosen = at.and_then(|at| if occurrence > 0 { values.get(at) } else { values.iter().rev().nth(at) });
            chosen.and_then(|value| typed(value)).map_or(Continue(()), take)
        }
    }
}

/// An address of a field, perhaps with a port, as in X-Forwarded-For.
fn address(value: &[u8]) -> Option<std::net::IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port)
}

/// The values of the cookies of that name, or of all.
fn cookies<'a>(side: Side, name: &'a str, facts: &Facts<'a>) -> impl Iterator<Item = &'a [u8]> {
    let lines = move |fields: &'a Fields| fields.all(if side == Side::Request { "cookie" } else { "set-cookie" });
    // A `Set-Cookie` has one cookie, before its attributes.
    let most = if side == Side::Request { usize::MAX } else { 1 };
    let pairs = fields(side, facts).into_iter().flat_map(lines);
    let pairs = pairs.flat_map(move |line| line.split(|byte| matches!(byte, b';')).take(most));
    pairs.filter_map(move |pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = pair.split_at_checked(equals)?;
        (name.is_empty() || found.trim_ascii() == name.as_bytes())
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

fn query(request: &Request) -> Option<&[u8]> {
    after(request.path_and_query(), b'?')
}

fn after(text: &[u8], delimiter: u8) -> Option<&[u8]> {
    let at = text.iter().position(|byte| *byte == delimiter)?;
    text.get(at + 1..)
}

/// The value of `name=value`.
fn parameter<'a>(pair: &'a [u8], name: &str, ignore_case: bool) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (found, value) = pair.split_at_checked(equals)?;
    let same = if ignore_case { found.eq_ignore_ascii_case(name.as_bytes()) } else { found == name.as_bytes() };
    (name.is_empty() || same).then(|| value.get(1..).unwrap_or_default())
}

fn base(request: &Request) -> Option<Value<'_>> {
    let path = request.path();
    match request.host() {
        Some(host) => Some(Value::made([host, path].concat())),
        None if path.is_empty() => None,
        None => Some(Value::text(path)),
    }
}

fn of_tls<'a>(what: Tls, facts: &Facts<'a>) -> Option<Value<'a>> {
    let connection = facts.scene.connection;
    let tls = || connection.tls.map(TlsFacts::for_conditions);
    let certificate = || tls()?.certificate.as_ref();
    let name = |name: &'a super::Name, attribute: Option<_>| match attribute {
        None => Some(Value::made(name.line())),
        Some(attribute) => name.attribute(attribute).map(Value::text),
    };
    Some(match what {
        Tls::Used => Value::Bool(connection.tls.is_some()),
        Tls::CertificateUsed => Value::Bool(connection.tls.is_some() && certificate().is_some()),
        Tls::Sni => Value::text(&**tls()?.sni.as_ref()?),
        Tls::Alpn => Value::text(&**tls()?.alpn.as_ref()?),
        Tls::Protocol => Value::text(&**tls()?.protocol.as_ref()?),
        Tls::Cipher => Value::text(&**tls()?.cipher.as_ref()?),
        Tls::Verify => Value::Int(tls()?.certificate.as_ref().map_or(0, |shown: &Certificate| shown.verify).into()),
        Tls::Subject(attribute) => return name(&certificate()?.subject, attribute),
        Tls::Issuer(attribute) => return name(&certificate()?.issuer, attribute),
        Tls::Serial => Value::Binary(Cow::Borrowed(&certificate()?.serial)),
        Tls::Sha1 => Value::Binary(Cow::Borrowed(&certificate()?.sha1)),
        Tls::HelloSni => Value::text(facts.scene.payload?.hello()?.sni.as_deref()?),
        Tls::HelloAlpn => Value::text(facts.scene.payload?.hello()?.alpn.as_deref()?),
        Tls::HelloType => Value::Int(facts.scene.payload?.hello().map(|_| 1)?),
    })
}

fn number(what: &Number, facts: &Facts<'_>) -> Option<Value<'static>> {
    let numbers = facts.scene.numbers;
    let backend = |named: Option<_>| named.or(facts.scene.backend);
    let number = match what {
        Number::Servers(of) => numbers.usable_servers(backend(*of)?)?,
        Number::BackendConnections(of) => numbers.backend_connections(backend(*of)?)?,
        Number::FrontendConnections(of) => numbers.frontend_connections(of.as_deref())?,
        Number::Queue(of) => numbers.queued(backend(*of)?)?,
        Number::AverageQueue(of) => {
            let (queued, servers) = (numbers.queued(backend(*of)?)?, numbers.usable_servers(backend(*of)?)?);
            if servers > 0 { queued.div_ceil(servers) } else { queued.saturating_mul(9_999) }
        }
        Number::Slots(of) => match numbers.free_slots(backend(*of)?) {
            Some(free) => free,
            None => return Some(Value::Int(-1)),
        },
        Number::ServerUp(backend, server) => return numbers.server_is_up(*backend, *server).map(Value::Bool),
        Number::ServerConnections(backend, server) => numbers.server_connections(*backend, *server)?,
    };
    Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}
