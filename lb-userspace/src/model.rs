//! CONTROL PATH 2: the configuration as the rest of the program sees it. Immutable, and valid by construction: only
//! `config::validate` makes one, so nobody after it checks again.

pub mod global;
pub mod frontend;
pub mod rule;
pub mod backend;
pub mod server;
pub mod check;

pub use backend::{Backend, Balance};
pub use check::{Check, CheckKind};
pub use frontend::{Bind, Certificate, Frontend, FrontendKind, HttpFrontend};
pub use global::{Global, OnStop};
pub use rule::{Condition, Rule, Term};
pub use server::Server;

use lb_common::{Be16, Vip4Key};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Which backend: an index into [`Model::backends`].
pub type BackendIndex = usize;

/// One configuration. Frontends and backends are sorted by name, so that equal files give equal models.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Model {
    /// What concerns the process, not the traffic.
    pub global: Global,
    /// Where clients connect.
    pub frontends: Vec<Frontend>,
    /// Where requests and packets go.
    pub backends: Vec<Backend>,
}

impl Model {
    /// The backends that kernel frontends use: each owns a ring.
    pub fn kernel_backends(&self) -> impl Iterator<Item = &Backend> {
        let used = self.frontends.iter().filter_map(|frontend| match frontend.kind {
            FrontendKind::L4 { backend } => Some(backend),
            FrontendKind::Tcp { .. } | FrontendKind::Http(_) => None,
        });
        let used: BTreeSet<BackendIndex> = used.collect();
        used.into_iter().filter_map(|index| self.backends.get(index))
    }

    /// The VIPs of kernel frontends, and which backend serves each.
    pub fn vips(&self) -> BTreeMap<Vip4Key, BackendIndex> {
        let mut vips = BTreeMap::new();
        for frontend in &self.frontends {
            let FrontendKind::L4 { backend } = frontend.kind else { continue };
            for bind in &frontend.binds {
                if let IpAddr::V4(address) = bind.address.ip() {
                    vips.insert(Vip4Key::new(address.into(), Be16::new(bind.address.port()), bind.protocol), backend);
                }
            }
        }
        vips
    }

    /// Whether anything here needs the kernel half.
    pub fn needs_kernel(&self) -> bool {
        self.kernel_backends().next().is_some()
    }

    /// The backend of that name.
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }
}
