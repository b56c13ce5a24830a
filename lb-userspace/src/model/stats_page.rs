//! Statistics pages: how things stand, for people with a browser and for tools that read HAProxy's. HAProxy's `stats enable`.

use super::userlist::Userlist;
use std::{net::SocketAddr, time::Duration};

/// Where a page is unless it is said: HAProxy's `stats uri`.
pub const URI: &str = "/stats";
/// What browsers show when they ask for a password, unless it is said: HAProxy's `stats realm`.
pub const REALM: &str = "Sluice";

/// A statistics page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatsPage {
    /// Its name.
    pub name: String,
    /// Where it is served, without TLS. Not empty.
    pub binds: Vec<SocketAddr>,
    /// What its paths begin with. Default: [`URI`].
    pub uri: String,
    /// After how long browsers load it again, in whole seconds. Default: never.
    pub refresh: Option<Duration>,
    /// Who may see it; empty: everybody who reaches it.
    pub users: Userlist,
    /// Default: [`REALM`].
    pub realm: String,
    /// Whether those who see it may act: HAProxy's `stats admin`. Default: no.
    pub admin: bool,
    /// Whether it keeps the version to itself. Default: no.
    pub hide_version: bool,
    /// What this balancer is called on it. Default: nothing.
    pub node: Option<String>,
}
