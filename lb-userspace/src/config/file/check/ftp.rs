//! The keys of a check of type `ftp`.

use crate::config::{read::table, text::Text};

table! {
    /// The keys of a check of type `ftp`.
    struct FtpKeys, "a check of type `ftp`" {
        /// Name of the login. Default: no login, the banner is enough.
        user: Text,
        /// File whose first line is the password. Default: none is said.
        password_file: Text,
        /// Begin TLS by AUTH TLS; needs `tls` in the check. Default: false, `tls` begins with the connection.
        starttls: bool,
    }
}
