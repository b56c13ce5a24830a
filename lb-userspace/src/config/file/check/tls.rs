//! The keys of a check of type `tls`.

use crate::config::read::table;
use std::time::Duration;

table! {
    /// The keys of a check of type `tls`.
    struct TlsKeys, "a check of type `tls`" {
        /// Warn, once a day, if the server's certificate ends within this time, 0s to 1000d. Default: 14d.
        warn_before: Duration,
        /// Fail if it does, 0s to 1000d. Default: the end of a certificate alone takes no server down before its day.
        fail_before: Duration,
    }
}
