//! What the checks of databases have in common.

use super::Login;

/// A login to a database, and what is asked there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqlLogin {
    /// Who.
    pub login: Login,
    /// Database to begin in. Default: the server's own.
    pub database: Option<String>,
    /// A server may have the password in clear text, although the connection is. Default: no.
    pub clear_password: bool,
    /// Default: nothing is asked.
    pub query: Option<Query>,
}

/// A statement, and what it must answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    /// In SQL.
    pub statement: String,
    /// Values that the last column of the first row may have. None: anything but an error will do.
    pub expect: Vec<String>,
}
