//! The check of PostgreSQL.

use super::{Role, SqlLogin};

/// How far a probe goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PgsqlCheck {
    /// Logs in, asks, and says goodbye.
    Full {
        /// Who, and what is asked.
        login: SqlLogin,
        /// Default: any.
        role: Role,
    },
    /// Says who it is, and is content with the server's next question: HAProxy's `option pgsql-check`.
    Startup {
        /// Who.
        user: String,
    },
}
