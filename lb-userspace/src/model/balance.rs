//! Balance: how a backend picks a server, in HAProxy's words.

use super::acl::Expression;

/// How a server is picked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Balance {
    /// By turns, smoothly by weight. For `tcp` and `http` frontends only: the kernel half keeps no turn.
    #[default]
    RoundRobin,
    /// By turns, in a map that is made once the servers change.
    StaticRoundRobin,
    /// The server with the fewest connections (`tcp`) or requests (`http`) for its weight.
    LeastConn,
    /// The first of the file that has room.
    First,
    /// The least loaded of some drawn by weight.
    Random {
        /// How many are drawn: 1 to 16.
        draws: u8,
    },
    /// By the hash of the flow in the ring of the backend: the same server from every balancer of the group.
    Maglev,
    /// By the hash of a key, as HAProxy hashes.
    Hash {
        /// The key.
        by: Keyed,
        /// How it is hashed and looked up.
        kind: HashType,
    },
}

impl Balance {
    /// Whether servers are looked up in a map that knows each with its full share or not at all: HAProxy's "static" algorithms.
    pub fn is_static(&self) -> bool {
        match self {
            Self::StaticRoundRobin => true,
            Self::Hash { kind, .. } => !kind.consistent,
            Self::RoundRobin | Self::LeastConn | Self::First | Self::Random { .. } | Self::Maglev => false,
        }
    }
}

/// The key that a hash is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Keyed {
    /// The client's address.
    Source,
    /// The request's target.
    Uri(Uri),
    /// A parameter of the query.
    UrlParam(String),
    /// A header field.
    Header {
        /// Its name, in lower case.
        name: String,
        /// Only the part before the last one of a domain: `example` of `www.example.com`.
        domain_only: bool,
    },
    /// The value of an expression, as bytes.
    Expression(Box<Expression>),
}

impl Keyed {
    /// Whether there is such a key only in a request; of an expression that depends on what it looks at.
    pub fn needs_request(&self) -> bool {
        match self {
            Self::Source | Self::Expression(_) => false,
            Self::Uri(_) | Self::UrlParam(_) | Self::Header { .. } => true,
        }
    }
}

/// What of a target makes the key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Uri {
    /// With the query.
    pub whole: bool,
    /// Without scheme and authority.
    pub path_only: bool,
    /// Only so many bytes.
    pub len: Option<usize>,
    /// Only so many directories.
    pub depth: Option<usize>,
}

/// HAProxy's `hash-type`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HashType {
    /// Points on a circle, so that a server that comes or goes moves only its own keys; else a map of all servers.
    pub consistent: bool,
    /// The function.
    pub function: Function,
    /// Whether the result is mixed once more.
    pub avalanche: bool,
}

/// A function of `hash-type`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Function {
    /// That of sdbm.
    #[default]
    Sdbm,
    /// Daniel Bernstein's.
    Djb2,
    /// HAProxy's own.
    Wt6,
    /// That of Ethernet.
    Crc32,
    /// The key is a number.
    None,
}
