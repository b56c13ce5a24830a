//! What a line is put together from: HAProxy's `log-format` (manual, §8.2.6), parsed.

/// One piece of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// As it is.
    Text(String),
    /// One space, unless the line is empty or ends with one that a separator made.
    Separator,
    /// A value.
    Field(Field, Flags),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// `+Q`: texts in quotes.
    pub quoted: bool,
    /// `+X`: addresses, ports, seconds and counters in hexadecimal.
    pub hexadecimal: bool,
}

impl Field {
    /// Whether it is known when a request begins, before anything was done with it.
    pub fn is_known_at_first(self) -> bool {
        matches!(
            self,
            Self::Host
                | Self::Method
                | Self::Path
                | Self::PathOnly
                | Self::Query
                | Self::Uri
                | Self::Version
                | Self::RequestLine
                | Self::DateUtc
                | Self::DateLocal
                | Self::Date
                | Self::DateRequest
                | Self::DateRequestUtc
                | Self::DateRequestLocal
                | Self::Seconds
                | Self::Millis
                | Self::Pid
                | Self::Number
                | Self::ClientAddress
                | Self::ClientPort
                | Self::LocalAddress
                | Self::LocalPort
                | Self::Frontend
                | Self::FrontendTransport
                | Self::TlsCipher
                | Self::TlsVersion
        )
    }
}

macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $field:ident $alias:literal,)*) => {
        /// A value of a line.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Field {
            $($(#[doc = $doc])+ $field,)*
        }

        impl Field {
            /// Every one with HAProxy's name for it, without `%`.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($alias, Self::$field),)*];
        }
    };
}

fields! {
    /// Bytes to the client.
    BytesToClient "B",
    /// Captured cookie of the request; always `-`, there is no cookie capture.
    RequestCookie "CC",
    /// Captured cookie of the response; always `-`.
    ResponseCookie "CS",
    /// Name of the host.
    Host "H",
    /// Method.
    Method "HM",
    /// Target without the query.
    Path "HP",
    /// Path alone: without scheme and authority too.
    PathOnly "HPO",
    /// Query, `?` included.
    Query "HQ",
    /// Target.
    Uri "HU",
    /// Version.
    Version "HV",
    /// Id of the request.
    Id "ID",
    /// Status.
    Status "ST",
    /// Date in UTC with its zone.
    DateUtc "T",
    /// Milliseconds from the first byte of the request to the end.
    TimeActive "Ta",
    /// Milliseconds until connected.
    TimeConnect "Tc",
    /// Milliseconds of data.
    TimeData "Td",
    /// Milliseconds of handshakes.
    TimeHandshake "Th",
    /// Milliseconds before the first byte of the request.
    TimeIdle "Ti",
    /// Date in local time with its zone.
    DateLocal "Tl",
    /// Milliseconds until the request's head was complete.
    TimeUntilRequest "Tq",
    /// Milliseconds of the request's head.
    TimeRequest "TR",
    /// Milliseconds until the response's head was complete.
    TimeResponse "Tr",
    /// Seconds since 1970.
    Seconds "Ts",
    /// Milliseconds from the start to the end.
    TimeTotal "Tt",
    /// Milliseconds from the start to the end without the idle time.
    TimeUser "Tu",
    /// Milliseconds in queues.
    TimeQueue "Tw",
    /// Bytes from the client.
    BytesFromClient "U",
    /// Connections of the process.
    OpenProcess "ac",
    /// Backend.
    Backend "b",
    /// Connections of the backend.
    OpenBackend "bc",
    /// Our address towards the server.
    ServerLocalAddress "bi",
    /// Our port towards the server.
    ServerLocalPort "bp",
    /// Place in the backend's queue.
    QueueBackend "bq",
    /// Client's address.
    ClientAddress "ci",
    /// Client's port.
    ClientPort "cp",
    /// Frontend.
    Frontend "f",
    /// Connections of the frontend.
    OpenFrontend "fc",
    /// Address that the client connected to.
    LocalAddress "fi",
    /// Port that the client connected to.
    LocalPort "fp",
    /// Frontend, with `~` after it under TLS.
    FrontendTransport "ft",
    /// Captured fields of the request, in braces.
    RequestFields "hr",
    /// Captured fields of the request, as a list.
    RequestFieldList "hrl",
    /// Captured fields of the response, in braces.
    ResponseFields "hs",
    /// Captured fields of the response, as a list.
    ResponseFieldList "hsl",
    /// Milliseconds of the date.
    Millis "ms",
    /// Process.
    Pid "pid",
    /// Request line.
    RequestLine "r",
    /// Retries, with `+` before them after a redispatch.
    Retries "rc",
    /// Number of the request.
    Number "rt",
    /// Server.
    Server "s",
    /// Connections of the server.
    OpenServer "sc",
    /// Server's address.
    ServerAddress "si",
    /// Server's port.
    ServerPort "sp",
    /// Place in the server's queue.
    QueueServer "sq",
    /// Cipher.
    TlsCipher "sslc",
    /// Version of TLS.
    TlsVersion "sslv",
    /// Date in local time with milliseconds.
    Date "t",
    /// The same of the first byte of the request.
    DateRequest "tr",
    /// The date of the first byte in UTC with its zone.
    DateRequestUtc "trg",
    /// The date of the first byte in local time with its zone.
    DateRequestLocal "trl",
    /// Termination, two letters.
    Termination "ts",
    /// Termination, four letters.
    TerminationCookies "tsc",
}
