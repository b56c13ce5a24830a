//! `[resolvers]`.

use crate::config::read::{OneOrMany, table};
use std::{net::SocketAddr, time::Duration};

table! {
    /// `[resolvers]`: HAProxy's section of that name.
    struct Resolvers, "`[resolvers]`" {
        /// Name servers, "address:port", one or an array; all are asked at once, and the first usable answer counts. Default:
        /// those of /etc/resolv.conf at port 53, as read with the configuration. Names that /etc/hosts knows are not asked for.
        nameserver: OneOrMany<SocketAddr>,
        /// How often a question is asked until it counts as unanswered, 1 to 10. Default: 3, as HAProxy.
        resolve_retries: i64,
        /// How long an answer is waited for until the question is asked again, 10ms to 1m; HAProxy's `timeout retry`. A new
        /// configuration waits as long for names that it is the first to ask for. Default: 1s, as HAProxy.
        timeout_retry: Duration,
        /// From a failure to the next question, 100ms to 1h; up to ten times as long if failures go on. HAProxy's `timeout
        /// resolve`. Default: 1s, as HAProxy.
        timeout_resolve: Duration,
        /// Once its TTL is over an answer is asked for again, but not sooner than this, 100ms to 1d. HAProxy does not heed the
        /// TTL. Default: 1s.
        ttl_min: Duration,
        /// ... and not later than this, `ttl_min` to 7d. Default: 1h.
        ttl_max: Duration,
        /// How long the last good address stands while the name does not exist or has no address, up to 1y; then the server is
        /// down. HAProxy's `hold nx`, 30s there. Default: for ever.
        hold_nx: Duration,
        /// The same while name servers refuse to answer. HAProxy's `hold refused`, 30s there. Default: for ever.
        hold_refused: Duration,
        /// The same while no answer comes. HAProxy's `hold timeout`, 30s there. Default: for ever.
        hold_timeout: Duration,
        /// The same after any other failure, or an answer whose addresses cannot be used. HAProxy's `hold other`, 30s there.
        /// Default: for ever.
        hold_other: Duration,
        /// How long a server keeps an address that is not in the answers any more, up to 1y, as HAProxy's `hold obsolete`; for
        /// names that have more addresses than an answer shows. Default: 0s, as HAProxy.
        hold_obsolete: Duration,
    }
}
