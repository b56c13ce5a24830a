//! Expression: a fetch (what of a connection, a request, a response or of the balancer itself is looked at) and the
//! converters that its value goes through. configuration.txt, sections 7.3.2 to 7.3.6.

use super::Converter;
use crate::model::{BackendIndex, userlist::Userlist};
use std::{net::IpAddr, sync::Arc};

/// What is looked at, and what becomes of its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expression {
    /// Where the value comes from.
    pub fetch: Fetch,
    /// Applied in order. One that cannot be applied to a value (a word that is not there) ends with no value.
    pub converters: Vec<Converter>,
}

/// What kind of value there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A signed number of 64 bits.
    Int,
    /// An address of either family.
    Ip,
    /// Bytes that are text.
    Text,
    /// Bytes that are none: as text they are hexadecimal digits.
    Binary,
    /// Known only when it is there (a variable).
    Any,
}

/// When a value is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Moment {
    /// From the start of a connection.
    Connection,
    /// With the first bytes of a connection that is relayed.
    Content,
    /// With a request, until it is sent.
    Request,
    /// With a response.
    Response,
}

/// Which head a field is taken from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

/// What an expression looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fetch {
    /// A field of a head: `hdr`, `fhdr`, `shdr`, …
    Field(Field),
    /// How many values `hdr` has: `hdr_cnt`, …
    FieldCount(Field),
    /// Values of the cookie of that name: `req.cook`, `res.cook`.
    Cookie(Side, Box<str>),
    /// How often there is a cookie of that name: `req.cook_cnt`, …
    CookieCount(Side, Box<str>),
    /// `url_param`: values of a parameter of the query.
    Parameter {
        /// Its name; empty: any.
        name: Box<str>,
        /// What begins the query instead of `?`.
        delimiter: Option<u8>,
        /// Whether case does not count in the name.
        ignore_case: bool,
    },
    /// `path`: up to the question mark; nothing for `*`.
    Path,
    /// `pathq`: path and query.
    PathAndQuery,
    /// `url`: the target as sent.
    Url,
    /// `base`: host and path.
    Base,
    /// `query`: after the question mark.
    Query,
    /// `method`.
    Method,
    /// `req.ver`: "1.1".
    Version,
    /// `status` of the response.
    Status,
    /// `src`.
    Source,
    /// `src_port`.
    SourcePort,
    /// `dst`.
    Destination,
    /// `dst_port`.
    DestinationPort,
    /// Of the client's TLS.
    Tls(Tls),
    /// `req.len`: bytes of a connection that were read ahead.
    Length,
    /// `req.payload(offset,length)`: some of these; length 0: all from there on.
    Payload(usize, usize),
    /// A number of the balancer itself.
    Number(Number),
    /// `rand(n)`: from 0 to n − 1.
    Random(u32),
    /// `var(txn.x)`: the whole name, with its scope.
    Variable(Arc<str>),
    /// `http_auth(list)`: whether the request carries name and password of one of these users.
    Authenticated(Arc<Userlist>),
    /// `req.proto_http`: there is a request.
    IsHttp,
    /// `wait_end`: no more of the first bytes is waited for.
    IsWhole,
    /// `unique-id`.
    UniqueId,
    /// `str(…)`, `int(…)`, `bool(…)`, `ipv4(…)`, `always_true`, …
    Constant(Constant),
}

/// Which field of a head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// Of which head.
    pub side: Side,
    /// In lower case. Empty: any (`hdr_cnt`).
    pub name: Box<str>,
    /// Whether its value is a list, split at commas outside of quotes.
    pub split: bool,
    /// Only this value: from 1 from the front, from −1 from the end. `None`: all in an ACL, the last elsewhere.
    pub occurrence: Option<i32>,
    /// As what it is read: text, an address (`hdr_ip`) or a number (`hdr_val`).
    pub kind: Kind,
}

/// Of the client's TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tls {
    /// `ssl_fc`: whether there is any.
    Used,
    /// `ssl_fc_sni`.
    Sni,
    /// `ssl_fc_alpn`.
    Alpn,
    /// `ssl_fc_protocol`.
    Protocol,
    /// `ssl_fc_cipher`.
    Cipher,
    /// `ssl_c_used`: whether the client showed a certificate.
    CertificateUsed,
    /// `ssl_c_verify`: OpenSSL's code of what is wrong with it; 0: nothing.
    Verify,
    /// `ssl_c_s_dn`, the whole or one attribute of it.
    Subject(Option<Attribute>),
    /// `ssl_c_i_dn`.
    Issuer(Option<Attribute>),
    /// `ssl_c_serial`.
    Serial,
    /// `ssl_c_sha1`.
    Sha1,
    /// `req.ssl_sni`: of a ClientHello that is passed through.
    HelloSni,
    /// `req.ssl_alpn`: the first protocol that it offers.
    HelloAlpn,
    /// `req.ssl_hello_type`: 1, if that is a ClientHello.
    HelloType,
}

/// An attribute of a distinguished name, by its short name in OpenSSL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attribute {
    /// `CN`
    CommonName,
    /// `O`
    Organization,
    /// `OU`
    Unit,
    /// `C`
    Country,
    /// `ST`
    State,
    /// `L`
    Locality,
    /// `emailAddress`
    Email,
}

/// A number of the balancer itself, read when it is asked for. Backends are indices into the model; `None`: the one that
/// the request goes to, unknown before that is decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Number {
    /// `nbsrv`: servers that may take traffic.
    Servers(Option<BackendIndex>),
    /// `be_conn`: requests (`http`) or connections (`tcp`) that the backend has in hand: its servers', and those that wait.
    /// Connections that are kept for requests to come are none.
    BackendConnections(Option<BackendIndex>),
    /// `fe_conn`: connections of a frontend, by its name; `None`: of this one.
    FrontendConnections(Option<Box<str>>),
    /// `queue`: requests that wait in the backend.
    Queue(Option<BackendIndex>),
    /// `avg_queue`: the same, for each of its active servers.
    AverageQueue(Option<BackendIndex>),
    /// `connslots`: connections and waiting places that the servers have free.
    Slots(Option<BackendIndex>),
    /// `srv_is_up`: whether a server, by its place, may take traffic.
    ServerUp(BackendIndex, usize),
    /// `srv_conn`: the same of one server, without those that wait.
    ServerConnections(BackendIndex, usize),
}

/// A value that is written into the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Constant {
    /// `always_true`, `bool(1)`.
    Bool(bool),
    /// `int(5)`.
    Int(i64),
    /// `ipv4(…)`, `ipv6(…)`.
    Ip(IpAddr),
    /// `str(text)`.
    Text(Box<str>),
    /// `bin(hexadecimal)`.
    Binary(Box<[u8]>),
}

impl Fetch {
    /// What kind of value it gives.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Field(field) => field.kind,
            Self::Number(Number::ServerUp(..)) | Self::Authenticated(_) | Self::IsHttp | Self::IsWhole => Kind::Bool,
            Self::FieldCount(_)
            | Self::CookieCount(..)
            | Self::Status
            | Self::SourcePort
            | Self::DestinationPort
            | Self::Length
            | Self::Random(_)
            | Self::Number(_) => Kind::Int,
            Self::Cookie(..)
            | Self::Parameter { .. }
            | Self::Path
            | Self::PathAndQuery
            | Self::Url
            | Self::Base
            | Self::Query
            | Self::Method
            | Self::Version
            | Self::UniqueId => Kind::Text,
            Self::Source | Self::Destination => Kind::Ip,
            Self::Tls(tls) => tls.kind(),
            Self::Payload(..) => Kind::Binary,
            Self::Variable(_) => Kind::Any,
            Self::Constant(constant) => constant.kind(),
        }
    }

    /// Whether the last of several values is the one outside of ACLs, instead of the first.
    pub const fn takes_last(&self) -> bool {
        !matches!(self, Self::Parameter { .. })
    }

    /// When it is there.
    pub fn moment(&self) -> Moment {
        match self {
            Self::Field(Field { side, .. })
            | Self::FieldCount(Field { side, .. })
            | Self::Cookie(side, _)
            | Self::CookieCount(side, _) => side.moment(),
            Self::Status => Moment::Response,
            Self::Parameter { .. }
            | Self::Path
            | Self::PathAndQuery
            | Self::Url
            | Self::Base
            | Self::Query
            | Self::Method
            | Self::Version
            | Self::IsHttp
            | Self::Authenticated(_) => Moment::Request,
            Self::Tls(Tls::HelloSni | Tls::HelloAlpn | Tls::HelloType)
            | Self::Length
            | Self::Payload(..)
            | Self::IsWhole => Moment::Content,
            Self::Source
            | Self::SourcePort
            | Self::Destination
            | Self::DestinationPort
            | Self::Tls(_)
            | Self::Number(_)
            | Self::Random(_)
            | Self::Variable(_)
            | Self::UniqueId
            | Self::Constant(_) => Moment::Connection,
        }
    }
}

impl Side {
    const fn moment(self) -> Moment {
        match self {
            Self::Request => Moment::Request,
            Self::Response => Moment::Response,
        }
    }
}

impl Tls {
    const fn kind(self) -> Kind {
        match self {
            Self::Used | Self::CertificateUsed => Kind::Bool,
            Self::Verify | Self::HelloType => Kind::Int,
            Self::Serial | Self::Sha1 => Kind::Binary,
            Self::Sni
            | Self::Alpn
            | Self::Protocol
            | Self::Cipher
            | Self::Subject(_)
            | Self::Issuer(_)
            | Self::HelloSni
            | Self::HelloAlpn => Kind::Text,
        }
    }
}

impl Constant {
    /// What kind of value it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Ip(_) => Kind::Ip,
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }
}

impl Expression {
    /// What kind of value it gives.
    pub fn kind(&self) -> Kind {
        self.converters.last().map_or_else(|| self.fetch.kind(), |converter| converter.kinds().1)
    }
}

impl Kind {
    /// Whether values of this kind can be taken as `other`. HAProxy's `sample_casts`.
    pub fn casts_to(self, other: Self) -> bool {
        match (self, other) {
            (Self::Any | Self::Int | Self::Text, _) | (_, Self::Any | Self::Text) => true,
            (Self::Bool, to) => matches!(to, Self::Bool | Self::Int),
            (Self::Ip, to) => matches!(to, Self::Ip | Self::Int | Self::Binary),
            (Self::Binary, to) => to == Self::Binary,
        }
    }
}

impl Attribute {
    /// Its short name, as OpenSSL writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommonName => "CN",
            Self::Organization => "O",
            Self::Unit => "OU",
            Self::Country => "C",
            Self::State => "ST",
            Self::Locality => "L",
            Self::Email => "emailAddress",
        }
    }

    /// All.
    pub const ALL: [Self; 7] =
        [Self::CommonName, Self::Organization, Self::Unit, Self::Country, Self::State, Self::Locality, Self::Email];
}
