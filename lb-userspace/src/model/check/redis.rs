//! The Redis check.

use super::Login;

/// A PING, behind a login if it is given, and the server's role if one is asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RedisCheck {
    /// Default: no login. Without a name it is `default`'s, as before Redis 6.
    pub login: Option<Login>,
    /// Default: any.
    pub role: Role,
}

/// What a server of replicated data is to its others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Role {
    /// Whatever it is.
    #[default]
    Any,
    /// It takes writes.
    Primary,
    /// It follows another; of Redis, it also has a connection to that.
    Replica,
}
