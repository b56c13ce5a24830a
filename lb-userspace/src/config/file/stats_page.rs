//! Statistics pages.

use super::User;
use crate::config::{
    read::{OneOrMany, table},
    source::At,
    text::Text,
};
use std::{net::SocketAddr, time::Duration};

table! {
    /// `[stats_page.NAME]`: how things stand, as a page and in HAProxy's forms of CSV and JSON (`;csv` and `;json` behind its
    /// URI). HAProxy's `stats enable`, on a listener of its own.
    struct StatsPage, "a statistics page" {
        /// Where it is served, one or an array, without TLS: addresses that clients do not reach. Takes effect at the next
        /// start; all else here at a reload. Required.
        bind: OneOrMany<SocketAddr>,
        /// What its paths begin with, as HAProxy's `stats uri`. Default: "/stats".
        uri: Text,
        /// After how long browsers load it again, 1s to 1d, in whole seconds, as HAProxy's `stats refresh`. Default: never.
        refresh: Duration,
        /// Who may see it, by name and password (HTTP Basic), as HAProxy's `stats auth`; see `userlist`. Default: everybody who
        /// reaches it.
        user: Vec<At<User>>,
        /// What browsers show when they ask for the password, as HAProxy's `stats realm`. Default: "Sluice".
        realm: Text,
        /// Whether those who see it may take servers out and bring them back, change weights and cut connections, as HAProxy's
        /// `stats admin`. Default: false.
        admin: bool,
        /// Whether it keeps the version to itself, as HAProxy's `stats hide-version`. Default: false.
        hide_version: bool,
        /// What this balancer is called on it, as HAProxy's `stats show-node`. Default: nothing.
        node: Text,
    }
}
