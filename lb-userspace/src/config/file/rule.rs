//! Rules and what they name.

use crate::{
    config::{read::table, source::At, text::Text},
    model::acl::expression::Moment,
};

table! {
    /// `[[frontend.NAME.rule]]` and `[[backend.NAME.rule]]`. One action, and the condition for it. Values are HAProxy's log-format
    /// strings: text with `%[expression]` in it.
    struct Rule, "a rule" {
        /// What it looks at. `request`: a request of an `http` frontend, HAProxy's `http-request`, or `use_backend`. `response`: a
        /// server's response to one, HAProxy's `http-response`; those of the backend come before those of the frontend.
        /// `connection`: a client's connection, before anything is read of it but the header of the PROXY protocol where one must
        /// come (`accept_proxy`), so that `src` is the client which that names: HAProxy's `tcp-request session`, not its
        /// `tcp-request connection`, which sees the proxy; from the first rule on that asks for the client's TLS, once that is
        /// there. `content`: the first bytes of a connection to a `tcp` frontend, HAProxy's `tcp-request content`, or
        /// `use_backend`; more of them is waited for, up to `inspect_delay`, as long as a condition depends on it. Default:
        /// `request`; of `tcp` frontends `content`.
        on: Moment,
        /// Names of ACLs, and anonymous ones in braces: all must hold; `!` negates, `or` begins an alternative. Default:
        /// always; `use` of a fixed backend needs this or `unless`.
        r#if: Text,
        /// The same, the other way round.
        unless: Text,
        /// The backend: its name, or a format that gives it; a name that no backend has means the default one. With a
        /// format, each backend that no frontend names, and whose `mode` is not another, counts as used.
        r#use: Text,
        /// Take the connection, whatever later rules say (`connection`, `content`). `true`.
        accept: bool,
        /// Close the connection (`connection`, `content`). `true`.
        reject: bool,
        /// Answer with a page of this status: 200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500
        /// to 504.
        deny: i64,
        /// The same, once the client has waited for as long as `timeout_tarpit` says.
        tarpit: i64,
        /// Answer with this, HAProxy's `return`.
        r#return: Return,
        /// Answer with another place to ask.
        redirect: Redirect,
        /// Ask for name and password (HTTP Basic), unless the request carries those of a user.
        auth: Auth,
        /// Make it the only field of that name.
        set_header: NameValue,
        /// Add a field.
        add_header: NameValue,
        /// Remove the fields of that name.
        del_header: Text,
        /// Replace values of fields that a regular expression matches, as wholes.
        replace_header: Replace,
        /// The same of each element of their lists.
        replace_value: Replace,
        /// Replace the path.
        set_path: Text,
        /// The same, if a regular expression matches it.
        replace_path: ReplacePath,
        /// Replace what follows the question mark; an empty one goes with it.
        set_query: Text,
        /// Replace the whole target.
        set_uri: Text,
        /// Replace the method.
        set_method: Text,
        /// Replace the status of a response, 200 to 599.
        set_status: i64,
        /// Keep the value of an expression for `var(txn.…)`: name, and the expression as value.
        set_var: NameValue,
    }
}

table! {
    /// `return` of a rule.
    struct Return, "`return`" {
        /// 200 to 599. Default: 200.
        status: i64,
        /// Its `Content-Type`. Required with a body.
        content_type: Text,
        /// Its body. Default: none.
        string: Text,
        /// The file that is its body, relative to the configuration, read when that is loaded.
        file: Text,
    }
}

table! {
    /// `redirect` of a rule; one of `location`, `prefix` and `scheme`.
    struct Redirect, "`redirect`" {
        /// There, a format.
        location: Text,
        /// The same path and query after this, a format.
        prefix: Text,
        /// The same by another scheme, a format.
        scheme: Text,
        /// 301, 302, 303, 307 or 308. Default: 302.
        code: i64,
        /// Without the query. Default: false.
        drop_query: bool,
        /// With a slash at the end, if `drop_query`. Default: false.
        append_slash: bool,
        /// Set a cookie with it: NAME or NAME=value. Default: none.
        set_cookie: Text,
        /// Remove a cookie with it. Default: none.
        clear_cookie: Text,
        /// Go on with the next rule if the place is empty. Default: false.
        ignore_empty: bool,
    }
}

table! {
    /// A name and a value.
    struct NameValue, "a name and a value" {
        /// The name. Required.
        name: Text,
        /// The value. Required.
        value: Text,
    }
}

table! {
    /// What is replaced in fields.
    struct Replace, "a replacement" {
        /// The name of the fields. Required.
        name: Text,
        /// A regular expression. Required.
        r#match: Text,
        /// By what, a format; `\\1` are groups. Required.
        with: Text,
    }
}

table! {
    /// What is replaced in paths.
    struct ReplacePath, "`replace_path`" {
        /// A regular expression. Required.
        r#match: Text,
        /// By what, a format; `\\1` are groups. Required.
        with: Text,
    }
}

table! {
    /// `auth` of a rule.
    struct Auth, "`auth`" {
        /// Shown to the client. Default: the name of the userlist.
        realm: Text,
        /// Its name. Required.
        userlist: Text,
    }
}

table! {
    /// `[userlist.NAME]`.
    struct Userlist, "a userlist" {
        /// `[[userlist.NAME.user]]`.
        user: Vec<At<User>>,
    }
}

table! {
    /// A user.
    struct User, "a user" {
        /// Unique in its list. Required.
        name: Text,
        /// The password, hashed as `openssl passwd -6` and `mkpasswd` print it: `$6$…` (SHA-512) or `$5$…` (SHA-256). HAProxy's
        /// `password`. With `rounds=` from 1000 to 1000000, and a salt of 1 to 16 characters. A wrong one costs the time of the
        /// hash, some milliseconds, and so does an unknown name; a right one costs it once a thread; one of more than 511 bytes
        /// is never right. This or the next is required.
        password: Text,
        /// The password as it is, HAProxy's `insecure-password`: better by `${NAME}` than in the file.
        insecure_password: Text,
    }
}
