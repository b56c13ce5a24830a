//! Backends and their servers as they are typed.

use super::{Agent, Check, Cookie, Marked, MarkedUp, Mode, ResolveOpts, RetryWord, Rule, ServerTls};
use crate::{
    config::{
        address::ServerAddress,
        balance::Balancing,
        read::{Named, OneOrMany, table},
        source::At,
        text::Text,
    },
    model::{Family, OnEmpty, Proto, Reuse, SendProxy, Track, balance::HashType},
};
use lb_common::Forward;
use std::{net::IpAddr, time::Duration};

table! {
    /// `[backend.NAME]`.
    struct Backend, "a backend" {
        /// `tcp` or `http`, if frontends of another mode must not use it. Default: that of its frontends.
        mode: Mode,
        /// How a server is picked, in HAProxy's words. By turns: `roundrobin`, smoothly by weight, over all threads together;
        /// `static-rr`, by a map that is made once servers come or go. By load: `leastconn`, the fewest connections (`tcp`) or
        /// requests (`http`) for its weight; `random(N)`, the least loaded of N drawn by weight (1 to 16, 2 if not said);
        /// `first`, the first of the file with room below its `maxconn`. By a hash: `maglev`, of the flow, so that every
        /// balancer of a group picks the same server; `source`, of the client's address, so that all its connections meet at
        /// one server, as those of FTP must (as `maglev`; with a `hash_type` as HAProxy). Of requests (`http`) also: `uri`,
        /// the target up to the query, with `whole` also that, with `path_only` without an authority, with `len N` its first
        /// N bytes, with `depth N` its first N directories; `url_param(NAME)`, a parameter of the query; `hdr(NAME)`, a
        /// field's first value, with `use_domain_only` only `example` of `www.example.com`. `hash EXPRESSION`: what an ACL could
        /// look at, with converters (`hash req.cook(user)`, `hash path,lower`); in `tcp` what a connection knows, and what its
        /// rules have waited for. Where there is no such key, by turns. `l4` frontends balance by `maglev` or `source`, and by
        /// `maglev` if nothing is said; else the default is `roundrobin`.
        balance: Balancing,
        /// How `source`, `uri`, `url_param`, `hdr` and `hash` pick by their key, as HAProxy's `hash-type`: `map-based` (most
        /// keys move when a server comes or goes) or `consistent` (only its own do); then `sdbm`, `djb2`, `wt6`, `crc32` or
        /// `none` (the key is a number); then `avalanche`, mixed once more. Default: "map-based sdbm"; of "consistent":
        /// "consistent sdbm avalanche".
        hash_type: HashType,
        /// How packets of `l4` frontends reach the servers. `direct`: on the same link, as they are; servers own the VIP and
        /// answer clients themselves. `nat`: address and port are rewritten; replies must pass here, so the servers' route
        /// to the clients leads here. `ipip`: in a tunnel (protocol 4 or 41), through any routers; servers own the VIP and
        /// answer clients themselves. `gue`: the same in UDP, which spreads over the servers' queues. `fullnat`: the client's
        /// address is rewritten too, so that servers need no route here, but do not see the client. Ports are mapped by
        /// `nat` and `fullnat` alone; servers of the other family are reached by `ipip` and `gue` alone. Required by `l4`
        /// frontends.
        forward: Forward,
        /// UDP port that the servers take tunnelled packets on (`gue`), 1 to 65535. Default: 6080 (IANA).
        gue_port: i64,
        /// Addresses of this machine's that servers answer to (`fullnat`), one or an array, of each family that the VIPs
        /// have; each gives room for some 31,000 connections to a server and port. Backends may share them; VIPs, servers
        /// and this machine's own packets have others. As HAProxy's `source`. Required by `fullnat`.
        source: OneOrMany<IpAddr>,
        /// Which flows the kernel half remembers: `auto`: those of slots that change hands; `full`: all, in a table that
        /// forgets the oldest when it is full. `full` is needed where the source of a `nat` server's reply does not tell
        /// its VIP; `fullnat` remembers all by itself. Default: `auto`.
        track: Track,
        /// How long a slot of the ring changes hands when servers come, go or drain, 1s to 24h: flows that send a packet
        /// within that time stay with their server. Default: 5m.
        transition: Duration,
        /// How long a server that a reload removes, or that moves to another address, may go on with what it has, 1s to 7d:
        /// until its last flow, connection and exchange are over it gets nothing new; then what is left is cut. The reload that
        /// removes it may say otherwise than the configuration before it. Also how long the VIP of an `l4` frontend that a reload
        /// removes forwards the connections of TCP that it has. Default: 1h.
        drain_timeout: Duration,
        /// What its servers speak to `http` frontends: `h1`, or `h2`, also in clear text as gRPC servers do; HAProxy's `proto`
        /// of a server. Default: `h1`.
        proto: Proto,
        /// Which requests may go on a connection to a server that another client has used (`http`), HAProxy's `http-reuse`.
        /// `never`: none, each client has its own, of which five are kept until it leaves; `safe`: not the first one of a client,
        /// but those that can be repeated; `aggressive`: also a first one, on a connection that several requests have used;
        /// `always`: all. A server may close a kept connection just when it is used: then what cannot be repeated gets 502. One
        /// that a client has logged in on by NTLM or Negotiate is its own from then on. Default: `safe`.
        http_reuse: Reuse,
        /// Servers are told who the client is by a header of the PROXY protocol, `v1` (a line of text) or `v2` (binary), before
        /// the client's first byte; checks say that they speak for themselves. HAProxy's `send-proxy` and `send-proxy-v2` of a
        /// server. Connections belong to their client then, as with `http_reuse = "never"`. Default: they are not told.
        send_proxy: SendProxy,
        /// TLS to the servers that say nothing else, as HAProxy's `default-server ssl`. Not for `l4`. Default: clear text.
        tls: ServerTls,
        /// How servers are checked. Default: not at all, they count as up.
        check: Check,
        /// A program beside each server that is asked, beside the check, for a line of words and says by these how the server is
        /// and how much it wants, as HAProxy's `agent-check`. `N%`: the weight, in hundredths of the configured one, rounded down
        /// and 256 at most; 0 takes nothing new but what a cookie brings back, so that with weight 1 all below 100% is that:
        /// give such servers `weight = 100`. `maxconn:N`: in place of `maxconn` (`tcp`, `http`), 0: any number. `up`, and `down`,
        /// `fail` or `stopped` with a reason after ` #`: the server is up if neither the check nor the agent says otherwise.
        /// `ready`, `drain`, `maint`: as `sluice server`; the last word counts, the operator's or the agent's. What an agent does
        /// not say stays as it is, and so does all if it is silent or cannot be reached. Its words outlive a reload; a weight in
        /// percent is then one of what is configured now, and they go if the configuration has the agent no more. Ways to
        /// balance by a map (`static-rr`, hashes without `consistent`) take `0%` and `100%` alone. Not for servers with `track`.
        /// Default: none.
        agent: Agent,
        /// `[[backend.NAME.server]]`: at least one.
        server: Vec<At<Server>>,
        /// Whether all backup servers share the traffic once no other server can take it, by `balance` and their weights, as
        /// HAProxy's `option allbackups`. Default: false, the first of them that can takes it alone.
        allbackups: bool,
        /// Fewest servers that can take new traffic, 1 to 65535: with fewer the backend counts as one without any. What is there
        /// stays where it is. Backups are counted by themselves, once no other server can take traffic. Default: 1.
        min_up: i64,
        /// What becomes of new traffic of a backend without servers that can take it. `error`: 503 (`http`; see `errorfile`),
        /// the end of the connection (`tcp`), nothing (`l4`). `reset`: a reset of the connection (`tcp`, `l4`), which is no
        /// longer than what it answers; in `l4` also what is there already is reset, and datagrams are answered by ICMP (port
        /// unreachable, at most 1,000 a second on each CPU), as IPVS does. `fail-open`: it goes to servers all the same, healthy
        /// or not. Default: `error`, as HAProxy.
        on_empty: OnEmpty,
        /// The backend that takes new traffic while this one has no server that can. `tcp`, `http`: rules and all count as if
        /// it had been named instead, also for clients whose cookie names a server that drains. `l4`: its servers take the place
        /// of this one's; it must forward in the same way, and what else is said of packets is said in this one. Default: none.
        fallback: Text,
        /// What becomes of connections to a server that goes down or into maintenance, HAProxy's `on-marked-down`. `keep`: they
        /// stay with it; `shutdown-sessions`: they are cut, in `l4` by a reset to the client when it next sends something, and the
        /// server hears nothing; `move` (`l4`): other servers get their packets. In `l4` new connections and datagrams go to
        /// other servers whatever is chosen, fragments to none, and a connection that is silent for longer than `transition`
        /// moves; not with balance = "source" or fragments = "hash", which do not tell connections apart. Default: `keep` (`tcp`,
        /// `http`), `move` (`l4`).
        on_marked_down: Marked,
        /// What becomes of connections to backups once another server is back (`tcp`, `http`), HAProxy's `on-marked-up`: `keep`,
        /// or `shutdown-backup-sessions`. Default: `keep`.
        on_marked_up: MarkedUp,
        /// `acl.NAME`: as in a frontend, for the rules of this backend.
        acl: Named<OneOrMany<Text>>,
        /// `[[backend.NAME.rule]]`: what becomes of requests once they have come here, after the rules of their frontend, and of
        /// responses, before those. `http` only.
        rule: Vec<At<Rule>>,
        /// How a client is brought back to its server (`http`). Default: not at all.
        cookie: Cookie,
        /// What the values of a cookie with `dynamic` are made with, HAProxy's `dynamic-cookie-key`: whoever knows it can tell
        /// the servers' addresses by them. Required by `dynamic`.
        dynamic_cookie_key: Text,
        /// Whether a client stays with the server that its cookie names even if that is down, HAProxy's `option persist`.
        /// Default: false.
        persist: bool,
        /// Load of the backend, in requests or connections, from which servers with a `minconn` have their `maxconn`.
        /// Default: the sum of its servers' `maxconn`; HAProxy's is a tenth of what its frontends take.
        fullconn: i64,
        /// Attempts after the first to have an answer of a server, or to reach one, 0 to 100. Unlike HAProxy's they come at
        /// once, and each at another server: none is asked twice. Once there is no further one, the last failure or answer is
        /// passed on. Default: 3, as HAProxy.
        retries: i64,
        /// Whether these may go to another server than the one that a cookie names, HAProxy's `option redispatch`. Default:
        /// true; HAProxy's is false.
        redispatch: bool,
        /// After which failures: `none`, `conn-failure`, `empty-response`, `junk-response`, `response-timeout`, a status of
        /// 401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504, `all-retryable-errors`; one or an array, as HAProxy's
        /// `retry-on`. After the first two words only requests are sent again of which nothing was, or which were kept whole
        /// (`http`). Default: "conn-failure".
        retry_on: OneOrMany<RetryWord>,
        /// `errorfile.STATUS`: as that of a frontend (`http`), before which it comes once a request has gone to this backend.
        errorfile: Named<Text>,
        /// Longest wait for a place at a server, HAProxy's `timeout queue`. Default: `timeout_connect`.
        timeout_queue: Duration,
        /// Longest wait for a connection to a server, HAProxy's `timeout connect`. Default: 5s.
        timeout_connect: Duration,
        /// Longest silence of a server, HAProxy's `timeout server`. Default: 60s.
        timeout_server: Duration,
        /// Longest silence of both ends once a connection only carries bytes: of a `tcp` frontend, or after a change of
        /// protocol (WebSocket); HAProxy's `timeout tunnel`. Default: the shorter one of `timeout_client` and
        /// `timeout_server`.
        timeout_tunnel: Duration,
        /// Longest silence of a server whose client has ended its half of such a connection, HAProxy's `timeout server-fin`.
        /// Default: as while both halves were open.
        timeout_server_fin: Duration,
    }
}

table! {
    /// `[[backend.NAME.server]]`.
    struct Server, "a server" {
        /// Unique in its backend. Required.
        name: Text,
        /// "address:port", or "name:port" with the host name of the server, whole: its address is asked for, and changes are
        /// followed (see `resolvers`). Until it is known the server is down. Without a port: the one that the client connected
        /// to, as in HAProxy. Of a client that a header of the PROXY protocol tells of, that is the one that the header names.
        /// Required.
        address: ServerAddress,
        /// The family that is taken if a host name has addresses of both, `ipv4` or `ipv6`, as HAProxy's `resolve-prefer`.
        /// Servers of `l4` frontends outside of tunnels have that of the VIP. Default: `ipv6`, as HAProxy.
        resolve_prefer: Family,
        /// `prevent-dup-ip`: of servers of the backend with the same host name and port, each gets an address of its own, and
        /// who gets none is down; `allow-dup-ip`: it then shares one. HAProxy's `resolve-opts`. Default: `prevent-dup-ip`, as
        /// HAProxy.
        resolve_opts: ResolveOpts,
        /// Share of the traffic relative to the other servers, 1 to 256. Default: 1, as HAProxy.
        weight: i64,
        /// Takes traffic only when no other server can; of several the first alone, unless `allbackups`. Default: false.
        backup: bool,
        /// Value of the backend's cookie for this server. Default: if that is `dynamic`, one that is made, else none: the cookie
        /// is taken away again.
        cookie: Text,
        /// Most requests (`http`) or connections (`tcp`) that it has at once, 0 to 1000000; more of them wait. Default: 0,
        /// any number, as HAProxy.
        maxconn: i64,
        /// Most of them while the backend has little to do: from here the limit rises to `maxconn` as the load rises to
        /// `fullconn`, 0 to `maxconn`. Default: 0, always `maxconn`.
        minconn: i64,
        /// Most that wait for this server alone, because a cookie or a hash names it; more go to another server. Default: 0,
        /// any number, as HAProxy.
        maxqueue: i64,
        /// Most connections that are kept while nobody uses them (`http`), a thread, 0 to 1000000; HAProxy's `pool-max-conn`.
        /// Default: 64; HAProxy's is any number.
        pool_max_conn: i64,
        /// How long one of them is kept, HAProxy's `pool-purge-delay`. Default: 4500ms, below the keep-alive time of common
        /// servers; HAProxy's is 5s.
        pool_purge_delay: Duration,
        /// How long its weight (with `roundrobin`, `leastconn`, `random` and consistent hashes) and `maxconn` rise from a
        /// hundredth to what they are once it comes back from failed checks or maintenance, 1ms to 1d; not at the start of
        /// the process, nor by a reload. `tcp` and `http`. Default: no time, as HAProxy.
        slowstart: Duration,
        /// Its agent, where that differs from the backend's: what is not said here, that one says. Default: the backend's.
        agent: Agent,
        /// "BACKEND/SERVER" or "SERVER" of the same backend: a checked server whose health is also this one's, which is not probed
        /// itself, HAProxy's `track`. Default: none, the backend's `check`.
        track: Text,
        /// TLS to this server; nothing of the backend's `tls` is then used. Default: that of the backend.
        tls: ServerTls,
    }
}
