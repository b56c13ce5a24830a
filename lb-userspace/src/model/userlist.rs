//! Userlist: who may authenticate with name and password.

use std::fmt;

/// Users by name. `Debug` shows no password.
#[derive(Clone, Eq, PartialEq)]
pub struct Userlist {
    /// Its name.
    pub name: String,
    /// Names and passwords; names are unique.
    pub users: Vec<(String, Password)>,
}

/// How a password is kept.
#[derive(Clone, Eq, PartialEq)]
pub enum Password {
    /// As it is: HAProxy's `insecure-password`.
    Clear(String),
    /// Hashed, as crypt(5) writes it: HAProxy's `password`. `$5$…` (SHA-256) or `$6$…` (SHA-512).
    Crypt(String),
}

impl fmt::Debug for Userlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Userlist").field("name", &self.name).field("users", &self.users.len()).finish()
    }
}
