//! What expressions give, and which conditions hold: tables of HAProxy's own rules, read as an operator writes them.

mod expressions;
mod haproxy;
mod scale;

use super::{Connection, Facts, Numbers, Scene, Variables, holds};
use crate::{
    config::{Format, parse},
    l7::{
        message::{Method, Request, Response, Version},
        tls::TlsFacts,
    },
    model::{BackendIndex, Condition, FrontendKind},
};

/// A condition as the configuration has it.
pub(in crate::l7) fn condition(acls: &[(&str, &str)], text: &str) -> Condition {
    let acls: Vec<_> = acls.iter().map(|(name, acl)| format!("acl.{name} = '''{acl}'''\n")).collect();
    let acls = acls.concat();
    let text = format!(
        "[frontend.f]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n{acls}[[frontend.f.rule]]\nif = '''{text}'''\nuse = \"b\"\n[backend.b]\nserver = [{{ name = \"s\", address = \"192.0.2.1:80\" }}]\n"
    );
    let model = parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(Format::Full))).model;
    match &model.frontends[0].kind {
        FrontendKind::Http(http) => http.routes[0].condition.clone().expect("a condition"),
        FrontendKind::L4(_) | FrontendKind::Tcp(_) => panic!("not http"),
    }
}

/// A backend with two servers, of which the first is up, and numbers that tell what was asked for.
pub(in crate::l7) struct Fixed;

impl Numbers for Fixed {
    fn usable_servers(&self, _: BackendIndex) -> Option<u64> {
        Some(1)
    }
    fn backend_connections(&self, _: BackendIndex) -> Option<u64> {
        Some(20)
    }
    fn frontend_connections(&self, frontend: Option<&str>) -> Option<u64> {
        Some(if frontend.is_none() { 30 } else { 31 })
    }
    fn queued(&self, _: BackendIndex) -> Option<u64> {
        Some(5)
    }
    fn free_slots(&self, _: BackendIndex) -> Option<u64> {
        None
    }
    fn server_is_up(&self, _: BackendIndex, server: usize) -> Option<bool> {
        Some(server == 0)
    }
    fn server_connections(&self, _: BackendIndex, _: usize) -> Option<u64> {
        Some(7)
    }
}

/// What a test looks at.
pub(in crate::l7) struct Stage {
    pub(in crate::l7) source: &'static str,
    pub(in crate::l7) tls: Option<TlsFacts>,
    pub(in crate::l7) request: Request,
    pub(in crate::l7) response: Option<Response>,
    pub(in crate::l7) variables: Variables,
}

impl Stage {
    pub(in crate::l7) fn new(target: &str, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().copied().collect();
        let request = Request { method: Method::Get, target: target.into(), version: Version::Http11, fields };
        Self { source: "192.0.2.7:4000", tls: None, request, response: None, variables: Variables::default() }
    }

    pub(in crate::l7) fn with<T>(&self, look: impl FnOnce(&Facts<'_>) -> T) -> T {
        let source = self.source.parse().expect("an address");
        let destination = "198.51.100.1:443".parse().expect("an address");
        let connection = Connection { source, destination, tls: self.tls.as_ref() };
        let scene = Scene {
            connection: &connection,
            payload: None,
            backend: Some(0),
            numbers: &Fixed,
            unique_id: Some(b"id-1"),
        };
        let (request, response) = (Some(&self.request), self.response.as_ref());
        look(&Facts { scene: &scene, request, response, variables: &self.variables })
    }

    /// Whether an anonymous ACL holds.
    pub(in crate::l7) fn is(&self, acl: &str) -> bool {
        let condition = condition(&[], &format!("{{ {acl} }}"));
        self.with(|facts| holds(&condition, facts))
    }
}
