//! The check of MySQL and MariaDB.

use super::SqlLogin;

/// How far a probe goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MysqlCheck {
    /// Logs in, asks, and says goodbye.
    Full(SqlLogin),
    /// Waits for the greeting and hangs up: HAProxy's `option mysql-check` without a user.
    Greeting,
    /// Sends a login without a password and a goodbye in one packet: HAProxy's `option mysql-check user`.
    Blind {
        /// Who.
        user: String,
        /// In which form.
        form: MysqlForm,
    },
}

/// Forms of a login that HAProxy has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MysqlForm {
    /// Since MySQL 4.1.
    Post41,
    /// Before it.
    Pre41,
    /// With the name of a plugin, as MySQL 8.0 wants it.
    Post80,
}
