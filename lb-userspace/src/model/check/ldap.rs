//! The LDAP check.

use super::Login;

/// A bind, and leave.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LdapCheck {
    /// A distinguished name and its password. Default: an anonymous bind.
    pub login: Option<Login>,
    /// TLS is begun by the extended request for it, not at once.
    pub starttls: bool,
}
