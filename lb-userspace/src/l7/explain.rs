//! Explains what becomes of a request: every rule that it comes to, what each of its ACLs looks at and finds, and which server it
//! goes to. By the same functions that serve requests, beside their way.

use super::{
    acl::{self, Connection, Facts, Numbers, Scene, Variables},
    balance::{Flow, Order, Tried},
    message::{Fields, Method, Request, Version},
    rules::{self, Outcome},
    tls::TlsFacts,
};
use crate::{
    model::{
        Backend, BackendIndex, Balance, Condition, Frontend, FrontendKind, HttpFrontend, Model, Server,
        rule::{Action, Admission, Rule},
    },
    servers::{Available, BackendLive, Live, Place},
};
use serde::Serialize;
use std::net::SocketAddr;

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Where the client is.
    pub client: SocketAddr,
    /// Where it connects to; `None`: to the first address of the frontend.
    pub destination: Option<SocketAddr>,
    /// The name that it asks for in TLS. `None`: clear text.
    pub sni: Option<String>,
    /// "GET".
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Fields in their order, `Host` among them.
    pub fields: Vec<(String, String)>,
}

/// What becomes of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explanation {
    /// The frontend that it comes to.
    pub frontend: String,
    /// All rules that were asked, in that order.
    pub steps: Vec<Step>,
    /// The backend, unless it is answered here.
    pub backend: Option<String>,
    /// The request as the server gets it: its first line and its fields, one a line.
    pub request: Option<String>,
    /// Which server, or why none can be named.
    pub server: String,
    /// In a sentence.
    pub outcome: String,
}

/// A rule that was asked.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Where it stands: `frontend www` or `backend api`.
    pub of: String,
    /// What it does: `deny 403`.
    pub action: String,
    /// When, as the configuration has it; `None`: always.
    pub condition: Option<String>,
    /// Whether that was so.
    pub holds: bool,
    /// The ACLs of the condition.
    pub acls: Vec<Seen>,
}

/// What an ACL found.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Its name, or what it is in braces.
    pub name: String,
    /// Whether the ACL holds; a `!` before it is not counted.
    pub holds: bool,
    /// Its expressions: what each is, the value that it gives (of several the last), and whether it matches.
    pub expressions: Vec<(String, Option<String>, bool)>,
}

/// Why nothing can be explained.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unexplained {
    /// There is no such frontend.
    #[error("there is no frontend `{0}`")]
    NoFrontend(String),
    /// Its requests are not read.
    #[error("frontend `{0}` reads no requests: it is of mode `l4` or `tcp`")]
    NotHttp(String),
    /// Several would do.
    #[error("which frontend? There are {}", .0.join(", "))]
    Which(Vec<String>),
}

/// The frontend of that name; or at that address; or the only one that reads requests.
pub fn frontend<'m>(model: &'m Model, name: Option<&str>, at: Option<SocketAddr>) -> Result<&'m Frontend, Unexplained> {
    if let Some(name) = name {
        let found = model.frontends.iter().find(|frontend| frontend.name == name);
        return found.ok_or_else(|| Unexplained::NoFrontend(name.to_owned()));
    }
    if let Some(address) = at {
        return model.frontend_for(address).ok_or_else(|| Unexplained::NoFrontend(address.to_string()));
    }
    let mut all = model.frontends.iter().filter(|frontend| matches!(frontend.kind, FrontendKind::Http(_)));
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Unexplained::Which(model.frontends.iter().map(|frontend| frontend.name.clone()).collect())),
    }
}

/// What becomes of a request to that frontend. `takes`: whether a server, by backend and name, takes new traffic.
pub fn explain(
    model: &Model,
    frontend: &Frontend,
    question: &Question,
    takes: &dyn Fn(&str, &str) -> bool,
) -> Result<Explanation, Unexplained> {
    let FrontendKind::Http(http) = &frontend.kind else {
        return Err(Unexplained::NotHttp(frontend.name.clone()));
    };
    let tls = question.sni.as_deref().map(TlsFacts::asking_for);
    let bound = frontend.binds.first().map(|bind| bind.address);
    let destination = question.destination.or(bound).unwrap_or(question.client);
    let connection = Connection { source: question.client, destination, tls: tls.as_ref() };
    let standing = Standing { model, takes };
    let scene = Scene { connection: &connection, payload: None, backend: None, numbers: &standing, unique_id: None };
    let explained = Explanation { frontend: frontend.name.clone(), ..Explanation::default() };
    Ok(Explaining { model, takes, explained }.explain(frontend, http, &scene, request(question)))
}

struct Explaining<'a> {
    model: &'a Model,
    takes: &'a dyn Fn(&str, &str) -> bool,
    explained: Explanation,
}

impl<'a> Explaining<'a> {
    fn explain(
        mut self,
        frontend: &Frontend,
        http: &HttpFrontend,
        scene: &Scene<'_>,
        mut request: Request,
    ) -> Explanation {
        let (at, mut variables) = (format!("frontend {}", frontend.name), Variables::default());
        let facts = Facts { scene, request: None, response: None, variables: &variables };
        for rule in &frontend.admission {
            let does = if rule.action == Admission::Accept { "accept" } else { "reject" };
            if self.step(&at, does.to_owned(), rule, &facts) {
                if rule.action == Admission::Reject {
                    return self.ends("the connection is closed before a byte is read");
                }
                break;
            }
        }
        if let Some(answer) = rules::monitor(http, scene, &request) {
            return self.ends(&format!("it asks how the frontend is (monitor_uri), and is told {}", answer.0));
        }
        if let Some(outcome) = self.requests(&at, &http.rules.request, scene, &mut request, &mut variables) {
            return self.ends(&outcome);
        }
        let facts = Facts { scene, request: Some(&request), response: None, variables: &variables };
        let mut chosen = None;
        for rule in &http.routes {
            let to = rules::backend(&rule.action, &facts);
            let name = to.and_then(|index| self.model.backends.get(index)).map_or("(none)", |backend| &backend.name);
            if self.step(&at, format!("use {name}"), rule, &facts) {
                chosen = to;
                break;
            }
        }
        let Some((index, backend)) =
            chosen.or(http.default_backend).and_then(|index| Some((index, self.model.backends.get(index)?)))
        else {
            return self.ends("no rule says where it goes, and there is no default_backend: 503");
        };
        let (index, backend, instead) = self.taker(index, backend);
        self.explained.backend = Some(backend.name.clone());
        let scene = Scene { backend: Some(index), ..*scene };
        let at = format!("backend {}", backend.name);
        if let Some(outcome) = self.requests(&at, &backend.rules.request, &scene, &mut request, &mut variables) {
            return self.ends(&outcome);
        }
        let facts = Facts { scene: &scene, request: Some(&request), response: None, variables: &variables };
        self.explained.server = instead + &self.server(backend, &facts);
        self.explained.request = Some(shown(&request));
        let outcome = format!("it goes to backend {}: {}", backend.name, self.explained.server);
        self.ends(&outcome)
    }

    fn ends(mut self, outcome: &str) -> Explanation {
        outcome.clone_into(&mut self.explained.outcome);
        self.explained
    }

    /// Asks rules one after the other; how one of them answers.
    fn requests(
        &mut self,
        at: &str,
        all: &[Rule<Action>],
        scene: &Scene<'_>,
        request: &mut Request,
        variables: &mut Variables,
    ) -> Option<String> {
        for rule in all {
            let facts = Facts { scene, request: Some(request), response: None, variables };
            if !self.step(at, words(&rule.action), rule, &facts) {
                continue;
            }
            let (how, response) = match rules::act(&rule.action, scene, request, variables) {
                Outcome::Continue => continue,
                Outcome::Answer(response, _) => ("it is answered here", response),
                Outcome::Deny(response, _) => ("it is refused", response),
                Outcome::Tarpit(response, _) => ("it is refused, once the client has waited", response),
            };
            let place = response.fields.get("location").map(|place| format!(" to {}", String::from_utf8_lossy(place)));
            return Some(format!("{how}: {}{}", response.status, place.unwrap_or_default()));
        }
        None
    }

    /// Asks one rule; whether it applies.
    fn step<A>(&mut self, of: &str, action: String, rule: &Rule<A>, facts: &Facts<'_>) -> bool {
        let holds = rules::applies(rule, facts);
        let acls = rule.condition.as_ref().map(|condition| seen(condition, facts)).unwrap_or_default();
        let condition = rule.condition.as_ref().map(ToString::to_string);
        self.explained.steps.push(Step { of: of.to_owned(), action, condition, holds, acls });
        holds
    }

    /// The backend that takes what is meant for another one, which has no server for it; and in words why.
    fn taker(&self, index: BackendIndex, backend: &'a Backend) -> (BackendIndex, &'a Backend, String) {
        let (mut taker, mut why) = ((index, backend), String::new());
        for (index, next) in self.model.with_fallbacks(index).skip(1) {
            if self.taking(taker.1).next().is_some() {
                break;
            }
            taker = (index, next);
            why.extend(["no server takes new traffic; fallback ", &next.name, ": "]);
        }
        (taker.0, taker.1, why)
    }

    /// The servers of a backend that take new traffic: backups only if no other does.
    fn taking<'b>(&self, backend: &'b Backend) -> impl Iterator<Item = (usize, &'b Server)> + use<'b> {
        let taking = backend.servers.iter().enumerate().filter(|(_, server)| (self.takes)(&backend.name, &server.name));
        let taking: Vec<_> = taking.collect();
        let any_first = taking.iter().any(|(_, server)| !server.backup);
        taking.into_iter().filter(move |(_, server)| server.backup != any_first)
    }

    /// Which server of a backend, or why none can be named.
    fn server(&self, backend: &Backend, facts: &Facts<'_>) -> String {
        let taking = || self.taking(backend);
        if taking().next().is_none() {
            return "no server takes new traffic: 503".to_owned();
        }
        let live = Live::default().for_model(self.model);
        let (order, flow) = (Order::new(backend, self.model.global.hash_key), flow(facts));
        let key = order.key(&flow, facts.request, Some(facts));
        let bound = live.backend(&backend.name).and_then(|live| {
            live.publish(Available::new(taking().map(|(index, server)| (index, server.weight))));
            bound(live, &order, key)
        });
        let cookie = if backend.cookie.is_some() { "; a cookie of the client comes before that" } else { "" };
        if let Some(server) = bound.and_then(|index| backend.servers.get(index)) {
            return format!("server {}, by the hash{cookie}", server.name);
        }
        let names: Vec<_> = taking().map(|(_, server)| format!("{} (weight {})", server.name, server.weight)).collect();
        format!("one of {}{}{cookie}", names.join(", "), how(&backend.balance))
    }
}

/// The server that a hash leads to.
fn bound(live: &BackendLive, order: &Order, key: Option<u32>) -> Option<usize> {
    match (key, order.choose(live, key, &Tried::default())?) {
        (Some(_), Place::Bound(index) | Place::Server(index)) => Some(index),
        (None, _) | (_, Place::Any) => None,
    }
}

const fn how(balance: &Balance) -> &'static str {
    match balance {
        Balance::RoundRobin | Balance::StaticRoundRobin => ", by turns",
        Balance::LeastConn => ", whichever has the least to do",
        Balance::First => ", the first that has room",
        Balance::Random { .. } => ", by chance",
        Balance::Maglev | Balance::Hash { .. } => ", by turns: there is nothing to hash",
    }
}

fn flow(facts: &Facts<'_>) -> Flow {
    let Connection { source, destination, .. } = *facts.scene.connection;
    Flow { client: source, local: destination }
}

/// What the ACLs of a condition find.
fn seen(condition: &Condition, facts: &Facts<'_>) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    for term in condition.any.iter().flatten() {
        if all.iter().any(|seen| *seen.name == *term.name) {
            continue;
        }
        let expressions = term.acl.iter().map(|one| {
            let value = acl::value(&one.expression, facts).map(|value| text(&value));
            (one.text.to_string(), value, acl::matches(one, facts))
        });
        let expressions: Vec<_> = expressions.collect();
        let holds = expressions.iter().any(|(.., matches)| *matches);
        all.push(Seen { name: term.name.to_string(), holds, expressions });
    }
    all
}

/// A value for people.
fn text(value: &acl::Value<'_>) -> String {
    match value {
        acl::Value::Bool(value) => value.to_string(),
        acl::Value::Int(value) => value.to_string(),
        acl::Value::Ip(value) => value.to_string(),
        acl::Value::Text(bytes) | acl::Value::Binary(bytes) => bytes.escape_ascii().to_string(),
    }
}

/// What an action is called in the configuration, with what matters most of it.
fn words(action: &Action) -> String {
    match action {
        Action::Deny(status) => format!("deny {status}"),
        Action::Tarpit(status) => format!("tarpit {status}"),
        Action::Return(what) => format!("return {}", what.status),
        Action::Redirect(what) => format!("redirect {}", what.code),
        Action::Auth { userlist, .. } => format!("auth {}", userlist.name),
        Action::SetHeader(name, _) => format!("set_header {name}"),
        Action::AddHeader(name, _) => format!("add_header {name}"),
        Action::DelHeader(name) => format!("del_header {name}"),
        Action::ReplaceHeader { name, elements: false, .. } => format!("replace_header {name}"),
        Action::ReplaceHeader { name, elements: true, .. } => format!("replace_value {name}"),
        Action::SetPath(_) => "set_path".to_owned(),
        Action::ReplacePath(..) => "replace_path".to_owned(),
        Action::SetQuery(_) => "set_query".to_owned(),
        Action::SetUri(_) => "set_uri".to_owned(),
        Action::SetMethod(_) => "set_method".to_owned(),
        Action::SetStatus(status) => format!("set_status {status}"),
        Action::SetVariable(name, _) => format!("set_var {name}"),
    }
}

fn request(question: &Question) -> Request {
    let mut fields = Fields::default();
    for (name, value) in &question.fields {
        fields.push(name, value);
    }
    let method = Method::new(question.method.as_bytes());
    Request { method, target: question.target.clone().into_bytes(), version: Version::Http11, fields }
}

fn shown(request: &Request) -> String {
    let line = [request.method.name(), b" ".as_slice(), &request.target].concat();
    let fields = request.fields.iter().map(|(name, value)| [name, b": ".as_slice(), value].concat());
    let lines: Vec<_> = [line].into_iter().chain(fields).map(|line| line.escape_ascii().to_string()).collect();
    lines.join("\n")
}

/// Numbers of a balancer that does nothing else; servers stand as they are said to.
struct Standing<'a> {
    model: &'a Model,
    takes: &'a dyn Fn(&str, &str) -> bool,
}

impl Standing<'_> {
    fn is_up(&self, backend: &Backend, server: usize) -> Option<bool> {
        Some((self.takes)(&backend.name, &backend.servers.get(server)?.name))
    }
}

impl Numbers for Standing<'_> {
    fn usable_servers(&self, backend: BackendIndex) -> Option<u64> {
        let backend = self.model.backends.get(backend)?;
        let up = (0..backend.servers.len()).filter(|server| self.is_up(backend, *server) == Some(true)).count();
        u64::try_from(up).ok()
    }

    fn backend_connections(&self, _: BackendIndex) -> Option<u64> {
        Some(0)
    }

    fn frontend_connections(&self, _: Option<&str>) -> Option<u64> {
        Some(1)
    }

    fn queued(&self, _: BackendIndex) -> Option<u64> {
        Some(0)
    }

    fn free_slots(&self, _: BackendIndex) -> Option<u64> {
        None
    }

    fn server_is_up(&self, backend: BackendIndex, server: usize) -> Option<bool> {
        self.is_up(self.model.backends.get(backend)?, server)
    }

    fn server_connections(&self, _: BackendIndex, _: usize) -> Option<u64> {
        Some(0)
    }
}

#[cfg(test)]
mod tests;
