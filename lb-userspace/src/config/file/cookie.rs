//! `cookie` of a backend.

use crate::{
    config::{
        read::{OneOrMany, Word, table},
        text::Text,
    },
    model::cookie::CookieMode,
};
use std::time::Duration;

table! {
    /// `cookie` of a backend: how a client is brought back to its server. HAProxy's `cookie`.
    struct Cookie, "a cookie" {
        /// Its name. Required.
        name: Text,
        /// `insert`: ours, added to answers; `rewrite`: the server's, whose value becomes ours where it is set; `prefix`: the
        /// server's, with our value and `~` before its own, which the server does not see. Default: `insert`.
        mode: CookieMode,
        /// Servers never see it, and clients that have the right one do not get it again (`insert`). Default: false.
        indirect: bool,
        /// Answers that set it get `cache-control: private`, so that no shared cache hands it to others. Default: false.
        nocache: bool,
        /// Only answers to POST set it (`insert`). Default: false.
        postonly: bool,
        /// If a server sets it, that is left alone (`insert`). Default: false.
        preserve: bool,
        /// Servers without a value of their own get one that is made of their address and port and of the backend's
        /// `dynamic_cookie_key`: the same from every balancer with that key, whatever the order of the servers. Default: false.
        dynamic: bool,
        /// Scripts do not see it. Default: false.
        httponly: bool,
        /// Browsers send it over TLS alone. Default: false.
        secure: bool,
        /// Its domains, one or an array. Default: the host that the client asked.
        domain: OneOrMany<Text>,
        /// Longest time between two uses, afterwards it is ignored (`insert`). Default: for ever.
        maxidle: Duration,
        /// Longest time from the first use (`insert`). Default: for ever.
        maxlife: Duration,
        /// More attributes, such as "SameSite=Lax", one or an array. Default: none.
        attr: OneOrMany<Text>,
    }
}

impl Word for CookieMode {
    const WHAT: &'static str = "a mode of a cookie";
    const WORDS: &'static [(&'static str, Self)] =
        &[("insert", Self::Insert), ("rewrite", Self::Rewrite), ("prefix", Self::Prefix)];
}
