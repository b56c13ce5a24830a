//! The keys of a check of type `pgsql`.

use crate::{
    config::{
        read::{OneOrMany, Word, table},
        text::Text,
    },
    model::check::Role,
};

table! {
    /// The keys of a check of type `pgsql`.
    struct PgsqlKeys, "a check of type `pgsql`" {
        /// How far a probe goes. `full`: it logs in by whatever way the server asks for (trust, a password in clear text, MD5,
        /// SCRAM-SHA-256), asks for the `role` and the `query`, and says goodbye. `startup`: HAProxy's `option pgsql-check user`,
        /// byte for byte, which is content when the server asks for a password. Default: "full".
        login: PgsqlDepth,
        /// Name of the login, 1 to 255 bytes. Required.
        user: Text,
        /// File whose first line is the password. Default: no password.
        password_file: Text,
        /// Database to log in to. Default: the one of the user's name.
        database: Text,
        /// Whether a server that asks for it (`password` in pg_hba.conf) gets the password in clear text although there is no
        /// `tls`. Default: false.
        clear_password: bool,
        /// What the server must be by `pg_is_in_recovery()`: `any`, `primary`, or `replica`. Default: `any`.
        role: Role,
        /// A statement after the login, in SQL. Default: none.
        query: Text,
        /// What the last column of its first row must be, as text (`t` and `f` of booleans): a string, or an array of them. NULL
        /// is none. Default: anything but an error will do.
        expect: OneOrMany<Text>,
    }
}

/// `login` of a check of type `pgsql`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PgsqlDepth {
    Full,
    Startup,
}

impl Word for PgsqlDepth {
    const WHAT: &'static str = "a login of PostgreSQL";
    const WORDS: &'static [(&'static str, Self)] = &[("full", Self::Full), ("startup", Self::Startup)];
}
