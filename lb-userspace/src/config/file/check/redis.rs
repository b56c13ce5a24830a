//! The keys of a check of type `redis`.

use crate::{
    config::{
        read::{Word, table},
        text::Text,
    },
    model::check::Role,
};

table! {
    /// The keys of a check of type `redis`.
    struct RedisKeys, "a check of type `redis`" {
        /// Name of the login (Redis 6). Default: none, the password is that of all.
        user: Text,
        /// File whose first line is the password. Default: no login.
        password_file: Text,
        /// What the server must be: `any`, `master` (it takes writes), or `replica` (it follows one, and has a connection to it).
        /// Default: `any`.
        role: Role,
    }
}

/// Words of the databases' own, old and new.
impl Word for Role {
    const WHAT: &'static str = "a role";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("any", Self::Any),
        ("master", Self::Primary),
        ("primary", Self::Primary),
        ("replica", Self::Replica),
        ("slave", Self::Replica),
    ];
}
