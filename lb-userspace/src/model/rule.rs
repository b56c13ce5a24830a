//! Rules: what frontends and backends do with connections, requests and responses, and which backend these go to.

use super::{
    BackendIndex,
    acl::{Condition, Expression, converter::Pattern},
    userlist::Userlist,
};
use std::{collections::BTreeMap, sync::Arc};

/// What an `http` frontend, or a backend of such, does with messages. Rules are applied in the order of the file; those of the
/// frontend come first to a request and last to a response, as in HAProxy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// What changes or answers a request: HAProxy's `http-request`.
    pub request: Vec<Rule<Action>>,
    /// What changes or replaces a server's response: HAProxy's `http-response`.
    pub response: Vec<Rule<Action>>,
}

/// What is done if a condition holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule<A> {
    /// When; `None`: always.
    pub condition: Option<Condition>,
    /// What.
    pub action: A,
}

/// What becomes of a connection. The first rule that holds decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// `accept`: no further rule is asked.
    Accept,
    /// `reject`: it is closed without a word.
    Reject,
}

/// Which backend: the first rule that holds decides. HAProxy's `use_backend`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// This one.
    Backend(BackendIndex),
    /// The one of the name that a format gives; without such a one, the default backend.
    Named(Format, Arc<BTreeMap<String, BackendIndex>>),
}

/// A text with values in it: HAProxy's log-format strings, `https://%[hdr(host)]/`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Format(pub Vec<Part>);

/// A part of a format.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// As it is.
    Text(Box<str>),
    /// The value of an expression as text; nothing if it has none.
    Value(Expression),
}

/// What is done with a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// `deny`: answered by a page with that status.
    Deny(u16),
    /// `tarpit`: the same, after the client has waited.
    Tarpit(u16),
    /// `return`: answered by this.
    Return(Return),
    /// `redirect`: answered by another place to ask.
    Redirect(Redirect),
    /// `auth`: answered by 401, unless it carries name and password of one of the users.
    Auth {
        /// Shown to the client.
        realm: Box<str>,
        /// Who may go on.
        userlist: Arc<Userlist>,
    },
    /// `set_header`: the only field of that name.
    SetHeader(Box<str>, Format),
    /// `add_header`: one more.
    AddHeader(Box<str>, Format),
    /// `del_header`: none of that name.
    DelHeader(Box<str>),
    /// `replace_header`: in whole fields of that name, `replace_value`: in each element of their lists.
    ReplaceHeader {
        /// Its name.
        name: Box<str>,
        /// Which values are replaced, as wholes.
        regex: Pattern,
        /// By what; `\1` are groups.
        with: Format,
        /// Each element of a list by itself.
        elements: bool,
    },
    /// `set_path`: what is before the query.
    SetPath(Format),
    /// `replace_path`: the same, if it matches.
    ReplacePath(Pattern, Format),
    /// `set_query`: what follows `?`.
    SetQuery(Format),
    /// `set_uri`: the whole target.
    SetUri(Format),
    /// `set_method`.
    SetMethod(Format),
    /// `set_status`: of a response.
    SetStatus(u16),
    /// `set_var`: keeps a value until the response is sent.
    SetVariable(Arc<str>, Expression),
}

/// An answer of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Return {
    /// Its status. Default: 200.
    pub status: u16,
    /// Its `Content-Type`; `None`: it has no body.
    pub content_type: Option<Box<str>>,
    /// Its body.
    pub body: Arc<str>,
}

/// Another place to ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redirect {
    /// Where.
    pub target: Target,
    /// 301, 302, 303, 307 or 308. Default: 302.
    pub code: u16,
    /// Without the query.
    pub drop_query: bool,
    /// With a slash at the end, if the query is dropped.
    pub append_slash: bool,
    /// A `Set-Cookie` to send with it, whole.
    pub cookie: Option<Box<str>>,
    /// Go on with the next rule if the place is empty.
    pub ignore_empty: bool,
}

/// Where a redirect leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// There.
    Location(Format),
    /// The same path and query after this.
    Prefix(Format),
    /// The same by another scheme.
    Scheme(Format),
}
