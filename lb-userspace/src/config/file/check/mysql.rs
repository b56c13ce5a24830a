//! The keys of a check of type `mysql`.

use crate::config::{
    read::{OneOrMany, Word, table},
    text::Text,
};

table! {
    /// The keys of a check of type `mysql`.
    struct MysqlKeys, "a check of type `mysql`" {
        /// How far a probe goes. `full`: it logs in by whatever way the server asks for (`mysql_native_password`,
        /// `caching_sha2_password`, `sha256_password`, `mysql_clear_password`), asks the `query`, and says goodbye, so that the
        /// server counts nothing as aborted. `post-41`, `pre-41`, `post-80`: HAProxy's `option mysql-check user`, byte for byte, a
        /// name without a password. `greeting`: HAProxy's `option mysql-check`, which the server counts as an aborted connection.
        /// Default: "full" with a `user`, else "greeting".
        login: MysqlDepth,
        /// Name of the login, 1 to 255 bytes. Default: none.
        user: Text,
        /// File whose first line is the password. `caching_sha2_password` and `sha256_password` without `tls` encrypt it by a key
        /// that the server sends, which somebody between may replace by his own. Default: no password.
        password_file: Text,
        /// Database to begin in. Default: none.
        database: Text,
        /// Whether a server that asks for it (`mysql_clear_password`) gets the password in clear text although there is no `tls`.
        /// Default: false.
        clear_password: bool,
        /// A statement after the login, in SQL. Default: none.
        query: Text,
        /// What the last column of its first row must be: a string, or an array of them. NULL is none. Default: anything but an
        /// error will do.
        expect: OneOrMany<Text>,
    }
}

/// `login` of a check of type `mysql`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MysqlDepth {
    Full,
    Post41,
    Pre41,
    Post80,
    Greeting,
}

impl Word for MysqlDepth {
    const WHAT: &'static str = "a login of MySQL";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("full", Self::Full),
        ("post-41", Self::Post41),
        ("pre-41", Self::Pre41),
        ("post-80", Self::Post80),
        ("greeting", Self::Greeting),
    ];
}
