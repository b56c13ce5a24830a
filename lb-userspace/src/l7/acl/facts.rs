//! Facts: all that an expression can look at. Whoever evaluates fills in what there is at that moment.

use super::Value;
use crate::{
    l7::{
        message::{Request, Response},
        tls::{
            TlsFacts,
            hello::{self, Hello},
        },
    },
    model::{BackendIndex, acl::expression::Attribute},
};
use std::{
    cell::{Cell, OnceCell},
    net::SocketAddr,
    sync::Arc,
};

/// All that an expression can look at.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// What stays as it is while a message is looked at.
    pub(crate) scene: &'a Scene<'a>,
    /// The request, while it is being decided about.
    pub(crate) request: Option<&'a Request>,
    /// The response, once it is there.
    pub(crate) response: Option<&'a Response>,
    /// What rules have kept.
    pub(crate) variables: &'a Variables,
}

/// What stays as it is while a message is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// The client's connection.
    pub(crate) connection: &'a Connection<'a>,
    /// What was read ahead of a connection that is relayed.
    pub(crate) payload: Option<&'a Payload<'a>>,
    /// Where the request goes, once that is decided.
    pub(crate) backend: Option<BackendIndex>,
    /// The balancer's own numbers.
    pub(crate) numbers: &'a dyn Numbers,
    /// The identity that the request was given.
    pub(crate) unique_id: Option<&'a [u8]>,
}

/// The client's connection.
#[derive(Clone, Copy)]
pub(crate) struct Connection<'a> {
    /// Where the client is, after a PROXY protocol.
    pub(crate) source: SocketAddr,
    /// Where it went to.
    pub(crate) destination: SocketAddr,
    /// `None`: clear text.
    pub(crate) tls: Option<&'a TlsFacts>,
}

/// The first bytes of a connection that is relayed.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    bytes: &'a [u8],
    /// No more is waited for.
    is_whole: bool,
    /// Something was asked for that depends on what is still to come.
    awaits: Cell<bool>,
    hello: OnceCell<hello::Reading>,
}

impl<'a> Payload<'a> {
    /// What has come. `is_whole`: no more is waited for.
    pub(crate) const fn new(bytes: &'a [u8], is_whole: bool) -> Self {
        Self { bytes, is_whole, awaits: Cell::new(false), hello: OnceCell::new() }
    }

    /// All of it, as something that more may be added to.
    pub(super) fn growing(&self) -> &'a [u8] {
        self.awaits.set(!self.is_whole);
        self.bytes
    }

    /// `length` bytes from `offset`, which do not change once they are there.
    pub(super) fn part(&self, offset: usize, length: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(offset..).and_then(|rest| rest.get(..length));
        if part.is_none() {
            self.awaits.set(!self.is_whole);
        }
        part
    }

    /// Whether that is all.
    pub(super) fn is_whole(&self) -> bool {
        self.awaits.set(!self.is_whole);
        self.is_whole
    }

    /// The ClientHello that it begins with, once that is complete.
    pub(super) fn hello(&self) -> Option<&Hello> {
        match self.hello.get_or_init(|| hello::read(self.bytes)) {
            hello::Reading::Whole(hello) => Some(hello),
            hello::Reading::Other => None,
            hello::Reading::Partial => {
                self.awaits.set(!self.is_whole);
                None
            }
        }
    }

    /// Whether something was asked for since the last time that depends on what is still to come.
    pub(super) fn takes_back_awaiting(&self) -> bool {
        self.awaits.take()
    }
}

/// The client's TLS. Names are OpenSSL's, as HAProxy shows them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// The name that the client asked for.
    pub(crate) sni: Option<Box<str>>,
    /// "h2".
    pub(crate) alpn: Option<Box<[u8]>>,
    /// "TLSv1.3".
    pub(crate) protocol: Option<Box<str>>,
    /// "TLS_AES_128_GCM_SHA256".
    pub(crate) cipher: Option<Box<str>>,
    /// What the client showed, if it did.
    pub(crate) certificate: Option<Certificate>,
}

/// A client's certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificate {
    /// OpenSSL's code of what is wrong with it (`X509_V_ERR_…`); 0: nothing.
    pub(crate) verify: u32,
    /// Whose it is.
    pub(crate) subject: Name,
    /// Who says so.
    pub(crate) issuer: Name,
    /// The bytes of its number, the highest first.
    pub(crate) serial: Box<[u8]>,
    /// SHA-1 over its DER form.
    pub(crate) sha1: [u8; 20],
}

/// A distinguished name: attributes (by short name) and values, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Name(pub(crate) Vec<(Box<str>, Box<[u8]>)>);

/// Numbers that change while the program runs. Servers are counted in the order of the model. `None`: there is no such
/// thing.
pub(crate) trait Numbers {
    /// Servers that may take traffic.
    fn usable_servers(&self, backend: BackendIndex) -> Option<u64>;
    /// Connections of a backend.
    fn backend_connections(&self, backend: BackendIndex) -> Option<u64>;
    /// Connections of a frontend; `None`: of the one that is asked.
    fn frontend_connections(&self, frontend: Option<&str>) -> Option<u64>;
    /// Requests that wait in a backend, for whichever of its servers.
    fn queued(&self, backend: BackendIndex) -> Option<u64>;
    /// Connections and waiting places that the servers of a backend have free; `None` also if they have no bound.
    fn free_slots(&self, backend: BackendIndex) -> Option<u64>;
    /// Whether a server may take traffic.
    fn server_is_up(&self, backend: BackendIndex, server: usize) -> Option<bool>;
    /// Connections of a server.
    fn server_connections(&self, backend: BackendIndex, server: usize) -> Option<u64>;
}

/// What rules have kept, by name with its scope: of one request and its response.
#[derive(Debug, Default)]
pub(crate) struct Variables(Vec<(Arc<str>, Value<'static>)>);

impl Variables {
    /// A value by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'static>> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// Keeps a value, in the place of an earlier one.
    pub(crate) fn set(&mut self, name: &Arc<str>, value: Value<'static>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((Arc::clone(name), value)),
        }
    }

    /// Forgets a value.
    pub(crate) fn unset(&mut self, name: &str) {
        self.0.retain(|(known, _)| **known != *name);
    }
}

impl Name {
    /// As OpenSSL writes it in one line: "/C=FR/CN=x".
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        for (attribute, value) in &self.0 {
            line.push(b'/');
            line.extend_from_slice(attribute.as_bytes());
            line.push(b'=');
            line.extend_from_slice(value);
        }
        line
    }

    /// The first value of an attribute.
    pub(super) fn attribute(&self, attribute: Attribute) -> Option<&[u8]> {
        let name = attribute.name();
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}
