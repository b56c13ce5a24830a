//! The keys of a check of type `exec`.

use crate::config::{
    read::{OneOrMany, table},
    text::Text,
};

table! {
    /// The keys of a check of type `exec`. The program gets the arguments and the environment that HAProxy's
    /// `external-check` gives it in a backend, and 0 as its exit status passes. It runs in `/` without a standard input, without
    /// capabilities and a way to gain any, in a process group of its own, which is killed at its end or at the `timeout`. At most
    /// 64 run at once; who waits for that does so within the `timeout`, and finds nothing (SOCKERR) if it runs out. The first
    /// line of what it prints is shown, out of the first 1024 bytes.
    struct ExecKeys, "a check of type `exec`" {
        /// The program, an absolute path, HAProxy's `external-check command`. Required.
        command: Text,
        /// What it is given behind HAProxy's four arguments. Default: nothing.
        args: OneOrMany<Text>,
        /// Its environment's `PATH`, HAProxy's `external-check path`. Default: "", as there: a script names its programs by
        /// their absolute paths then.
        path: Text,
    }
}
