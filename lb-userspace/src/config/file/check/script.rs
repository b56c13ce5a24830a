//! The keys of a check of type `script`.

use crate::{
    config::{
        file::ServerTls,
        read::{OneOrMany, Word, table},
        text::Text,
    },
    model::{
        SendProxy,
        check::script::{ErrorStatus, OkStatus, TimeoutStatus},
    },
};
use std::net::IpAddr;

table! {
    /// The keys of a check of type `script`.
    struct ScriptKeys, "a check of type `script`" {
        /// What is said and expected, one step after the other, HAProxy's `tcp-check`. `timeout` is for all together. What
        /// is expected may be anywhere in what came since the last `send`, or since the connection opened, of which 16 KiB
        /// are kept. With a `connect` among them, the first is one; else the script has one connection, as `check` says.
        /// Without `expect` the script passes once everything is sent, by L7OK; with `connect` alone as type `tcp`.
        /// Required.
        steps: OneOrMany<StepKeys>,
    }
}

table! {
    /// A step of a script: one of `connect`, `send…` and `expect…`, and what goes with it.
    struct StepKeys, "a step of a script" {
        /// Opens a connection; the one before ends. `connect = {}` is in clear text and without a PROXY header.
        connect: ConnectKeys,
        /// Sends this text. What came before is forgotten.
        send: Text,
        /// The same as hexadecimal digits, two a byte.
        send_binary: Text,
        /// This text must come, HAProxy's `expect string`.
        expect: Text,
        /// A match of this must come, HAProxy's `expect rstring`; of bytes, in time linear to them.
        expect_regex: Text,
        /// These bytes must come, hexadecimal digits, two a byte, HAProxy's `expect binary`.
        expect_binary: Text,
        /// A match in the hexadecimal digits, in upper case, of what came, HAProxy's `expect rbinary`.
        expect_binary_regex: Text,
        /// Turns `expect…` round: it must not come, HAProxy's `!`. Decided at the end of the connection, with `min_recv`
        /// earlier. Default: false.
        not: bool,
        /// So many bytes are waited for before a mismatch is final, 0 to 16384; 0: what comes first decides. HAProxy's
        /// `min-recv`. Default: no mismatch is final while more may come.
        min_recv: i64,
        /// Why there is this step, said if it fails.
        comment: Text,
        /// Said if this is the last step, HAProxy's `on-success`. Default: `(tcp-check)`.
        on_success: Text,
        /// Said if it does not come, HAProxy's `on-error`. Default: HAProxy's own words.
        on_error: Text,
        /// What is found if this is the last step, HAProxy's `ok-status`: "L7OK", "L7OKC" (it should get nothing new), "L6OK"
        /// or "L4OK". Default: "L7OK".
        ok_status: OkStatus,
        /// What is found if it does not come, HAProxy's `error-status`: "L7RSP", "L7STS", "L7OKC", "L6RSP" or "L4CON".
        /// Default: "L7RSP".
        error_status: ErrorStatus,
        /// What is found if it does not come in time, HAProxy's `tout-status`: "L7TOUT", "L6TOUT" or "L4TOUT". Default:
        /// "L7TOUT".
        timeout_status: TimeoutStatus,
    }
}

table! {
    /// A connection of a script.
    struct ConnectKeys, "`connect`" {
        /// Default: the check's.
        port: i64,
        /// Default: the check's.
        address: IpAddr,
        /// With the check's `tls` and `send_proxy`, or those of traffic, where nothing is said here, HAProxy's `default`.
        /// Default: false.
        default: bool,
        /// TLS of this connection, with `sni` and `alpn`, HAProxy's `ssl`. Default: clear text.
        tls: ServerTls,
        /// A header of the PROXY protocol before the first step. Default: none.
        send_proxy: SendProxy,
        /// End it by a FIN, as some servers want it, not by a RST, HAProxy's `linger`. Default: false.
        linger: bool,
    }
}

impl Word for OkStatus {
    const WHAT: &'static str = "a status of success";
    const WORDS: &'static [(&'static str, Self)] =
        &[("L7OK", Self::L7Ok), ("L7OKC", Self::L7OkConditionally), ("L6OK", Self::L6Ok), ("L4OK", Self::L4Ok)];
}

impl Word for ErrorStatus {
    const WHAT: &'static str = "a status of a mismatch";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("L7RSP", Self::L7Response),
        ("L7STS", Self::L7Status),
        ("L7OKC", Self::L7OkConditionally),
        ("L6RSP", Self::L6Response),
        ("L4CON", Self::L4Connection),
    ];
}

impl Word for TimeoutStatus {
    const WHAT: &'static str = "a status of a timeout";
    const WORDS: &'static [(&'static str, Self)] =
        &[("L7TOUT", Self::L7Timeout), ("L6TOUT", Self::L6Timeout), ("L4TOUT", Self::L4Timeout)];
}
