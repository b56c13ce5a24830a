//! The keys of a check of type `ldap`.

use crate::config::{read::table, text::Text};

table! {
    /// The keys of a check of type `ldap`.
    struct LdapKeys, "a check of type `ldap`" {
        /// Distinguished name to bind as, such as "cn=probe,dc=example,dc=com". Default: an anonymous bind, as HAProxy's
        /// `ldap-check`.
        bind_dn: Text,
        /// File whose first line is its password.
        password_file: Text,
        /// Begin TLS by the request for it; needs `tls` in the check. Default: false, `tls` begins with the connection.
        starttls: bool,
    }
}
